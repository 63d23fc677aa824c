/**
 * The advice on one site, and what all of them could have of their pools: capacities. Pure.
 *
 * A pool does of one kind of request as many a second as its scarcest part allows: places for as long as a request takes,
 * event loops for as long as it holds one, processors for as long as it computes.
 */
import type { AdviceSnapshot, SiteRecord } from '../core/advice-report.ts'
import type { Arrivals, Demand } from './arrivals.ts'
import { EMPTY, unpack } from './histogram.ts'
import type { Capacity, PoolAdvice, SiteAdvice } from './report.ts'

/** Of a site that no request is known of. */
const WHOLE_TIME: Demand = { loopMs: Number.POSITIVE_INFINITY, meanLoopMs: 0, cpuOfLoop: 0 }

/** @param pool that the record is of */
export function siteAdvice(
  record: SiteRecord,
  pool: PoolAdvice,
  arrivals: Arrivals,
  snapshot: AdviceSnapshot,
): SiteAdvice {
  const service = unpack(record.service)
  const { cpuMs, memoryBytes, maxThreads, site, refused, cold = EMPTY, preload = false } = record
  const demand = arrivals.demands.get(site) ?? WHOLE_TIME
  const p99Ms = service.quantile(0.99)
  const capacity = (threads: number): Capacity => {
    const one = (serviceMs: number, loopMs: number): number =>
      perSecond({ ...pool, threads }, snapshot.machine.cores, { serviceMs, loopMs, cpuMs: loopMs * demand.cpuOfLoop })
    return {
      mean: one(service.meanMs, Math.min(service.meanMs, demand.meanLoopMs)),
      worst: one(p99Ms, Math.min(p99Ms, demand.loopMs)),
    }
  }
  const threads = threadsOf(pool)
  return {
    pool: record.pool,
    site,
    requests: service.count,
    refused,
    perSecond: (1000 * service.count) / Math.max(1, snapshot.toMs - snapshot.fromMs),
    busyShare: share(service.sumMs, pool.serviceMs),
    cpuShare: cpuMs === undefined || pool.cpuMs === undefined ? undefined : share(cpuMs, pool.cpuMs),
    ownCpuShare: cpuMs === undefined ? undefined : Math.min(1, share(cpuMs, service.sumMs)),
    service: { meanMs: service.meanMs, medianMs: service.quantile(0.5), p99Ms, maxMs: service.maxMs },
    waitP99Ms: unpack(record.wait).quantile(0.99),
    cold: { requests: cold.count, longestMs: cold.maxMs },
    blockP99Ms: blockP99(record, service.count),
    memoryBytes,
    maxThreads,
    preload,
    capacity: capacity(Math.min(threads, maxThreads ?? threads)),
    unlimited: capacity(threads),
  }
}

function share(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0
}

/** Of a hundred requests the longest block but one: most requests block for 0 ms, and are in no histogram. */
function blockP99({ blocks }: SiteRecord, requests: number): number | undefined {
  if (blocks.count === 0) return undefined
  const beyond = 0.01 * Math.max(requests, blocks.count)
  return blocks.count <= beyond ? 0 : unpack(blocks).quantile(1 - beyond / blocks.count)
}

/** What one request of a kind takes of places, event loops and processors. */
interface RequestCost {
  serviceMs: number
  loopMs: number
  cpuMs: number
}

/** What a pool can do of requests of one kind, by what it runs out of first; the threads there are, else those advised. */
function perSecond(
  { threads, concurrency }: { threads: number; concurrency: number },
  cores: number,
  { serviceMs, loopMs, cpuMs }: RequestCost,
): number {
  return (
    1000 *
    Math.min(
      (threads * concurrency) / Math.max(serviceMs, 0.001),
      threads / Math.max(loopMs, 0.001),
      cores / Math.max(cpuMs, 0.001),
    )
  )
}

/** The threads that capacities are reckoned with. */
export function threadsOf(pool: PoolAdvice): number {
  return pool.shape?.threads ?? pool.smallest?.shape.threads ?? 1
}

/**
 * Of each pool, what it can do of its present mixture, until a site of it is at its own limit; added up, because pools do
 * not share threads.
 */
export function totalCapacity(pools: readonly (readonly SiteAdvice[])[]): Capacity {
  const total = { mean: 0, worst: 0 }
  for (const sites of pools) {
    const requests = sites.reduce((sum, site) => sum + site.requests, 0)
    if (requests === 0) continue
    for (const kind of ['mean', 'worst'] as const) {
      const ofPool = requests / sites.reduce((sum, site) => sum + site.requests / site.unlimited[kind], 0)
      const ofSites = sites.map((site) => (site.capacity[kind] * requests) / site.requests)
      total[kind] += Math.min(ofPool, ...ofSites)
    }
  }
  return total
}
