/**
 * Chooses the thread for a request. Pure policy: state in, decision out; no socket, timer or clock, so every rule is
 * tested without a process.
 *
 * A request goes to a thread in which its site is warm: to one whose work in hand is a matter of microseconds, so that
 * small requests travel in large batches, else to the least loaded. When all of those are full, or so busy that a
 * request would wait for other code to finish, one more thread is asked to load the site; meanwhile, or when there is
 * none, the request waits in its site's own bounded queue. A slot that becomes free goes to the sites that wait for
 * that thread in turn, so a site with a long queue delays another by at most one request a turn.
 *
 * Invariant: a request is handed only to a thread that accepts, in which its site is warm, and that holds fewer than
 * `concurrency` requests. A lane waits for a thread (`thread.hungry`) exactly when it is warm there and has requests
 * waiting.
 */

/** One thread as the scheduler sees it. */
export interface Slot<R> {
  readonly thread: number
  /** Requests handed over and not finished. */
  inFlight: number
  /** False from the moment it retires: it finishes what it has. */
  accepting: boolean
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
export interface Lane<R> {
  readonly site: string
  readonly warm: Set<Slot<R>>
  /** The thread that is loading it now: one at a time, so that a burst does not load it everywhere. */
  loading: Slot<R> | undefined
  /** In order of arrival. */
  readonly waiting: Set<R>
  maxWaiting: number
  inFlight: number
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
}

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

  addSlot(thread: number): Slot<R> {
    const slot: Slot<R> = {
      thread,
      inFlight: 0,
      accepting: true,
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

  /** The thread is gone. */
  removeSlot(slot: Slot<R>): void {
    this.retireSlot(slot)
    this.slots.delete(slot)
  }

  addLane(site: string, maxWaiting: number): Lane<R> {
    return {
      site,
      warm: new Set(),
      loading: undefined,
      waiting: new Set(),
      maxWaiting,
      inFlight: 0,
      spreadable: true,
    }
  }

  /** The site's current generation is loaded in `slot`. Follow with `drain(slot)`. */
  setWarm(lane: Lane<R>, slot: Slot<R>): void {
    if (lane.loading === slot) lane.loading = undefined
    if (!slot.accepting) return
    lane.warm.add(slot)
    slot.lanes.add(lane)
    if (lane.waiting.size > 0) slot.hungry.add(lane)
  }

  /** The site's current generation is not in `slot`, or not any more. */
  setCold(lane: Lane<R>, slot: Slot<R>): void {
    if (lane.loading === slot) lane.loading = undefined
    lane.warm.delete(slot)
    slot.lanes.delete(lane)
    slot.hungry.delete(lane)
  }

  /** Places a request that has just arrived. The caller does what the placement says. */
  arrive(lane: Lane<R>, request: R): Placement<R> {
    // Those that came before go first: a free slot while some wait is theirs.
    const slot = lane.waiting.size === 0 ? this.#chooseWarm(lane) : undefined
    if (slot !== undefined) {
      slot.inFlight++
      lane.inFlight++
      return { slot, load: this.#spreadTo(lane, slot), full: false }
    }
    if (lane.waiting.size >= lane.maxWaiting) return { slot: undefined, load: undefined, full: true }
    lane.waiting.add(request)
    for (const warm of lane.warm) warm.hungry.add(lane)
    return { slot: undefined, load: this.loadTarget(lane), full: false }
  }

  /** Puts back what was handed to a thread that ended before it began; it waits in front of all others. */
  putBack(lane: Lane<R>, requests: readonly R[]): void {
    const later = [...lane.waiting]
    lane.waiting.clear()
    for (const request of requests) lane.waiting.add(request)
    for (const request of later) lane.waiting.add(request)
    if (lane.waiting.size > 0) for (const warm of lane.warm) warm.hungry.add(lane)
  }

  /** Gives up a waiting request. @returns whether it was waiting */
  cancel(lane: Lane<R>, request: R): boolean {
    const was = lane.waiting.delete(request)
    if (was && lane.waiting.size === 0) this.#sated(lane)
    return was
  }

  /** A request has left its thread. Follow with `drain(slot)`. */
  finish(lane: Lane<R>, slot: Slot<R>): void {
    slot.inFlight--
    slot.finished++
    lane.inFlight--
  }

  /** Hands free places of a thread to waiting requests, sites in turn. */
  drain(slot: Slot<R>): Assignment<R>[] {
    const assigned: Assignment<R>[] = []
    while (slot.hungry.size > 0 && slot.accepting && slot.inFlight < this.#settings.concurrency) {
      const lane = first(slot.hungry)
      const request = first(lane.waiting)
      lane.waiting.delete(request)
      slot.hungry.delete(lane)
      if (lane.waiting.size > 0) slot.hungry.add(lane)
      else this.#sated(lane)
      slot.inFlight++
      lane.inFlight++
      assigned.push({ request, lane, slot })
    }
    return assigned
  }

  /**
   * Where a site that needs a thread is to be loaded: the least loaded of those that never had it. Undefined while it is
   * being loaded, when there is none, or when its code on disk is not what serves.
   */
  loadTarget(lane: Lane<R>): Slot<R> | undefined {
    if (lane.loading !== undefined || !lane.spreadable) return undefined
    let best: Slot<R> | undefined
    for (const slot of this.slots) {
      if (!slot.accepting || lane.warm.has(slot) || slot.spoiled.has(lane)) continue
      if (slot.inFlight >= this.#settings.concurrency) continue
      if (best === undefined || isLessLoaded(slot, best)) best = slot
    }
    if (best !== undefined) lane.loading = best
    return best
  }

  /** The first of the site's threads that has next to nothing to do, else the one with the fewest requests. */
  #chooseWarm(lane: Lane<R>): Slot<R> | undefined {
    let best: Slot<R> | undefined
    for (const slot of lane.warm) {
      if (slot.inFlight * slot.costMs < this.#settings.packMs && slot.utilisation < this.#settings.busyAt) {
        best = slot
        break
      }
      if (best === undefined || slot.inFlight < best.inFlight) best = slot
    }
    return best !== undefined && best.inFlight < this.#settings.concurrency ? best : undefined
  }

  /** `slot` is what `#chooseWarm` found: when even that one is busy, the site needs one more. */
  #spreadTo(lane: Lane<R>, slot: Slot<R>): Slot<R> | undefined {
    if (slot.inFlight < this.#settings.spreadAt || slot.utilisation < this.#settings.busyAt) return undefined
    for (const warm of lane.warm) if (warm.utilisation < this.#settings.busyAt) return undefined
    return this.loadTarget(lane)
  }

  #sated(lane: Lane<R>): void {
    for (const slot of lane.warm) slot.hungry.delete(lane)
  }
}

/** Fewer requests, then a calmer event loop (in tenths, so that noise does not decide), then fewer sites. */
function isLessLoaded<R>(a: Slot<R>, b: Slot<R>): boolean {
  if (a.inFlight !== b.inFlight) return a.inFlight < b.inFlight
  const calm = Math.round(a.utilisation * 10) - Math.round(b.utilisation * 10)
  return calm !== 0 ? calm < 0 : a.lanes.size < b.lanes.size
}

function first<T>(set: Set<T>): T {
  return set.values().next().value as T
}
