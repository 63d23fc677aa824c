/**
 * What is done when the helper threads of a shared process (libuv's pool: files, hashes, compression, lookups) do not come to
 * what they have to do. The sites whose jobs explain the processor time that they took are held to account. What is in the pool
 * already cannot be taken back: where that lasts for too long, or they wait for something that does not come (a FIFO, a dead
 * network drive), the process is replaced.
 *
 * What a job costs is a guess, so only what explains a good part of that time is held against a site; where nothing does and
 * native addons had jobs, whose cost nobody knows, the sites that had them are separated until it is known. Limits: helper
 * threads that neither work nor are late for long may lack a disk or a processor because of others, and nothing is done. What a
 * site does in a process of its own delays nobody else, and is not looked at. Invariant: nobody is blamed whose jobs were few.
 */
import type { Log } from '../core/log.ts'
import type { SupervisorReport } from '../core/worker-orders.ts'
import type { PoolSite } from './pool-site.ts'
import type { PoolThread } from './pool-thread.ts'
import type { Offence } from './quarantine.ts'
import type { WorkerProcess } from './worker-process.ts'

export type HelpersReport = Extract<SupervisorReport, { type: 'helpers' }>

/** What was counted of one site, in all threads of the process. */
export interface SiteUse<S> {
  site: S
  /** What its jobs of Node's own kinds cost, by their kinds, in ms. */
  costMs: number
  /** Jobs of native addons. */
  natives: number
}

export interface Culprits<S> {
  known: S[]
  /** One or more of these, if none is known. */
  possible: S[]
}

export interface HelperHandlers {
  onOffence(site: PoolSite, offence: Offence): void
  onSuspects(sites: PoolSite[], offence: Offence): void
  /** Its sites are loaded elsewhere, then it is killed and starts again. */
  replace(process: WorkerProcess): Promise<void>
}

/** A wait for the helper threads of a process. */
interface Episode {
  /** When it was last told of. */
  at: number
  /** Who was held to account for it, and whether in full. */
  blamed: Map<PoolSite, boolean>
}

/** Share of the time that the helper threads ran for which a site's jobs have to account, and of the largest such. */
const LEAST_SHARE = 0.25
const LEAST_OF_LARGEST = 0.5
/** Share of one processor that the helper threads have to take together: those that do not work keep nobody by their work. */
const WORKING = 0.3
/** From this wait on the process is replaced, in ms: where they work, and where they do not, which a slow disk may be. */
const LONGEST_WORK_MS = 10_000
const LONGEST_WAIT_MS = 20_000
/** From one report to the next it is the same wait as long as no more than this passes, in ms. */
const EPISODE_MS = 3_000
/** That nothing says whose doing it is, is told once in so long for each process. */
const TELL_EVERY_MS = 60_000

export class HelperThreads {
  readonly #threads: ReadonlyMap<number, PoolThread>
  readonly #handlers: HelperHandlers
  readonly #log: Log
  readonly #episodes = new WeakMap<WorkerProcess, Episode>()
  readonly #toldAt = new WeakMap<WorkerProcess, number>()

  constructor(threads: ReadonlyMap<number, PoolThread>, handlers: HelperHandlers, log: Log) {
    this.#threads = threads
    this.#handlers = handlers
    this.#log = log
  }

  /** The supervisor of a process has counted. */
  report(process: WorkerProcess, { lateMs, ranMs, countedMs, uses }: HelpersReport): void {
    if (process.isDoomed) return
    const works = ranMs >= countedMs * WORKING
    const isOver = lateMs >= (works ? LONGEST_WORK_MS : LONGEST_WAIT_MS)
    if (works) this.#judge(process, culpritsOf(this.#bySite(uses), ranMs), lateMs)
    else if (isOver) this.#judge(process, { known: [], possible: this.#waiting(process, lateMs) }, lateMs)
    if (isOver) void this.#replace(process, lateMs)
  }

  #judge(process: WorkerProcess, { known, possible }: Culprits<PoolSite>, lateMs: number): void {
    const episode = this.#episodeOf(process)
    const text = `kept the helper threads of its process: files and lookups waited for ${Math.round(lateMs)} ms`
    for (const site of known) {
      const severe = lateMs >= site.limits.slowMs
      // What is in the pool cannot be taken back: that it lasts is the same offence, but for its weight.
      if (episode.blamed.get(site) === severe || episode.blamed.get(site) === true) continue
      episode.blamed.set(site, severe)
      this.#handlers.onOffence(site, { kind: 'blocked', text, severe, goesOn: true })
    }
    if (possible.length > 0) this.#handlers.onSuspects(possible, { kind: 'blocked', text, severe: true, goesOn: true })
    else if (episode.blamed.size === 0) this.#tell(process, lateMs)
  }

  /** Sites with requests that are older than the wait: one of them may be what the helper threads wait for. */
  #waiting(process: WorkerProcess, lateMs: number): PoolSite[] {
    const before = performance.now() - lateMs
    const threads = [...this.#threads.values()].filter((thread) => thread.process === process)
    const exchanges = threads.flatMap((thread) => [...(thread.link?.open.values() ?? [])])
    return [...new Set(exchanges.filter(({ arrivedAt }) => arrivedAt <= before).map(({ site }) => site))]
  }

  #episodeOf(process: WorkerProcess): Episode {
    const now = performance.now()
    const before = this.#episodes.get(process)
    const isSame = before !== undefined && now - before.at < EPISODE_MS
    const episode = { at: now, blamed: isSame ? before.blamed : new Map<PoolSite, boolean>() }
    this.#episodes.set(process, episode)
    return episode
  }

  async #replace(process: WorkerProcess, lateMs: number): Promise<void> {
    const what = { process: process.index, lateMs: Math.round(lateMs) }
    this.#log.error(what, 'worker process is replaced: its helper threads do not come back')
    try {
      await this.#handlers.replace(process)
    } catch (error) {
      this.#log.error({ err: error }, 'replacing a worker process failed')
    }
  }

  #bySite(uses: HelpersReport['uses']): SiteUse<PoolSite>[] {
    const bySite = new Map<PoolSite, SiteUse<PoolSite>>()
    for (const { thread, generation, costMs, natives } of uses) {
      const site = this.#threads.get(thread)?.siteOf(generation)
      if (site === undefined) continue
      const before = bySite.get(site) ?? { site, costMs: 0, natives: 0 }
      bySite.set(site, { site, costMs: before.costMs + costMs, natives: before.natives + natives })
    }
    return [...bySite.values()]
  }

  #tell(process: WorkerProcess, lateMs: number): void {
    const now = performance.now()
    if (now - (this.#toldAt.get(process) ?? Number.NEGATIVE_INFINITY) < TELL_EVERY_MS) return
    this.#toldAt.set(process, now)
    const what = { process: process.index, lateMs: Math.round(lateMs) }
    this.#log.warn(what, 'helper threads are late, and nothing tells whose doing it is')
  }
}

/** @param ranMs processor time of the helper threads while it was counted */
export function culpritsOf<S>(uses: readonly SiteUse<S>[], ranMs: number): Culprits<S> {
  const largest = Math.max(0, ...uses.map(({ costMs }) => costMs))
  const least = Math.max(ranMs * LEAST_SHARE, largest * LEAST_OF_LARGEST)
  const known = uses.filter(({ costMs }) => costMs > 0 && costMs >= least)
  const possible = known.length > 0 ? [] : uses.filter(({ natives }) => natives > 0)
  return { known: known.map(({ site }) => site), possible: possible.map(({ site }) => site) }
}
