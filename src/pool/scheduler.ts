/**
 * Chooses the thread for a request. Pure policy: state in, decision out; no socket, timer or clock, so every rule is
 * tested without a process.
 *
 * A request goes to a thread in which its site is warm: to one whose work in hand is a matter of microseconds, so that
 * small requests travel in large batches, else to the least loaded. When all of those are full, or so busy that a
 * request would wait for other code to finish, one more thread is asked to load the site; meanwhile, or when there is
 * none, the request waits in its site's own bounded queue.
 *
 * Fairness: a thread is handed only some ms of work that it has not begun, so what waits waits here, by site, and not in
 * its socket in the order of arrival. What becomes free goes to the sites that wait in turn; one that keeps the thread for long
 * in its turns has the fewer. A site with a `share` has that part of the turns, and none has more than `max` of a group's places
 * and threads, nor is in more than `maxThreads`.
 *
 * Threads are in groups (the default pool, named pools, a process of one site's own), and a site is loaded only in
 * threads of its own group. A thread that has not answered for a moment is late: it gets nothing until it does. A site
 * whose code is what keeps a thread is held: nothing of it is started anywhere else meanwhile.
 *
 * Invariant: a request is handed only to a thread that accepts and is not late, in which its site is warm, and that holds
 * fewer than `concurrency` requests that wait for something else than their client. (A place that was lent meanwhile is taken
 * back beyond that.) A lane waits for a thread (`thread.hungry`) exactly when it is warm there and has requests waiting.
 */

import type { Heavy, Taker } from './turns.ts'
import { countTurn, nextInTurn } from './turns.ts'
import { WaitingQueue } from './waiting-queue.ts'

/** One thread as the scheduler sees it. */
export interface Slot<R> {
  readonly thread: number
  readonly group: string
  /** Requests handed over and not finished, but for those whose place is lent. */
  inFlight: number
  /** Those of them that its thread has not begun, as far as is known. */
  unbegun: number
  /** False from the moment it retires: it finishes what it has. */
  accepting: boolean
  /** Its event loop has not come round for a while: nothing is handed to it. */
  late: boolean
  /** For how long it is late, once that is so long that its sites may be loaded elsewhere for requests that wait; else 0, in ms. */
  stalledMs: number
  /** Sites that are being loaded here, or wait for that: it comes round to its requests only in between. */
  readonly loading: Set<Lane<R>>
  /** Whether there was a load since the last sample: what it says is not of requests. */
  hadLoad: boolean
  /** The site that kept it for long lately, or often: others go elsewhere where they can, and it goes nowhere else. */
  keptBy: Lane<R> | undefined
  /** Share of the last sample in which its event loop was busy, 0 to 1. */
  utilisation: number
  /** Mean time of its event loop that a request took in the last sample with requests, in ms; not finite before. */
  costMs: number
  /** Requests that left it since that sample. */
  finished: number
  /** Sites whose current generation is loaded here. */
  readonly lanes: Set<Lane<R>>
  /** Those of them that have requests waiting, next in turn first. */
  readonly hungry: Set<Lane<R>>
  /** Sites of which an old or broken generation is here: modules cannot be unloaded, so no newer one may come here. */
  readonly spoiled: Set<Lane<R>>
}

/** One site as the scheduler sees it. */
export interface Lane<R> extends Taker {
  readonly site: string
  /** The group of threads that it is loaded in from now on. */
  group: string
  /** The thread that is late because of this site's code. */
  heldBy: Slot<R> | undefined
  readonly warm: Set<Slot<R>>
  /** What it took to load it the last time, in ms; 0 where that is not known. */
  loadMs: number
  /** The thread that is loading it now: one at a time, so that a burst does not load it everywhere. */
  loading: Slot<R> | undefined
  /** In order of arrival. */
  readonly waiting: WaitingQueue<R>
  maxWaiting: number
  inFlight: number
  /** Its requests whose places others have for now, because they wait for nobody but their client. */
  lent: number
  /** Most of its group's places and threads that it may take, 0 to 1. */
  max: number
  /** Most threads that it may be warm in; in these it has its state, so it waits for them also while they stand still. */
  maxThreads: number
  /** How long it kept a thread (`keptBy`) in one turn the last time, in ms. */
  keptMs: number
  /** False where the code on disk is not what is loaded: it cannot spread. */
  spreadable: boolean
}

export interface SchedulerSettings {
  /** Most requests in one thread at once. */
  concurrency: number
  /** From this many requests in flight on, a busy thread makes a site spread. */
  spreadAt: number
  /** Utilisation from which a thread counts as busy. */
  busyAt: number
  /** A thread with less work than this in hand is as good as an idle one, in ms. */
  packMs: number
  /** Work that a thread may be handed before it has begun it, in ms. */
  backlogMs: number
}

/** Requests that a thread may be handed beyond what it has begun, whatever they cost: a batch. */
const MIN_BACKLOG = 4
/** A site that has more than this part of the places of its threads leaves the rest of each to others. */
const MUCH = 0.5
const MOST_OF_A_THREAD = 0.75
/** Where it is not known yet what one costs. */
const FIRST_BACKLOG = 64

/** `slot` undefined: it waits, or was refused because the queue is full. `load`: where the site is to be loaded now. */
export interface Placement<R> {
  slot: Slot<R> | undefined
  load: Slot<R> | undefined
  full: boolean
}

export interface Assignment<R> {
  request: R
  lane: Lane<R>
  slot: Slot<R>
}

export class Scheduler<R> {
  readonly slots = new Set<Slot<R>>()
  readonly #settings: SchedulerSettings

  constructor(settings: SchedulerSettings) {
    this.#settings = settings
  }

  addSlot(thread: number, group: string): Slot<R> {
    const slot: Slot<R> = {
      thread,
      group,
      inFlight: 0,
      unbegun: 0,
      accepting: true,
      late: false,
      stalledMs: 0,
      loading: new Set(),
      hadLoad: false,
      keptBy: undefined,
      utilisation: 0,
      costMs: Number.POSITIVE_INFINITY,
      finished: 0,
      lanes: new Set(),
      hungry: new Set(),
      spoiled: new Set(),
    }
    this.slots.add(slot)
    return slot
  }

  /** Takes in a sample of a thread's event loop. @param busyMs of it, since the sample before */
  sampled(slot: Slot<R>, utilisation: number, busyMs: number): void {
    if (slot.hadLoad) {
      // Else the sites of a thread would spread because others are being loaded there, and be loaded in others.
      slot.hadLoad = slot.loading.size > 0
      slot.utilisation = 0
      slot.finished = 0
      return
    }
    slot.utilisation = utilisation
    if (slot.finished > 0) slot.costMs = busyMs / slot.finished
    slot.finished = 0
  }

  /** Takes nothing new from now on; what it has it finishes. Its sites are warm there no more. */
  retireSlot(slot: Slot<R>): void {
    slot.accepting = false
    for (const lane of slot.lanes) lane.warm.delete(slot)
    slot.lanes.clear()
    slot.hungry.clear()
  }

  /** The thread does not answer: it gets nothing new. */
  setLate(slot: Slot<R>): void {
    slot.late = true
  }

  /** It answers again. Follow with `drain(slot)`. */
  setPunctual(slot: Slot<R>): void {
    slot.late = false
    slot.stalledMs = 0
  }

  /** Nothing of a site keeps a thread any more. Follow with `drain` of every thread in which it is warm. */
  release(lane: Lane<R>): void {
    lane.heldBy = undefined
  }

  /** What is known of why `slot` is late: the code of this site runs there. */
  hold(lane: Lane<R>, slot: Slot<R>): void {
    lane.heldBy = slot
  }

  /** The thread is gone. */
  removeSlot(slot: Slot<R>): void {
    this.retireSlot(slot)
    this.slots.delete(slot)
  }

  addLane(site: string, group: string, maxWaiting: number): Lane<R> {
    return {
      site,
      group,
      heldBy: undefined,
      warm: new Set(),
      loadMs: 0,
      loading: undefined,
      waiting: new WaitingQueue(),
      maxWaiting,
      inFlight: 0,
      lent: 0,
      share: 0,
      max: 1,
      maxThreads: Number.POSITIVE_INFINITY,
      keptMs: 0,
      turns: 0,
      spreadable: true,
    }
  }

  /** The site's current generation is loaded in `slot`. Follow with `drain(slot)`. */
  setWarm(lane: Lane<R>, slot: Slot<R>): void {
    if (lane.loading === slot) lane.loading = undefined
    // It retired, or the site moved, while it was loading.
    if (!slot.accepting || slot.group !== lane.group) return
    lane.warm.add(slot)
    slot.lanes.add(lane)
    if (lane.waiting.size > 0) slot.hungry.add(lane)
  }

  /** The site's current generation is not in `slot`, or not any more. */
  setCold(lane: Lane<R>, slot: Slot<R>): void {
    if (lane.loading === slot) lane.loading = undefined
    if (slot.keptBy === lane) slot.keptBy = undefined
    lane.warm.delete(slot)
    slot.lanes.delete(lane)
    slot.hungry.delete(lane)
  }

  /** Places a request that has just arrived. The caller does what the placement says. */
  arrive(lane: Lane<R>, request: R): Placement<R> {
    // Those that came before go first: a free slot while some wait is theirs.
    const isNext = lane.waiting.size === 0 && lane.heldBy === undefined && !this.#isAtMost(lane)
    const slot = isNext ? this.#chooseWarm(lane) : undefined
    if (slot !== undefined) {
      this.#give(lane, slot)
      const load = isKeptFrom(lane, slot) ? this.loadTarget(lane) : this.#spreadTo(lane, slot)
      return { slot, load, full: false }
    }
    if (lane.waiting.size >= lane.maxWaiting) return { slot: undefined, load: undefined, full: true }
    lane.waiting.add(request)
    for (const warm of lane.warm) warm.hungry.add(lane)
    return { slot: undefined, load: this.needsThread(lane) ? this.loadTarget(lane) : undefined, full: false }
  }

  /** Puts back what was handed to a thread that ended before it began; it waits in front of all others. */
  putBack(lane: Lane<R>, requests: readonly R[]): void {
    lane.waiting.putFirst(requests)
    if (lane.waiting.size > 0) for (const warm of lane.warm) warm.hungry.add(lane)
  }

  /** Gives up a waiting request. @returns whether it was waiting */
  cancel(lane: Lane<R>, request: R): boolean {
    const was = lane.waiting.delete(request)
    if (was && lane.waiting.size === 0) this.#sated(lane)
    return was
  }

  /** A request was taken back from its thread before it began. */
  unassign(lane: Lane<R>, slot: Slot<R>): void {
    slot.inFlight--
    lane.inFlight--
  }

  /** A request has left its thread. Follow with `drain(slot)`. */
  finish(lane: Lane<R>, slot: Slot<R>): void {
    slot.inFlight--
    slot.finished++
    lane.inFlight--
  }

  /** Hands free places of a thread to waiting requests: of the site that is next in turn, one after the other. */
  drain(slot: Slot<R>): Assignment<R>[] {
    const assigned: Assignment<R>[] = []
    if (slot.late || !slot.accepting) return assigned
    const passedOver: Lane<R>[] = []
    while (slot.hungry.size > 0 && this.#hasRoom(slot)) {
      const lane = nextInTurn(slot.hungry)
      if (lane.heldBy !== undefined || this.#isAtMost(lane) || this.#mustLeave(lane, slot)) {
        slot.hungry.delete(lane)
        passedOver.push(lane)
        continue
      }
      countTurn(lane, slot.hungry, this.#heavyIn(slot))
      const request = lane.waiting.first as R
      lane.waiting.delete(request)
      if (lane.waiting.size === 0) this.#sated(lane)
      this.#give(lane, slot)
      assigned.push({ request, lane, slot })
    }
    for (const lane of passedOver) slot.hungry.add(lane)
    return assigned
  }

  /**
   * Where a site that needs a thread is to be loaded: the least loaded of those that never had it. Undefined while it is
   * being loaded, when there is none, when its code on disk is not what serves, or when it keeps one from others already.
   *
   * @param isOut threads that are not thought of
   */
  loadTarget(lane: Lane<R>, isOut: (slot: Slot<R>) => boolean = () => false): Slot<R> | undefined {
    if (lane.loading !== undefined && !isLost(lane, lane.loading)) return undefined
    if (lane.heldBy !== undefined || !lane.spreadable || this.#hasAllThreads(lane)) return undefined
    for (const slot of lane.warm) if (slot.keptBy === lane && !isOut(slot)) return undefined
    let best: Slot<R> | undefined
    for (const slot of this.slots) {
      if (slot.group !== lane.group || !slot.accepting || slot.late) continue
      if (lane.warm.has(slot) || slot.spoiled.has(lane) || slot.loading.has(lane)) continue
      if (slot.inFlight >= this.#settings.concurrency || isOut(slot)) continue
      if (best === undefined || isLessLoaded(slot, best)) best = slot
    }
    if (best !== undefined) lane.loading = best
    return best
  }

  /**
   * The first of the site's threads that has next to nothing to do, else the one with the fewest requests. One that
   * another site keeps again and again is better than none.
   */
  #chooseWarm(lane: Lane<R>): Slot<R> | undefined {
    let best: Slot<R> | undefined
    let kept: Slot<R> | undefined
    for (const slot of lane.warm) {
      if (slot.late || !this.#hasRoom(slot) || this.#mustLeave(lane, slot)) continue
      if (isKeptFrom(lane, slot)) {
        if (kept === undefined || slot.inFlight < kept.inFlight) kept = slot
        continue
      }
      if (slot.inFlight * slot.costMs < this.#settings.packMs && slot.utilisation < this.#settings.busyAt) return slot
      if (best === undefined || slot.inFlight < best.inFlight) best = slot
    }
    return best ?? kept
  }

  #give(lane: Lane<R>, slot: Slot<R>): void {
    slot.inFlight++
    slot.unbegun++
    lane.inFlight++
  }

  #hasRoom(slot: Slot<R>): boolean {
    if (slot.inFlight >= this.#settings.concurrency) return false
    if (slot.unbegun < MIN_BACKLOG) return true
    return Number.isFinite(slot.costMs)
      ? slot.unbegun * slot.costMs < this.#settings.backlogMs
      : slot.unbegun < FIRST_BACKLOG
  }

  /** A usual turn is no longer than all that a thread may be handed. */
  #heavyIn({ keptBy }: Slot<R>): Heavy<Lane<R>> | undefined {
    return keptBy && { taker: keptBy, weight: Math.max(1, keptBy.keptMs / this.#settings.backlogMs) }
  }

  /** Whether the site has all the places that it may have. */
  #isAtMost(lane: Lane<R>): boolean {
    if (lane.max >= 1 || lane.inFlight < this.#settings.concurrency * lane.max) return false
    return lane.inFlight >= lane.max * this.#settings.concurrency * this.#threadsOf(lane.group)
  }

  /** Whether the site is in as many threads as it may be; of its part of a group, those that stand still do not count. */
  #hasAllThreads(lane: Lane<R>): boolean {
    if (lane.warm.size >= lane.maxThreads) return true
    if (lane.max >= 1) return false
    let count = 0
    for (const slot of lane.warm) if (!isLost(lane, slot)) count++
    return count >= Math.ceil(lane.max * this.#threadsOf(lane.group))
  }

  /** Whether the places that are free in a thread are for others: this site has many already. */
  #mustLeave(lane: Lane<R>, slot: Slot<R>): boolean {
    const { concurrency } = this.#settings
    if (slot.lanes.size <= 1) return false
    return slot.inFlight >= concurrency * MOST_OF_A_THREAD && lane.inFlight >= concurrency * MUCH * lane.warm.size
  }

  #threadsOf(group: string): number {
    let count = 0
    for (const slot of this.slots) if (slot.accepting && slot.group === group) count++
    return count
  }

  /** Whether a site with requests waiting is better off with one thread more: those it has are busy, full or gone. */
  needsThread(lane: Lane<R>): boolean {
    for (const slot of lane.warm) {
      if (isKeptFrom(lane, slot)) continue
      if (slot.late && !isLost(lane, slot)) return false
      const isFull = slot.inFlight >= this.#settings.concurrency || this.#mustLeave(lane, slot)
      if (!slot.late && !isFull && slot.utilisation < this.#settings.busyAt) return false
    }
    return true
  }

  /** `slot` is what `#chooseWarm` found: when even that one is busy, the site needs one more. */
  #spreadTo(lane: Lane<R>, slot: Slot<R>): Slot<R> | undefined {
    if (slot.inFlight < this.#settings.spreadAt || slot.utilisation < this.#settings.busyAt) return undefined
    for (const warm of lane.warm) if (!warm.late && warm.utilisation < this.#settings.busyAt) return undefined
    return this.loadTarget(lane)
  }

  #sated(lane: Lane<R>): void {
    for (const slot of lane.warm) slot.hungry.delete(lane)
  }
}

/** A site is about to be loaded in a thread. */
export function beginLoad<R>(lane: Lane<R>, slot: Slot<R>): void {
  slot.loading.add(lane)
  slot.hadLoad = true
}

/** Its load is over, as it may be. */
export function endLoad<R>(lane: Lane<R>, slot: Slot<R>): void {
  slot.loading.delete(lane)
}

/** Others may have the place of a request, which stays in its thread. Follow with `drain(slot)`. */
export function lendPlace<R>(lane: Lane<R>, slot: Slot<R>): void {
  slot.inFlight--
  lane.inFlight--
  lane.lent++
}

/** The request counts again, whether or not its place is taken. */
export function reclaimPlace<R>(lane: Lane<R>, slot: Slot<R>): void {
  slot.inFlight++
  lane.inFlight++
  lane.lent--
}

/** Whether another site keeps the thread again and again. */
function isKeptFrom<R>(lane: Lane<R>, slot: Slot<R>): boolean {
  return slot.keptBy !== undefined && slot.keptBy !== lane
}

/**
 * Whether a site is better off without a thread that stands still. To load it elsewhere costs that thread's sites as much time as
 * it takes, and the still one may come round in that time: so it is waited for twice as long (the ski rental problem).
 */
function isLost<R>(lane: Lane<R>, slot: Slot<R>): boolean {
  return slot.stalledMs > 0 && slot.stalledMs >= 2 * lane.loadMs
}

/** Not kept by a site, then fewer loads, then fewer requests, then a calmer event loop (in tenths, so that noise does not decide), then fewer sites. */
function isLessLoaded<R>(a: Slot<R>, b: Slot<R>): boolean {
  if ((a.keptBy === undefined) !== (b.keptBy === undefined)) return a.keptBy === undefined
  if (a.loading.size !== b.loading.size) return a.loading.size < b.loading.size
  if (a.inFlight !== b.inFlight) return a.inFlight < b.inFlight
  const calm = Math.round(a.utilisation * 10) - Math.round(b.utilisation * 10)
  return calm !== 0 ? calm < 0 : a.lanes.size < b.lanes.size
}
