/**
 * Intervals that are over, packed. New ones are a minute long; when there are too many, or they take too much memory, two
 * neighbours are made one: those whose sum is shortest for its age. So the last minutes are told apart, and of yesterday
 * the parts of the day; nothing that was counted is lost within 24 hours.
 *
 * Invariant: intervals are in order of time, and at most `MAX_INTERVALS`; their records hold at most about `MAX_NUMBERS`
 * numbers of 8 bytes, unless `MIN_INTERVALS` alone take more.
 */
import type { PoolRecord, SiteRecord } from '../core/advice-report.ts'
import { EMPTY, mergePacked } from './histogram.ts'

const MAX_INTERVALS = 96
const MIN_INTERVALS = 8
/** 4 MB. */
const MAX_NUMBERS = 524_288
/** What a record takes besides its histograms, in numbers. */
const RECORD_NUMBERS = 40
const EVEN_MS = 600_000
const MAX_AGE_MS = 86_400_000

export interface Interval {
  fromMs: number
  toMs: number
  pools: PoolRecord[]
  sites: SiteRecord[]
}

export class Intervals {
  readonly #list: { interval: Interval; numbers: number }[] = []
  #numbers = 0

  /** Takes an interval that is newer than all others. */
  push(interval: Interval): void {
    this.#insert(this.#list.length, interval)
    while (this.#list[0] !== undefined && this.#list[0].interval.toMs <= interval.toMs - MAX_AGE_MS) this.#remove(0)
    while (this.#isTooMuch()) this.#mergeAt(shortest(this.#list.map((each) => each.interval)))
  }

  /** Those that end after `fromMs`, oldest first. */
  since(fromMs: number): Interval[] {
    return this.#list.map(({ interval }) => interval).filter(({ toMs }) => toMs > fromMs)
  }

  #isTooMuch(): boolean {
    const { length } = this.#list
    return length > MAX_INTERVALS || (length > MIN_INTERVALS && this.#numbers > MAX_NUMBERS)
  }

  #mergeAt(index: number): void {
    const [a, b] = [this.#remove(index), this.#remove(index)]
    this.#insert(index, {
      fromMs: a.fromMs,
      toMs: b.toMs,
      pools: mergePools([a.pools, b.pools]),
      sites: mergeSites([a.sites, b.sites]),
    })
  }

  #insert(index: number, interval: Interval): void {
    const numbers = numbersOf(interval)
    this.#list.splice(index, 0, { interval, numbers })
    this.#numbers += numbers
  }

  #remove(index: number): Interval {
    const [{ interval, numbers }] = this.#list.splice(index, 1) as [{ interval: Interval; numbers: number }]
    this.#numbers -= numbers
    return interval
  }
}

/** Index of the first of the two neighbours that are to become one. */
function shortest(list: readonly Interval[]): number {
  const nowMs = list.at(-1)?.toMs ?? 0
  let best = 0
  let bestLoss = Number.POSITIVE_INFINITY
  for (let index = 0; index + 1 < list.length; index++) {
    const a = list[index] as Interval
    const b = list[index + 1] as Interval
    const loss = (b.toMs - a.fromMs) / Math.max(nowMs - b.toMs, EVEN_MS)
    if (loss >= bestLoss) continue
    best = index
    bestLoss = loss
  }
  return best
}

function numbersOf({ pools, sites }: Interval): number {
  let numbers = 0
  for (const { busyMs, found } of pools) numbers += RECORD_NUMBERS + busyMs.length + found.length
  for (const { service, wait, cold = EMPTY, blocks } of sites) {
    const histograms = [service, wait, cold, blocks]
    numbers += histograms.reduce((sum, { buckets }) => sum + buckets.length, RECORD_NUMBERS)
  }
  return numbers
}

/** All records of one pool as one, in order of first appearance; `threads` and `concurrency` as the last one says. */
export function mergePools(lists: readonly (readonly PoolRecord[])[]): PoolRecord[] {
  const merged = new Map<string, PoolRecord>()
  for (const record of lists.flat()) {
    const before = merged.get(record.pool)
    if (before === undefined) merged.set(record.pool, record)
    else {
      merged.set(record.pool, {
        ...record,
        threadMs: before.threadMs + record.threadMs,
        busyMs: addAll(before.busyMs, record.busyMs),
        found: addAll(before.found, record.found),
      })
    }
  }
  return [...merged.values()]
}

/** All records of one site in one pool as one. */
export function mergeSites(lists: readonly (readonly SiteRecord[])[]): SiteRecord[] {
  const groups = Map.groupBy(lists.flat(), ({ pool, site }) => `${pool}\0${site}`)
  return [...groups.values()].map((group) => (group.length === 1 ? (group[0] as SiteRecord) : mergeGroup(group)))
}

/** @param group not empty, all of one site in one pool */
function mergeGroup(group: readonly SiteRecord[]): SiteRecord {
  const { pool, site } = group[0] as SiteRecord
  const measured = group.some(({ loopMs }) => loopMs !== undefined)
  const memoryBytes = group.reduce((most, { memoryBytes }) => Math.max(most, memoryBytes ?? 0), 0)
  const cold = mergePacked(group.map(({ cold = EMPTY }) => cold))
  const sum = (of: (record: SiteRecord) => number): number => group.reduce((total, record) => total + of(record), 0)
  return {
    pool,
    site,
    arrived: sum(({ arrived }) => arrived),
    refused: sum(({ refused }) => refused),
    service: mergePacked(group.map(({ service }) => service)),
    wait: mergePacked(group.map(({ wait }) => wait)),
    ...(cold.count > 0 && { cold }),
    blocks: mergePacked(group.map(({ blocks }) => blocks)),
    ...(measured && { loopMs: sum(({ loopMs }) => loopMs ?? 0), cpuMs: sum(({ cpuMs }) => cpuMs ?? 0) }),
    ...(memoryBytes > 0 && { memoryBytes }),
  }
}

function addAll(a: readonly number[], b: readonly number[]): number[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, index) => (a[index] ?? 0) + (b[index] ?? 0))
}
