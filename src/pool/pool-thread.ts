/**
 * One thread from the dispatcher's side: its states, what is loaded in it, and when it is idle. Carries no request
 * itself: its link does.
 *
 * A state carries only what it knows: `link` and `slot` exist from `ready` on. Invariant: `ended` resolves exactly once,
 * and `started` is settled by then.
 */
import type { RecordedThread } from '../core/pool-recorder.ts'
import type { Running } from '../core/thread-board.ts'
import type { LoadOrder, LoadReport } from '../protocol/frames.ts'
import type { Exchange } from './exchange.ts'
import type { PoolSite } from './pool-site.ts'
import type { Slot } from './scheduler.ts'
import { beginLoad, endLoad } from './scheduler.ts'
import type { ThreadLink } from './thread-link.ts'
import { failedReport } from './thread-link.ts'
import type { WorkerProcess } from './worker-process.ts'

export type ThreadState = 'starting' | 'ready' | 'retiring' | 'ended'

/** How a thread came to its end. */
export interface ThreadFate {
  /** Alone, by order or by its own doing, or with its whole process. */
  what: 'thread' | 'process'
  why: string
  /** That ended the process. */
  signal: NodeJS.Signals | null
  /** Whose code ran when the thread ended alone, as marked on its board. */
  running: Running | undefined
}

/** What is known of a thread that does not answer. */
export interface Lateness {
  /** `performance.now()` since when. */
  since: number
  /** The site whose code keeps it, once that is known. */
  culprit: PoolSite | undefined
  /** Whether it was being loaded then. */
  isLoad: boolean
  /** The request of the culprit that is running, where there is one. */
  exchange: Exchange | undefined
  /** Settled once the stack has said whose code it is, as far as it does; undefined while it was not asked. */
  whose: Promise<unknown> | undefined
  /** When its supervisor was asked to take requests back; 0 once it has answered. */
  askedAt: number
  /** Steps of the chain that were taken (watch.ts). */
  taken: number
  /** The step for which it was asked how long it had no processor. */
  checkedFor: number
  /** From when on it may be asked again; `performance.now()`. */
  askAgainAt: number
  /** When threads were last sought for its sites; `performance.now()`. */
  soughtAt: number
  /** Its run delay when it became late, as far as known, in ms. */
  delayedMs: number | undefined
  /** How long its supervisor took to tell that, which had no processor itself then, in ms. */
  untoldMs: number
}

/** A thread that was found late just now. @param since when it was heard of last, `performance.now()` as `now` is */
export function newLateness(since: number, now: number): Lateness {
  return {
    since,
    culprit: undefined,
    isLoad: false,
    exchange: undefined,
    whose: undefined,
    askedAt: now,
    taken: 0,
    checkedFor: 0,
    askAgainAt: 0,
    soughtAt: now,
    delayedMs: undefined,
    untoldMs: 0,
  }
}

/** For how long of its lateness a thread had no processor, in ms; 0 where its supervisor has not told. @param delayedMs its run delay now */
export function starvedMs(late: Lateness, delayedMs: number | undefined): number {
  return delayedMs === undefined || late.delayedMs === undefined ? 0 : late.untoldMs + delayedMs - late.delayedMs
}

/** For how long a thread is late by its own doing, in ms. @param delayedMs its run delay now, as far as its supervisor tells */
export function ownMs(late: Lateness, delayedMs: number | undefined): number {
  return performance.now() - late.since - starvedMs(late, delayedMs)
}

export class PoolThread {
  readonly id: number
  readonly token: string
  readonly process: WorkerProcess
  readonly group: string
  state: ThreadState = 'starting'
  link: ThreadLink | undefined
  slot: Slot<Exchange> | undefined
  /** Set while it does not answer. */
  late: Lateness | undefined
  /** Since when nothing was heard of it though something should be; `performance.now()`. */
  quietSince: number | undefined
  /** When its stack was last asked whose code it is; `performance.now()`. */
  lookedAt = Number.NEGATIVE_INFINITY
  /** The site that it is kept, or was ended, by; as far as known. */
  blamed: PoolSite | undefined
  /** The site whose load has kept it for longer than the site's `hard_limit`, so that it was ended. */
  overdue: PoolSite | undefined
  /** Whether it had much in its memory already when that began to keep it. */
  wasFull = false
  /** It has a low priority for good: it is replaced as soon as it comes round. */
  standsBack = false
  /** Its handle at the recorder. */
  record: RecordedThread | undefined
  /** Requests that it was handed. */
  requests = 0
  /** Heap and external memory when it was last measured, in bytes. */
  memoryBytes = 0
  /** Processor time since it began when it was last measured, in ms. */
  cpuMs = 0
  /** The same with the time for which it waited for a processor. */
  wantedMs = 0
  /** `performance.now()` of the order to start it. */
  readonly startedAt = performance.now()
  /** What was open when its socket closed. */
  orphans: Exchange[] | undefined
  /** Sites that were being loaded when its socket closed. */
  lostLoads: PoolSite[] | undefined
  /** Whether its end was in order. */
  wasRetiring = false
  /** Generations loaded here, or being loaded, that serve or may serve. */
  readonly live = new Map<number, PoolSite>()
  /** Sites that are being loaded here. */
  readonly loading = new Set<PoolSite>()
  /** Generations that were loaded here, or failed to, and are of no use: their code stays until the thread ends. */
  readonly stale = new Map<number, PoolSite>()
  /** Generations whose first block was seen. */
  readonly #warm = new Set<number>()
  /** Resolves with whether the thread came up. */
  readonly started: Promise<boolean>
  readonly ended: Promise<void>
  #start = (_up: boolean): void => {}
  #end = (): void => {}
  readonly #idleWaiters = new Set<() => void>()

  /** Resolves with how it came to its end, as soon as that is known. */
  readonly fate: Promise<ThreadFate>
  hasFate = false
  #settleFate = (_fate: ThreadFate): void => {}

  constructor(id: number, token: string, process: WorkerProcess, group: string) {
    this.id = id
    this.token = token
    this.process = process
    this.group = group
    this.fate = new Promise((resolve) => {
      this.#settleFate = resolve
    })
    this.started = new Promise((resolve) => {
      this.#start = resolve
    })
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
  }

  connected(link: ThreadLink, slot: Slot<Exchange>): void {
    this.link = link
    this.slot = slot
    this.state = 'ready'
    this.#start(true)
  }

  /** It is known why it ended; the first that is told counts. */
  fated(fate: ThreadFate): void {
    this.hasFate = true
    this.#settleFate(fate)
  }

  end(): void {
    this.wasRetiring = this.state === 'retiring'
    this.state = 'ended'
    this.#start(false)
    this.#end()
    this.becameIdle()
  }

  /** Loads a generation; a thread that is not there reports a failure. */
  async load(site: PoolSite, order: LoadOrder): Promise<LoadReport> {
    if (this.link === undefined || this.state === 'ended') return failedReport('the thread has ended')
    this.live.set(order.generation, site)
    this.loading.add(site)
    if (this.slot !== undefined) beginLoad(site.lane, this.slot)
    const told = await this.link.load(order)
    const report = this.overdue === site && told.shape === undefined ? overdueReport(site) : told
    if (this.slot !== undefined) endLoad(site.lane, this.slot)
    this.loading.delete(site)
    if (report.shape === undefined) this.spoil(order.generation)
    return report
  }

  /**
   * Whether a block of the site is the first of its generation here: many programs load the rest of themselves at their
   * first request, once in each thread.
   */
  warmsUp(site: PoolSite): boolean {
    const generation = [...this.live].findLast(([, owner]) => owner === site)?.[0]
    if (generation === undefined || this.#warm.has(generation)) return false
    this.#warm.add(generation)
    return true
  }

  /** The generation is of no use any more. */
  spoil(generation: number): void {
    const site = this.live.get(generation)
    if (site === undefined) return
    this.live.delete(generation)
    this.#warm.delete(generation)
    this.stale.set(generation, site)
    this.slot?.spoiled.add(site.lane)
  }

  /** Lets a site's generations here finish what they have, for `graceMs` at most, and close themselves. */
  async closeGenerations(site: PoolSite, graceMs: number): Promise<void> {
    const generations = [...this.live].filter(([, owner]) => owner === site).map(([generation]) => generation)
    for (const generation of generations) {
      this.spoil(generation)
      await this.#until(() => !this.#isServingGeneration(generation), graceMs)
      if (this.state !== 'ended') await this.link?.unload(generation)
    }
  }

  /** Resolves when nothing is open here, at the latest after `graceMs`. */
  idle(graceMs: number): Promise<void> {
    return this.#until(() => this.link === undefined || this.link.open.size === 0, graceMs)
  }

  /** To be called whenever an exchange has left the thread. */
  becameIdle(): void {
    for (const check of [...this.#idleWaiters]) check()
  }

  /** The sites that have code here. */
  sites(): Set<PoolSite> {
    return new Set([...this.live.values(), ...this.stale.values()])
  }

  /** How many sites are there that may not be in any number of threads: what they have in memory is lost with this one. */
  get stateful(): number {
    return [...(this.slot?.lanes ?? [])].filter(({ maxThreads }) => Number.isFinite(maxThreads)).length
  }

  /** Whether all that serves here can be loaded elsewhere, as far as can be told, and nothing is on its way. */
  get mayLeave(): boolean {
    if (this.state !== 'ready' || this.late !== undefined || this.loading.size > 0) return false
    return [...(this.slot?.lanes ?? [])].every(({ spreadable, warm }) => spreadable || warm.size > 1)
  }

  siteOf(generation: number): PoolSite | undefined {
    return this.live.get(generation) ?? this.stale.get(generation)
  }

  /** Whether a request or a tunnel of the site is open here. */
  isServing(site: PoolSite): boolean {
    return this.link?.open.some((exchange) => exchange.site === site) === true
  }

  #isServingGeneration(generation: number): boolean {
    return this.link?.open.some((exchange) => exchange.head.generation === generation) === true
  }

  #until(condition: () => boolean, graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(deadline)
        this.#idleWaiters.delete(check)
        resolve()
      }
      const check = (): void => {
        if (this.state === 'ended' || condition()) done()
      }
      const deadline = setTimeout(done, graceMs)
      this.#idleWaiters.add(check)
      check()
    })
  }
}

function overdueReport({ limits }: PoolSite): LoadReport {
  return failedReport(
    `it kept its thread for longer than ${limits.hardLimitMs} ms ([limits] hard_limit) while it was loading`,
  )
}
