/**
 * Makes of a snapshot what the replay runs on: the requests of one pool in order of arrival, each with the times for
 * which it holds a place, an event loop and a processor.
 *
 * The time in the pool is known of each request. The time of event loops and processors is known only as a sum for each
 * site, so it is given out: of each request's time the first θ ms count as computing, with θ such that the sum is what was
 * measured. So a site that computes all the time has θ = ∞, one that waits for a database a θ of some milliseconds, and a
 * download of an hour does not hold a thread for longer than another request.
 *
 * Invariant: arrivals are in order; no request computes for longer than it was in the pool.
 */
import type { AdviceSnapshot, ArrivalStretch, SiteRecord } from '../core/advice-report.ts'

/** Columns of equal length. */
export interface Arrivals {
  /** From the first one, in order. */
  atMs: Float64Array
  /** How long each holds a place in a thread. */
  serviceMs: Float64Array
  /** How long of that its code runs, or blocks, so that nothing else of its thread can. */
  loopMs: Float64Array
  /** How long of that it needs a processor. */
  cpuMs: Float64Array
  /** How many requests each stands for; 0: it makes the queue, but is not counted. */
  weight: Float64Array
  /** What was assumed of each site. */
  demands: ReadonlyMap<string, Demand>
  /** Sites that may not use all threads. */
  lanes?: readonly Lane[]
  /** For each request the index in `lanes`, -1 for sites that may use all; left out where all may. */
  lane?: Int16Array
}

/** A site with `[limits] max_threads`. */
export interface Lane {
  site: string
  maxThreads: number
}

/** What one request of a site takes: the first `loopMs` of its time, as a mean `meanLoopMs`, of that a share on a processor. */
export interface Demand {
  loopMs: number
  meanLoopMs: number
  cpuOfLoop: number
}

export interface ArrivalOptions {
  /**
   * Where no time of event loops was measured: the share of a request's time that it computes, 0 to 1. Left out: it holds
   * its thread for all of its time, and no processor is reckoned.
   */
  cpuShare?: number
}

/** After a gap the queue is not known: this share of a stretch only fills it again. */
const WARM_UP = 0.25
const BISECTIONS = 40

interface Row {
  atMs: number
  serviceMs: number
  site: string
  weight: number
}

/** The recorded requests of one pool. @param pool its name */
export function arrivalsOf(snapshot: AdviceSnapshot, pool: string, options: ArrivalOptions = {}): Arrivals {
  const rows = snapshot.arrivals.flatMap((stretch) => rowsOf(stretch, pool, snapshot.fromMs))
  rows.sort((a, b) => a.atMs - b.atMs)
  const times = Map.groupBy(rows, ({ site }) => site)
  const demands = new Map<string, Demand>()
  for (const record of snapshot.sites) {
    if (record.pool !== pool) continue
    const own = (times.get(record.site) ?? []).map(({ serviceMs }) => serviceMs)
    demands.set(record.site, demandOf(record, own, options))
  }
  const first = rows[0]?.atMs ?? 0
  const lanes = snapshot.sites.flatMap(({ pool: owner, site, maxThreads }): Lane[] =>
    owner !== pool || maxThreads === undefined ? [] : [{ site, maxThreads }],
  )
  const laneOf = new Map(lanes.map(({ site }, index) => [site, index]))
  const loop = (row: Row): number => Math.min(row.serviceMs, demands.get(row.site)?.loopMs ?? row.serviceMs)
  return {
    atMs: Float64Array.from(rows, (row) => row.atMs - first),
    serviceMs: Float64Array.from(rows, (row) => row.serviceMs),
    loopMs: Float64Array.from(rows, loop),
    cpuMs: Float64Array.from(rows, (row) => loop(row) * (demands.get(row.site)?.cpuOfLoop ?? 0)),
    weight: Float64Array.from(rows, (row) => row.weight),
    demands,
    ...(lanes.length > 0 && { lanes, lane: Int16Array.from(rows, ({ site }) => laneOf.get(site) ?? -1) }),
  }
}

/** The requests of one lane, as if they had the pool to themselves. */
export function onlyLane(arrivals: Arrivals, index: number): Arrivals {
  const isOf = (_: number, row: number): boolean => arrivals.lane?.[row] === index
  const { atMs, serviceMs, loopMs, cpuMs, weight } = arrivals
  return {
    ...arrivals,
    atMs: atMs.filter(isOf),
    serviceMs: serviceMs.filter(isOf),
    loopMs: loopMs.filter(isOf),
    cpuMs: cpuMs.filter(isOf),
    weight: weight.filter(isOf),
    lane: new Int16Array(atMs.filter(isOf).length).fill(index),
  }
}

/** The same requests, those of some sites not counted: they only make the queue for the others. */
export function uncounted(arrivals: Arrivals, sites: readonly string[]): Arrivals {
  const left = new Set(arrivals.lanes?.flatMap(({ site }, index) => (sites.includes(site) ? [index] : [])))
  return {
    ...arrivals,
    weight: arrivals.weight.map((weight, row) => (left.has(arrivals.lane?.[row] ?? -1) ? 0 : weight)),
  }
}

function demandOf(record: SiteRecord, times: readonly number[], { cpuShare }: ArrivalOptions): Demand {
  const meanMs = meanLoopMs(record, cpuShare)
  if (meanMs === undefined) {
    const { sumMs, count } = record.service
    return { loopMs: Number.POSITIVE_INFINITY, meanLoopMs: sumMs / Math.max(1, count), cpuOfLoop: 0 }
  }
  const cpuOfLoop = record.loopMs === undefined ? 1 : Math.min(1, (record.cpuMs ?? 0) / Math.max(record.loopMs, 1e-9))
  return { loopMs: level(times, meanMs), meanLoopMs: meanMs, cpuOfLoop }
}

function meanLoopMs({ loopMs, service }: SiteRecord, cpuShare: number | undefined): number | undefined {
  if (loopMs !== undefined) return service.count === 0 ? 0 : loopMs / service.count
  return cpuShare === undefined ? undefined : (cpuShare * service.sumMs) / Math.max(service.count, 1)
}

/** The θ for which the mean of min(time, θ) is `meanMs`; infinite when even the whole times are less. */
export function level(times: readonly number[], meanMs: number): number {
  const wanted = meanMs * times.length
  let high = times.reduce((most, time) => Math.max(most, time), 0)
  if (times.reduce((sum, time) => sum + time, 0) <= wanted * (1 + 1e-9)) return Number.POSITIVE_INFINITY
  let low = 0
  for (let step = 0; step < BISECTIONS; step++) {
    const middle = (low + high) / 2
    if (times.reduce((sum, time) => sum + Math.min(time, middle), 0) < wanted) low = middle
    else high = middle
  }
  return high
}

/** @param sinceMs who ended before that makes the queue for the others, and is not counted */
function rowsOf(stretch: ArrivalStretch, pool: string, sinceMs: number): Row[] {
  const { fromMs, toMs, count, flows, follows } = stretch
  const countsFromMs = follows ? Number.NEGATIVE_INFINITY : fromMs + (toMs - fromMs) * WARM_UP
  const bytes = Buffer.from(stretch.columns, 'base64')
  const rows: Row[] = []
  const counts = ({ atMs, serviceMs }: Row): boolean => atMs >= countsFromMs && atMs + serviceMs >= sinceMs
  let counted = 0
  let early = 0
  for (let index = 0; index < count; index++) {
    const [owner, site] = flows[bytes.readUInt16LE(count * 8 + index * 2)] ?? ['', '']
    const [arrivalMs, timeMs] = [bytes.readFloatLE(index * 4), bytes.readFloatLE(count * 4 + index * 4)]
    const row = { atMs: fromMs + arrivalMs, serviceMs: Math.max(0, timeMs), site, weight: 0 }
    if (counts(row)) counted++
    if (row.atMs + row.serviceMs < sinceMs) early++
    if (owner === pool && Number.isFinite(row.atMs + row.serviceMs)) rows.push(row)
  }
  const weight = counted === 0 ? 0 : (stretch.represents - early) / counted
  for (const row of rows) if (counts(row)) row.weight = weight
  return rows
}
