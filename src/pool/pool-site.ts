/**
 * One site in the pool: its lane, the generation that new requests go to, and the clock on requests that were not
 * answered yet.
 *
 * Why one timer a site: all its requests have the same time, so it is enough to look when the first of them can expire, and
 * a request costs two changes of a table instead of a timer of its own.
 *
 * Invariant: an exchange is in `#unanswered` from arrival until its answer begins or it fails.
 */
import { backOffMs } from '../core/back-off.ts'
import { IdTable } from '../core/id-table.ts'
import type { RecordedFlow } from '../core/pool-recorder.ts'
import type { LoadOrder, LoadReport } from '../protocol/frames.ts'
import type { Exchange } from './exchange.ts'
import type { Lane } from './scheduler.ts'

export interface SiteLimits {
  /** What a client waits for the beginning of an answer, from arrival, in ms. */
  timeoutMs: number
  /** Most requests that wait for a thread. */
  queue: number
  /** How long one may wait for a thread, in ms. */
  queueTimeoutMs: number
  /** How long old generations may take to finish, in ms. */
  stopTimeoutMs: number
  /** How long its code may keep a thread until that is logged, the thread retired, and ended, in ms. */
  slowMs: number
  softLimitMs: number
  hardLimitMs: number
  /** Short blocks within a minute that put it in quarantine, and for how long, in ms. */
  offences: number
  quarantineMs: number
  /** Unused for so long, in ms, it is dropped from memory; 0: never. */
  idleMs: number
  /** Loaded before its first request, and never dropped. */
  preload: boolean
  /** Part of its group's turns that it has in any case, and most of its places and threads, 0 to 1. */
  share: number
  max: number
  /** Most threads that it is loaded in at a time; undefined: as many as it needs. */
  maxThreads: number | undefined
}

const FIRST_RETRY_MS = 1_000
const LAST_RETRY_MS = 180_000
/** A generation that lived this long, in ms, and ended itself is loaded again at once. */
const LONG_LIFE_MS = 60_000

export class PoolSite {
  readonly name: string
  readonly lane: Lane<Exchange>
  limits: SiteLimits
  /** What is loaded for new requests. Undefined before the first generation and after removal. */
  order: LoadOrder | undefined
  /** Its handle at the recorder, and the group that it is for. */
  flow: RecordedFlow | undefined
  flowGroup = ''
  /** The report of the last load that worked. */
  loaded: LoadReport | undefined
  /** Why nothing of this site can be loaded now; undefined while it can. */
  failure: LoadReport | undefined
  /** `performance.now()` from which a failed load may be tried again. */
  retryAt = 0
  /** `performance.now()` until which its own process is not started again. */
  throttledUntil = 0
  requests = 0
  /** `performance.now()` of its last request, or of when it was added. */
  lastUsedAt = performance.now()
  /** The site was taken away: nothing of it may be put in service any more. */
  removed = false
  /** Whether a generation of it loaded native code: it stays a suspect, since an older generation may be at work. */
  hasNative = false
  /** The last replacement of its generation, while it is on its way, so that two never overlap (renewal.ts). */
  renewal: Promise<unknown> | undefined
  /** Loads in a row during which the thread was lost. */
  lostLoads = 0
  #failures = 0
  #quickEnds = 0
  #loadedAt = 0
  readonly #unanswered = new IdTable<Exchange>()
  readonly #onTimeout: (exchange: Exchange) => void
  #timer: NodeJS.Timeout | undefined

  /** @param onTimeout called for each exchange whose answer did not begin in time */
  constructor(name: string, lane: Lane<Exchange>, limits: SiteLimits, onTimeout: (exchange: Exchange) => void) {
    this.name = name
    this.lane = lane
    this.limits = limits
    this.adopt(limits)
    this.#onTimeout = onTimeout
  }

  /** These limits are in force from now on, also for the requests that it has. */
  adopt(limits: SiteLimits): void {
    const isSooner = limits.timeoutMs < this.limits.timeoutMs
    this.limits = limits
    this.lane.maxWaiting = limits.queue
    this.lane.share = limits.share
    this.lane.max = limits.max
    this.lane.maxThreads = limits.maxThreads ?? Number.POSITIVE_INFINITY
    if (!isSooner || this.#timer === undefined) return
    this.close()
    this.#sweep()
  }

  foundNative(): void {
    this.hasNative = true
  }

  /** A load failed: the next attempt waits 1 s, doubling to 3 min. @returns the wait in ms */
  failed(report: LoadReport, now: number): number {
    const waitMs = backOffMs(++this.#failures, FIRST_RETRY_MS, LAST_RETRY_MS)
    this.failure = report
    this.retryAt = now + waitMs
    return waitMs
  }

  /** A generation was proven elsewhere: it is loaded with the next request, where the site is from now on. */
  proven(order: LoadOrder, report: LoadReport): void {
    this.order = order
    this.lane.spreadable = true
    this.worked(report)
  }

  worked(report: LoadReport): void {
    this.loaded = report
    this.lane.loadMs = report.tookMs
    this.failure = undefined
    this.#failures = 0
    this.#loadedAt = performance.now()
  }

  /** Its code has ended itself: it is loaded again, more and more slowly where it does so soon. @returns the wait in ms */
  endedItself(report: LoadReport, now: number): number {
    this.#quickEnds = now - this.#loadedAt < LONG_LIFE_MS ? this.#quickEnds + 1 : 0
    if (this.#quickEnds === 0) return 0
    const waitMs = backOffMs(this.#quickEnds, FIRST_RETRY_MS, LAST_RETRY_MS)
    this.failure = report
    this.retryAt = now + waitMs
    return waitMs
  }

  /** Whether nobody has used it for its idle time. */
  isIdle(now: number): boolean {
    const { idleMs, preload } = this.limits
    const { inFlight, lent, waiting } = this.lane
    if (preload || idleMs === 0 || inFlight + lent + waiting.size > 0) return false
    return now - this.lastUsedAt >= idleMs
  }

  arrived(exchange: Exchange): void {
    this.requests++
    this.lastUsedAt = exchange.arrivedAt
    this.#unanswered.set(exchange.serial, exchange)
    this.#timer ??= this.#arm(this.limits.timeoutMs)
  }

  /** The answer begins, or there will be none. */
  settled(exchange: Exchange): void {
    this.#unanswered.delete(exchange.serial)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #arm(waitMs: number): NodeJS.Timeout {
    // Node's longest timer is 2^31-1 ms; the sweep simply comes by again.
    const timer = setTimeout(() => this.#sweep(), Math.min(Math.max(1, Math.ceil(waitMs)), 0x7fffffff))
    return timer.unref()
  }

  #sweep(): void {
    this.#timer = undefined
    const now = performance.now()
    let nextMs = Number.POSITIVE_INFINITY
    for (const exchange of this.#unanswered.values()) {
      const leftMs = exchange.arrivedAt + this.limits.timeoutMs - now
      if (leftMs > 0) {
        nextMs = Math.min(nextMs, leftMs)
        continue
      }
      // One that failed before may have taken others with it.
      if (this.#unanswered.delete(exchange.serial) !== undefined) this.#onTimeout(exchange)
    }
    if (nextMs === Number.POSITIVE_INFINITY) return
    clearTimeout(this.#timer)
    this.#timer = this.#arm(nextMs)
  }
}

/** Whether two orders differ in nothing that the site's code could see. */
export function isSameCode(a: LoadOrder, b: LoadOrder): boolean {
  return JSON.stringify({ ...a, generation: 0 }) === JSON.stringify({ ...b, generation: 0 })
}
