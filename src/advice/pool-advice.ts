/**
 * The advice on one pool: how busy it was, what was waited for it, and the smallest that would have done. Pure.
 */
import type { AdviceSnapshot, PoolRecord, SiteRecord } from '../core/advice-report.ts'
import type { Arrivals } from './arrivals.ts'
import { onlyLane, uncounted } from './arrivals.ts'
import { Histogram } from './histogram.ts'
import type { PoolShape } from './model.ts'
import { fewestThreads, replay } from './model.ts'
import type { AdviceOptions, PoolAdvice, Shape, Trial, WaitFigures } from './report.ts'

/** More threads are not looked for. */
const MAX_THREADS = 1024

/** @param records of the sites in this pool @param arrivals its requests */
export function poolAdvice(
  snapshot: AdviceSnapshot,
  pool: PoolRecord,
  records: readonly SiteRecord[],
  arrivals: Arrivals,
  options: AdviceOptions,
): PoolAdvice {
  const { cores } = snapshot.machine
  const concurrency = pool.concurrency || options.concurrency
  const processes = snapshot.processes.filter((process) => process.pool === pool.pool).length
  const sums = sumsOf(records)
  const passedMs = Math.max(1, snapshot.toMs - snapshot.fromMs)
  const lastTime = pool.busyMs.reduce((sum, ms) => sum + ms, 0)
  const lastFound = pool.found.reduce((sum, count) => sum + count, 0)
  const meanBusy = pool.busyMs.reduce((sum, ms, k) => sum + k * ms, 0) / Math.max(1, lastTime)
  const loopMs = sums.loopMs ?? (options.cpuShare ?? 1) * sums.serviceMs
  const workMs = Math.max(loopMs, sums.serviceMs / concurrency)
  const search = searchPool(arrivals, { concurrency, cores, threads: pool.threads }, options)
  return {
    pool: pool.pool,
    shape: pool.threads === 0 ? undefined : shapeNow(pool.threads, processes),
    concurrency,
    requests: sums.requests,
    busy: Array.from({ length: Math.max(pool.busyMs.length, pool.found.length) }, (_, k) => ({
      time: (pool.busyMs[k] ?? 0) / Math.max(1, lastTime),
      requests: (pool.found[k] ?? 0) / Math.max(1, lastFound),
    })),
    threadMs: pool.threadMs,
    loopMs: sums.loopMs,
    cpuMs: sums.cpuMs,
    serviceMs: sums.serviceMs,
    meanBusy,
    utilisation: utilisationOf(pool, sums, lastTime * meanBusy),
    waits: snapshot.source === 'log' ? undefined : figures(sums.wait, waitedShare(sums.wait), options.quantile),
    ...search,
    workMs,
    halfBusyThreads: Math.max(1, Math.ceil((2 * workMs) / passedMs)),
    meanCores: sums.cpuMs === undefined ? undefined : sums.cpuMs / passedMs,
    memoryBytes: pool.memoryBytes,
  }
}

interface Sums {
  requests: number
  serviceMs: number
  loopMs: number | undefined
  cpuMs: number | undefined
  wait: Histogram
}

function sumsOf(records: readonly SiteRecord[]): Sums {
  const wait = new Histogram()
  const sums = { requests: 0, serviceMs: 0, loopMs: 0, cpuMs: 0 }
  let isMeasured = false
  for (const record of records) {
    sums.requests += record.service.count
    sums.serviceMs += record.service.sumMs
    sums.loopMs += record.loopMs ?? 0
    sums.cpuMs += record.cpuMs ?? 0
    if (record.loopMs !== undefined) isMeasured = true
    wait.add(record.wait)
  }
  return { ...sums, wait, ...(!isMeasured && { loopMs: undefined, cpuMs: undefined }) }
}

function utilisationOf(pool: PoolRecord, sums: Sums, busyThreadMs: number): PoolAdvice['utilisation'] {
  if (pool.threadMs === 0) return undefined
  const places = sums.serviceMs / (pool.threadMs * Math.max(1, pool.concurrency))
  if (sums.loopMs === undefined) return { of: 'threads', share: busyThreadMs / pool.threadMs }
  const loops = sums.loopMs / pool.threadMs
  return loops >= places ? { of: 'event loops', share: loops } : { of: 'places', share: places }
}

/** Waits below a millisecond are the time that handing over takes. */
const REAL_WAIT_MS = 1

function waitedShare(waits: Histogram): number {
  return 1 - waits.shareBelow(REAL_WAIT_MS)
}

function figures(waits: Histogram, waited: number, quantile: number): WaitFigures {
  return { medianMs: waits.quantile(0.5), quantileMs: waits.quantile(quantile), maxMs: waits.maxMs, waited }
}

/** The second: the pool as it is, with 0 threads where there is none yet. */
function searchPool(
  arrivals: Arrivals,
  { concurrency, cores, threads: threadsNow }: PoolShape,
  { quantile, maxWaitMs }: AdviceOptions,
): Pick<PoolAdvice, 'replayed' | 'limited' | 'now' | 'smallest' | 'tooFew'> {
  const trial = (run: Arrivals, threads: number): Trial => {
    const { histogram, queued } = replay(run, { threads, concurrency, cores })
    return { threads, waits: figures(histogram, queued, quantile) }
  }
  const requests = arrivals.atMs.length
  const represents = Math.round(arrivals.weight.reduce((sum, weight) => sum + weight, 0))
  if (requests === 0)
    return { replayed: { requests, represents }, limited: [], now: undefined, smallest: undefined, tooFew: undefined }
  const limited = (arrivals.lanes ?? []).flatMap(({ site, maxThreads }, index) =>
    trial(onlyLane(arrivals, index), maxThreads).waits.quantileMs > maxWaitMs ? [site] : [],
  )
  const now = threadsNow === 0 ? undefined : trial(arrivals, threadsNow)
  const others = limited.length === 0 ? arrivals : uncounted(arrivals, limited)
  if (others.weight.every((weight) => weight === 0))
    return { replayed: { requests, represents }, limited, now, smallest: undefined, tooFew: undefined }
  const found = fewestThreads(others, { concurrency, cores, quantile, maxWaitMs, maxThreads: MAX_THREADS })
  const fewer = (found?.threads ?? MAX_THREADS + 1) - 1
  return {
    replayed: { requests, represents },
    limited,
    now,
    smallest: found && {
      threads: found.threads,
      waits: figures(found.waits.histogram, found.waits.queued, quantile),
      shape: bestShape(found.threads, cores),
    },
    tooFew: fewer === 0 ? undefined : trial(others, fewer),
  }
}

function shapeNow(threads: number, processes: number): Shape {
  const count = Math.max(1, processes)
  return { processes: count, threadsPerProcess: Math.ceil(threads / count), threads }
}

/** A process for each core, as far as there are threads for them: a crash costs one core's share. */
function bestShape(threads: number, cores: number): Shape {
  const processes = Math.max(1, Math.min(threads, cores))
  const threadsPerProcess = Math.ceil(threads / processes)
  return { processes, threadsPerProcess, threads: processes * threadsPerProcess }
}
