/**
 * The two handles that the pool holds on the recorder: a pool, with its busy threads over time, and a flow, the requests
 * of one site in one pool. They are handles and not names, so that a request costs no look-up.
 *
 * Invariant: the times with 0, 1, 2, … busy threads of a pool add up to the time that has passed.
 */
import type { PoolRecord, SiteRecord } from '../core/advice-report.ts'
import { Costs } from './costs.ts'
import { EMPTY, Histogram } from './histogram.ts'

/** Requests of which the mean says something. */
const ENOUGH = 5
/** More busy threads than this count as so many. */
export const MAX_BUSY = 256

/** The requests of one site in one pool. Made by `Recorder.flow`. */
export class Flow {
  readonly pool: PoolFlow
  readonly site: string
  /** What the interval that is open has of it; undefined while it has nothing. */
  tally: Tally | undefined
  /** Its number in the stretch that is open, and which one that is. */
  stretch = 0
  number = 0
  /** Mean time of a request in the minute before; infinite until it is known. */
  lastMeanMs = Number.POSITIVE_INFINITY
  /** Its slot in its pool's `costs`. */
  slot = 0

  constructor(pool: PoolFlow, site: string) {
    this.pool = pool
    this.site = site
  }

  /** No request costs more than it takes. */
  get mostCostMs(): number {
    const { tally } = this
    return tally !== undefined && tally.service.count >= ENOUGH ? tally.service.meanMs : this.lastMeanMs
  }
}

/** One pool. Made by `Recorder.pool`. */
export class PoolFlow {
  readonly name: string
  concurrency: number
  threads = 0
  busy = 0
  readonly costs = new Costs()
  #sinceMs: number
  #threadMs = 0
  readonly #busyMs = new Float64Array(MAX_BUSY + 1)
  readonly #found = new Float64Array(MAX_BUSY + 1)

  constructor(name: string, concurrency: number, nowMs: number) {
    this.name = name
    this.concurrency = concurrency
    this.#sinceMs = nowMs
  }

  arrived(): void {
    const k = Math.min(this.busy, MAX_BUSY)
    this.#found[k] = (this.#found[k] as number) + 1
  }

  /** Takes in that a thread became busy (1) or idle (-1). */
  changeBusy(by: 1 | -1, nowMs: number): void {
    this.advance(nowMs)
    this.busy = Math.max(0, this.busy + by)
  }

  changeThreads(by: 1 | -1, nowMs: number): void {
    this.advance(nowMs)
    this.threads = Math.max(0, this.threads + by)
  }

  /** Counts the time up to now. A `nowMs` before the last one counts nothing. */
  advance(nowMs: number): void {
    const passedMs = nowMs - this.#sinceMs
    if (passedMs <= 0) return
    const k = Math.min(this.busy, MAX_BUSY)
    this.#busyMs[k] = (this.#busyMs[k] as number) + passedMs
    this.#threadMs += passedMs * this.threads
    this.#sinceMs = nowMs
  }

  /** It has threads again after a time that was not recorded. */
  resume(nowMs: number): void {
    this.#sinceMs = nowMs
  }

  /** What was counted since the last `clear`. */
  record(): PoolRecord {
    return {
      pool: this.name,
      concurrency: this.concurrency,
      threads: this.threads,
      threadMs: this.#threadMs,
      busyMs: withoutTail(this.#busyMs),
      found: withoutTail(this.#found),
    }
  }

  clear(): void {
    this.#threadMs = 0
    this.#busyMs.fill(0)
    this.#found.fill(0)
  }
}

/** What one interval knows of a flow while it is open. */
export class Tally {
  arrived = 0
  refused = 0
  loopMs = 0
  cpuMs = 0
  measured = false
  memoryBytes = 0
  readonly service = new Histogram()
  readonly wait = new Histogram()
  /** Waits of those that found the site loaded nowhere. */
  cold: Histogram | undefined
  blocks: Histogram | undefined

  record(pool: string, site: string): SiteRecord {
    const { arrived, refused, service, wait, cold, blocks, loopMs, cpuMs, memoryBytes } = this
    return {
      pool,
      site,
      arrived,
      refused,
      service: service.pack(),
      wait: wait.pack(),
      ...(cold !== undefined && { cold: cold.pack() }),
      blocks: blocks?.pack() ?? EMPTY,
      ...(this.measured && { loopMs, cpuMs }),
      ...(memoryBytes > 0 && { memoryBytes }),
    }
  }

  clear(): void {
    this.arrived = 0
    this.refused = 0
    this.loopMs = 0
    this.cpuMs = 0
    this.measured = false
    this.memoryBytes = 0
    this.service.clear()
    this.wait.clear()
    this.cold = undefined
    this.blocks = undefined
  }
}

function withoutTail(values: Float64Array): number[] {
  let end = values.length
  while (end > 0 && values[end - 1] === 0) end--
  return [...values.subarray(0, end)]
}
