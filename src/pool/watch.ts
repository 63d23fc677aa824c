/**
 * Watches over threads that owe an answer: notices within tens of ms that one does not come round, takes back what it has
 * not begun, and goes from step to step while it lasts: stack in the log, retired, terminated, its process killed. Whose
 * doing it is culprits.ts finds out.
 *
 * A thread is late when it was sent a request and nothing at all came from it for `LATE_MS`. What only its supervisor can
 * see (code that keeps a thread nobody waits for) it reports. Limits: where this process itself gets no processor, nobody
 * is late; the clock ticks only while a request is with a thread that has not begun it, or a thread is late.
 *
 * Invariant: every late thread becomes punctual again or ends, within its site's `hard_limit` and a few seconds.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../core/log.ts'
import type { Running } from '../core/thread-board.ts'
import type { SupervisorReport, ThreadLook } from '../core/worker-orders.ts'
import { Culprits } from './culprits.ts'
import type { Exchange } from './exchange.ts'
import type { PoolSite } from './pool-site.ts'
import type { Lateness, PoolThread } from './pool-thread.ts'
import { newLateness, ownMs, starvedMs } from './pool-thread.ts'
import type { Offence } from './quarantine.ts'
import { replaceProcess } from './replace-process.ts'
import type { Scheduler, Slot } from './scheduler.ts'
import { ShortTurns } from './short-turns.ts'
import { ThreadQuestions } from './thread-questions.ts'
import type { Step } from './watch-steps.ts'
import { dueMs, FIRST_GRAVE_STEP, STALLED_MS, STEPS, TERMINATE_GRACE_MS, USUAL_LIMITS } from './watch-steps.ts'
import type { ThreadReport, Workforce } from './workforce.ts'

/** What the watch has the pool do. */
export interface WatchedPool {
  readonly scheduler: Scheduler<Exchange>
  readonly workforce: Workforce
  /** These requests were taken from the thread before it began them: they go elsewhere. */
  returned(exchanges: Exchange[]): void
  /** What the thread has begun and may be begun again goes elsewhere; nothing of `except`. */
  moveStarted(thread: PoolThread, except: PoolSite | undefined): void
  /** The sites that wait for this thread alone are loaded in another. */
  seekElsewhere(thread: PoolThread): void
  /** The sites that only these threads have are loaded in others. Resolves when they are, or cannot be, or the time is up. */
  loadElsewhere(threads: readonly PoolThread[], graceMs: number): Promise<void>
  drain(thread: PoolThread): void
  /** The site may be started again everywhere. */
  drainSite(site: PoolSite): void
  offence(site: PoolSite, offence: Offence): void
  /** A site's code kept a thread for so long, in ms. */
  blocked(site: PoolSite, forMs: number): void
}

const TICK_MS = 10
/** Where every tick is late the threads are looked at this often all the same. */
const BLIND_MS = 500
/** From this silence on a thread is late. Batches of a busy thread take 10 ms, a large garbage collection 20. */
const LATE_MS = 40
/**
 * So long a thread may be late before the stack has told whose code it is: the site that keeps it would do the same in
 * another. On a machine that is overloaded the stack takes longer, so only the thread's own time counts.
 */
const STACK_MS = 400
/** How long a supervisor may take to answer, in ms, before the kernel is asked whether its process was stopped; and before nothing goes on without it. */
const STOPPED_MS = 200
const SUPERVISOR_MS = 1_000
const AVOID_MS = 10_000
/** How often it is seen which sites of a thread that stands still are better off elsewhere. */
const SEEK_EVERY_MS = 50
/** A thread that was late for so long without counting that it had no processor is late by its own doing. */
const OWN_MS = 200

export class Watch {
  readonly #pool: WatchedPool
  readonly #log: Log
  #timer: NodeJS.Timeout | undefined
  #lastTick = 0
  #lookedAt = 0
  readonly #questions = new ThreadQuestions()
  readonly #culprits: Culprits
  /** Until when threads are avoided. */
  readonly #avoided = new WeakMap<Slot<Exchange>, NodeJS.Timeout>()
  readonly #shortTurns = new ShortTurns({
    lookAt: (thread) => this.#questions.look(thread),
    // By then it has kept it for longer than the few blocks that convict.
    onKept: (thread, site) => this.#offend(thread.late, site, 'kept its thread most of the time, in short turns', true),
    onOften: (thread, site, forMs) => this.avoid(thread, site, forMs),
  })

  constructor(pool: WatchedPool, log: Log) {
    this.#pool = pool
    this.#log = log
    this.#culprits = new Culprits(pool, this.#questions)
  }

  /** A request was handed to a thread. */
  expect(): void {
    if (this.#timer !== undefined) return
    this.#lastTick = this.#lookedAt = performance.now()
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#questions.close()
  }

  /** A supervisor has something to tell of a thread. */
  report(thread: PoolThread, report: ThreadReport): void {
    if (report.type === 'revoked') this.#revoked(thread, report)
    else if (report.type === 'stuck') this.#stuck(thread, report.forMs, report.running)
    else this.#questions.answered(report)
  }

  /** The thread is gone: whoever was held because of it is not any more. */
  ended(thread: PoolThread): void {
    this.#release(thread)
  }

  /** What runs in a thread now. @returns undefined when it cannot be told */
  lookAt(thread: PoolThread): Promise<ThreadLook | undefined> {
    return this.#questions.look(thread)
  }

  /**
   * For a while the other sites of a thread go elsewhere where they can: what kept it will do so again.
   *
   * @param forMs for how long the site kept it; 0 where that is not known
   */
  avoid({ slot }: PoolThread, { lane }: PoolSite, forMs: number): void {
    // It may have been given a process of its own meanwhile.
    if (slot === undefined || !lane.warm.has(slot)) return
    if (forMs > 0) lane.keptMs = forMs
    const avoided = this.#avoided.get(slot)
    if (slot.keptBy === lane && avoided !== undefined) return void avoided.refresh()
    clearTimeout(avoided)
    slot.keptBy = lane
    const forget = (): void => {
      slot.keptBy = undefined
    }
    this.#avoided.set(slot, setTimeout(forget, AVOID_MS).unref())
  }

  // ---- the clock -----------------------------------------------------------------------------------------------

  #tick(): void {
    const now = performance.now()
    const before = this.#lastTick
    this.#lastTick = now
    if (now - before <= TICK_MS * 3) return this.#lookAtAll(now)
    // This process was late itself: what the threads said may not have been read yet, but behind this turn of the event loop.
    if (now - this.#lookedAt >= BLIND_MS) setImmediate(() => this.#lookAtAll(performance.now()))
  }

  #lookAtAll(now: number): void {
    this.#lookedAt = now
    let isNeeded = false
    for (const thread of this.#pool.workforce.threads.values()) {
      if (this.#look(thread, now)) isNeeded = true
    }
    if (!isNeeded) this.#timer = void clearInterval(this.#timer)
  }

  /** @returns whether there is something to wait for */
  #look(thread: PoolThread, now: number): boolean {
    const { link } = thread
    if (link === undefined) return false
    if (link.takeHeard()) {
      thread.quietSince = undefined
      if (thread.late !== undefined) this.#punctual(thread, now)
      return link.hasUnstarted
    }
    if (thread.late === undefined) {
      if (!link.hasUnstarted) {
        thread.quietSince = undefined
        return false
      }
      thread.quietSince ??= now
      if (now - thread.quietSince < LATE_MS) return true
      this.#late(thread, thread.quietSince, now)
    }
    this.#proceed(thread, now)
    return true
  }

  // ---- late and punctual ---------------------------------------------------------------------------------------

  #late(thread: PoolThread, since: number, now: number): void {
    const late = newLateness(since, now)
    thread.late = late
    if (thread.slot !== undefined) this.#pool.scheduler.setLate(thread.slot)
    const { link } = thread
    thread.process.order({ type: 'revoke', thread: thread.id, ids: link?.revocable() ?? [] })
    // The clock would see it later, and not at all while this process is late itself: between two loads there is not much time.
    if (link === undefined) return
    link.askForSign()
    link.onceHeard = () => {
      if (thread.late === late) this.#punctual(thread, performance.now())
    }
  }

  #revoked(thread: PoolThread, report: Extract<SupervisorReport, { type: 'revoked' }>): void {
    if (thread.late !== undefined) {
      if (thread.late.askedAt > 0) thread.late.untoldMs = performance.now() - thread.late.askedAt
      thread.late.askedAt = 0
      thread.late.delayedMs = report.delayedMs
      this.#culprits.marked(thread, report.running)
    }
    const returned: Exchange[] = []
    for (const id of report.ids) {
      const exchange = thread.link?.takeBack(id)
      if (exchange !== undefined) returned.push(exchange)
    }
    this.#pool.returned(returned)
  }

  /** Something keeps a thread that owes nobody an answer; or it goes on. */
  #stuck(thread: PoolThread, forMs: number, running: Running): void {
    if (thread.state === 'starting') return
    const now = performance.now()
    if (forMs === 0) {
      if (thread.late !== undefined) this.#punctual(thread, now)
      return
    }
    if (thread.late === undefined) this.#late(thread, now - forMs, now)
    this.#culprits.marked(thread, running)
    this.expect()
  }

  #punctual(thread: PoolThread, now: number): void {
    const { late, slot } = thread
    if (late === undefined) return
    const forMs = Math.round(now - late.since)
    const culprit = late.culprit
    if (slot !== undefined) {
      this.#pool.scheduler.setPunctual(slot)
      // A load is over for good.
      if (culprit !== undefined && forMs >= STALLED_MS && !late.isLoad) this.avoid(thread, culprit, forMs)
    }
    this.#release(thread)
    thread.blamed = undefined
    // What a load keeps a thread for is not what a request does.
    if (culprit !== undefined && !late.isLoad) this.#pool.blocked(culprit, forMs)
    if (late.taken > FIRST_GRAVE_STEP) this.#log.warn({ ...about(thread, culprit), forMs }, 'thread goes on')
    else if (!late.isLoad && thread.loading.size === 0) void this.#weigh(thread, late, forMs)
    if (thread.state === 'ready' && !thread.standsBack) return this.#pool.drain(thread)
    if (thread.state === 'ready') void this.#pool.workforce.startThread(thread.group)
    this.#pool.workforce.retire(thread, culprit?.limits.stopTimeoutMs ?? TERMINATE_GRACE_MS).catch(() => {})
  }

  /** It is late no more: nobody is held because of it. */
  #release(thread: PoolThread): void {
    const culprit = thread.late?.culprit
    thread.late = undefined
    thread.quietSince = undefined
    if (culprit !== undefined) this.#culprits.release(thread, culprit)
  }

  // ---- the chain -----------------------------------------------------------------------------------------------

  #proceed(thread: PoolThread, now: number): void {
    const { late } = thread
    if (late === undefined) return
    const lateMs = now - late.since
    if (thread.slot !== undefined && thread.slot.stalledMs > 0) this.#stillStalled(thread, thread.slot, late, now)
    const silentMs = late.askedAt > 0 ? now - late.askedAt : 0
    if (silentMs > STOPPED_MS && (this.#killStopped(thread, lateMs) || silentMs > SUPERVISOR_MS)) return
    const step = late.taken
    const next = STEPS[step]
    if (next === undefined || lateMs < this.#dueMs(next, thread)) return
    if (step >= FIRST_GRAVE_STEP && late.checkedFor !== step) return this.#check(thread, late, step, now)
    late.taken++
    this.#take(next, thread, lateMs)
  }

  /**
   * A site that is being loaded in a process of its own keeps nobody from anything: it is let alone until its `hard_limit`.
   * A thread that was replaced for it would have to load it once more, and be as late again. So it is where sites are
   * together and nothing says whose code it is.
   */
  #dueMs(step: Step, thread: PoolThread): number {
    const due = dueMs(step, thread.late?.culprit?.limits)
    const [loading] = thread.loading
    if (loading === undefined) return due
    if (this.#pool.workforce.isOwn(thread)) return Math.max(due, loading.limits.hardLimitMs)
    return this.#maySpare(thread) && step !== 'slow' ? due + loading.limits.hardLimitMs : due
  }

  /** Whether a load may well be what keeps the thread, as native code that tells no stack. */
  #maySpare({ late, loading }: PoolThread): boolean {
    return loading.size > 0 && late?.culprit === undefined && (late?.taken ?? 0) >= FIRST_GRAVE_STEP
  }

  /**
   * Asks how much of its lateness a thread had no processor. One that has done next to nothing of its own in that time is
   * only late because the machine is overloaded, which is no site's fault: it is asked again later.
   */
  #check(thread: PoolThread, late: Lateness, step: number, now: number): void {
    if (late.askedAt > 0 || now < late.askAgainAt) return
    late.askedAt = now
    void this.#questions.delayMs(thread).then((delayedMs) => {
      late.askedAt = 0
      // Several sites that are loaded at once take turns on the processors.
      const neededMs = late.isLoad ? dueMs(STEPS[step] ?? 'kill', late.culprit?.limits) : OWN_MS
      if (delayedMs === undefined || ownMs(late, delayedMs) >= neededMs) late.checkedFor = step
      else late.askAgainAt = performance.now() + STALLED_MS
    })
  }

  #take(step: Step, thread: PoolThread, lateMs: number): void {
    switch (step) {
      case 'whose':
        return this.#culprits.seekEarly(thread)
      case 'stalled':
        return void this.#stalled(thread)
      case 'slow':
        return void this.#slow(thread, lateMs)
      case 'retire':
        return this.#retire(thread, lateMs)
      case 'terminate':
        this.#log.error(this.#evidence(thread, lateMs), 'thread is terminated: its site does not give it back')
        // To load it elsewhere would take as long. In a thread that others have filled it was the garbage collection, perhaps.
        if (thread.late?.isLoad && !thread.wasFull) thread.overdue = thread.late.culprit
        return this.#pool.workforce.endThread(thread, 0)
      case 'kill':
        return void this.#kill(thread, lateMs)
      default:
        return step satisfies never
    }
  }

  async #stalled(thread: PoolThread): Promise<void> {
    const { slot, late } = thread
    if (slot === undefined || late === undefined) return
    // What is being loaded here may be what keeps the thread: it must not do the same elsewhere.
    const loading = [...thread.loading].filter(({ lane }) => lane.heldBy === undefined)
    for (const { lane } of loading) this.#pool.scheduler.hold(lane, slot)
    this.#culprits.seek(thread, late)
    // In one that is full nobody loops, most likely: it is the garbage collection that everybody waits for.
    const mayLoop = late.culprit === undefined && !this.#pool.workforce.isFull(thread)
    if (mayLoop) await Promise.race([late.whose, this.#ownTime(thread, late, STACK_MS)])
    if (thread.late === late) {
      slot.stalledMs = performance.now() - late.since
      this.#pool.seekElsewhere(thread)
    }
    await late.whose
    for (const site of loading) {
      if (site === late.culprit || site.lane.heldBy !== slot) continue
      this.#pool.scheduler.release(site.lane)
      this.#pool.drainSite(site)
    }
  }

  /** The longer it lasts, the more of its sites are better off elsewhere. */
  #stillStalled(thread: PoolThread, slot: Slot<Exchange>, late: Lateness, now: number): void {
    slot.stalledMs = now - late.since
    if (now - late.soughtAt < SEEK_EVERY_MS) return
    late.soughtAt = now
    this.#pool.seekElsewhere(thread)
  }

  /** Resolves when the thread has been late for so long, in ms, without the time that it had no processor, or when it no longer is. */
  async #ownTime(thread: PoolThread, late: Lateness, ms: number): Promise<void> {
    while (thread.late === late) {
      const leftMs = ms - ownMs(late, await this.#questions.delayMs(thread))
      if (leftMs <= 0) return
      await delay(leftMs, undefined, { ref: false })
    }
  }

  async #slow(thread: PoolThread, lateMs: number): Promise<void> {
    const { late } = thread
    const stack = await this.#culprits.ask(thread)
    // It came round; where it is late once more, that is another matter, and has lasted for less.
    if (late === undefined || thread.late !== late) return
    // It has nothing to do: what it was sent is still on its way, on a machine that is overloaded.
    if (stack === '') return this.#punctual(thread, performance.now())
    if (late.culprit === undefined) this.#culprits.blameOnly(thread)
    if (this.#maySpare(thread)) this.#pool.moveStarted(thread, undefined)
    else if (!late.isLoad) this.#standBack(thread)
    const text = stack ?? 'not to be had: the thread is in native code'
    this.#log.warn({ ...this.#evidence(thread, lateMs), stack: text }, 'site keeps its thread')
    const { culprit } = late
    // To load modules takes time, once: it counts only when it takes as long as `soft_limit`.
    if (culprit !== undefined && !thread.loading.has(culprit) && !this.#pool.workforce.isFull(thread)) {
      this.#offend(late, culprit, kept(lateMs), true)
    }
  }

  #standBack(thread: PoolThread): void {
    thread.standsBack = true
    thread.process.order({ type: 'standBack', thread: thread.id })
  }

  #retire(thread: PoolThread, lateMs: number): void {
    const [loading, other] = thread.loading
    // It had its time.
    if (this.#maySpare(thread) && loading !== undefined && other === undefined) {
      this.#culprits.blame(thread, loading, undefined)
    }
    if (thread.late?.isLoad) this.#standBack(thread)
    this.#log.warn(this.#evidence(thread, lateMs), 'thread retires: it takes nothing new, another takes its place')
    if (thread.state === 'ready') {
      this.#pool.workforce.noNewRequests(thread)
      void this.#pool.workforce.startThread(thread.group)
    }
    const culprit = thread.late?.culprit
    if (culprit !== undefined && thread.loading.has(culprit)) this.#offend(thread.late, culprit, kept(lateMs), true)
    this.#pool.moveStarted(thread, culprit)
  }

  async #kill(thread: PoolThread, lateMs: number): Promise<void> {
    this.#log.error(this.#evidence(thread, lateMs), 'worker process is replaced: a thread of it cannot be ended')
    await replaceProcess(this.#pool, thread.process, thread)
  }

  /** The supervisor runs no site's code: when it is silent, its process was stopped, or gets no processor. @returns whether it was killed */
  #killStopped(thread: PoolThread, lateMs: number): boolean {
    const { pid } = thread.process
    if (pid === undefined) return false
    if (!thread.process.isStopped && lateMs < USUAL_LIMITS.hardLimitMs) return false
    const what = { process: thread.process.index, pid, forMs: Math.round(lateMs) }
    this.#log.error(what, 'worker process stands still and is killed')
    if (thread.late !== undefined) thread.late.askedAt = 0
    thread.process.kill()
    return true
  }

  /** A short block is an offence of whoever did it, unless the thread had no processor; those that are shorter still add up. */
  async #weigh(thread: PoolThread, late: Lateness, forMs: number): Promise<void> {
    const { culprit } = late
    if (culprit === undefined && !this.#hurts(thread)) return
    const keptMs = forMs - starvedMs(late, await this.#questions.delayMs(thread))
    if (keptMs < STALLED_MS) {
      if (keptMs > 0 && this.#hurts(thread)) this.#shortTurns.add(thread, culprit, keptMs, performance.now())
    } else if (culprit !== undefined && !thread.warmsUp(culprit)) this.#offend(late, culprit, kept(keptMs), false)
  }

  /** Whether somebody is kept waiting there by another, or was and the one who did it has to show that it behaves. */
  #hurts(thread: PoolThread): boolean {
    const { workforce } = this.#pool
    return workforce.isOwn(thread) || (thread.sites().size > 1 && !workforce.isFull(thread))
  }

  #offend(late: Lateness | undefined, site: PoolSite, text: string, severe: boolean): void {
    this.#pool.offence(site, { kind: 'blocked', text, severe, goesOn: late?.exchange === undefined })
  }

  #evidence(thread: PoolThread, lateMs: number): object {
    const { culprit, exchange } = thread.late ?? {}
    const request =
      exchange === undefined
        ? {}
        : {
            method: exchange.head.method,
            url: exchange.head.url,
            ageMs: Math.round(performance.now() - exchange.arrivedAt),
          }
    return { ...about(thread, culprit), ...request, forMs: Math.round(lateMs) }
  }
}

function kept(forMs: number): string {
  return `kept its thread for ${Math.round(forMs)} ms`
}

function about(thread: PoolThread, site: PoolSite | undefined): object {
  return { site: site?.name, thread: thread.id, process: thread.process.index }
}
