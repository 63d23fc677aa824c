/**
 * Draws the conclusions: from what was recorded and what the machine is, to a report of figures. Pure. What stands out is
 * put in words by remarks.ts; how it looks on a terminal is the command's affair.
 */

import type { AdviceSnapshot, PoolRecord } from '../core/advice-report.ts'
import { PROCESS_BYTES, THREAD_BYTES } from '../core/footprint.ts'
import { arrivalsOf } from './arrivals.ts'
import type { MemoryUse } from './memory.ts'
import { poolAdvice } from './pool-advice.ts'
import { remarksOn } from './remarks.ts'
import type { AdviceOptions, AdviceReport, MemoryAdvice, PoolAdvice, SiteAdvice } from './report.ts'
import { siteAdvice, totalCapacity } from './site-advice.ts'

/** @param memory undefined where the machine does not say */
export function advise(snapshot: AdviceSnapshot, memory: MemoryUse | undefined, options: AdviceOptions): AdviceReport {
  const parts = snapshot.pools
    .filter(({ found, threads }) => threads > 0 || found.some((count) => count > 0))
    .map((pool) => partOf(snapshot, pool, options))
  const pools = parts.map(({ advice }) => advice)
  const sites = parts.flatMap((part) => part.sites)
  const facts = { source: snapshot.source, cores: snapshot.machine.cores, options, pools, sites }
  return {
    ...facts,
    fromMs: snapshot.fromMs,
    toMs: snapshot.toMs,
    memory: memory === undefined ? undefined : memoryAdvice(memory, snapshot, pools),
    capacity: totalCapacity(parts.map((part) => part.sites)),
    remarks: remarksOn(facts),
  }
}

interface Part {
  advice: PoolAdvice
  sites: SiteAdvice[]
}

function partOf(snapshot: AdviceSnapshot, pool: PoolRecord, options: AdviceOptions): Part {
  const records = snapshot.sites.filter((record) => record.pool === pool.pool)
  const arrivals = arrivalsOf(snapshot, pool.pool, options)
  const advice = poolAdvice(snapshot, pool, records, arrivals, options)
  const sites = records
    .filter(({ service, refused }) => service.count + refused > 0)
    .map((record) => siteAdvice(record, advice, arrivals, snapshot))
    .sort((a, b) => b.busyShare - a.busyShare)
  return { advice, sites }
}

function memoryAdvice(use: MemoryUse, { machine }: AdviceSnapshot, pools: readonly PoolAdvice[]): MemoryAdvice {
  const limitBytes = machine.memoryBytes < 0.99 * use.ramBytes ? machine.memoryBytes : undefined
  const left =
    limitBytes === undefined
      ? use.ramBytes - use.systemBytes - use.diskCacheBytes - use.otherBytes - use.dispatcherBytes
      : limitBytes - use.dispatcherBytes
  const shape = pools[0]?.shape ?? pools[0]?.smallest?.shape
  const isEstimate = use.perProcessBytes === 0
  const perProcessBytes = isEstimate
    ? PROCESS_BYTES + (shape?.threadsPerProcess ?? 2) * THREAD_BYTES
    : use.perProcessBytes
  const leftBytes = Math.max(0, left)
  return {
    ...use,
    perProcessBytes,
    isEstimate,
    leftBytes,
    limitBytes,
    processes: Math.floor(leftBytes / perProcessBytes),
  }
}
