/**
 * What the pool says of itself to the admin socket: groups, processes and threads as they stand, and what runs in them.
 */
import type { GroupStatus, ProcessStatus, StackReport, ThreadStatus } from '../admin/reports.ts'
import type { Recorder } from '../advice/recorder.ts'
import type { AdviceSnapshot } from '../core/advice-report.ts'
import type { Pool } from '../pool/pool.ts'
import type { PoolSite } from '../pool/pool-site.ts'
import type { PoolThread } from '../pool/pool-thread.ts'
import { thisMachine } from '../pool/sizing.ts'

/** Utilisation from which a thread without a request is at work all the same: on timers, as a rule. */
const AT_WORK = 0.1

export function groupStatuses({ workforce }: Pool): GroupStatus[] {
  return workforce.present().map((group) => ({
    name: group.name,
    size: group.size,
    least: group.least,
    most: group.most,
    ready: group.ready,
    processes: group.processes.map((process): ProcessStatus => {
      const threads = group.threadsOf(process).map(threadStatus)
      return { pid: process.pid, residentBytes: process.residentBytes, threads }
    }),
  }))
}

function threadStatus(thread: PoolThread): ThreadStatus {
  const { late } = thread
  return {
    thread: thread.id,
    state: thread.state,
    lateSince: late === undefined ? undefined : Math.round(Date.now() - performance.now() + late.since),
    keptBy: late?.culprit?.name,
    inFlight: thread.link?.open.size ?? 0,
    requests: thread.requests,
    memoryBytes: thread.memoryBytes,
    sites: [...new Set([...thread.live.values()].map((site) => site.name))].sort(),
    loading: [...thread.loading].map((site) => site.name).sort(),
  }
}

/** What runs in the threads that have the site loaded; none for a site that is loaded nowhere. */
export async function stackReport(pool: Pool, name: string, site: PoolSite | undefined): Promise<StackReport> {
  const threads = [...pool.workforce.threads.values()].filter((one) => site !== undefined && one.sites().has(site))
  const stackOf = async (thread: PoolThread): Promise<StackReport['threads'][number]> => ({
    thread: thread.id,
    pid: thread.process.pid,
    stack: isIdle(thread) ? '' : (await pool.lookAt(thread))?.stack,
  })
  return { site: name, threads: await Promise.all(threads.map(stackOf)) }
}

/** One that has nothing to do is not disturbed. */
function isIdle({ late, link, slot }: PoolThread): boolean {
  return late === undefined && link?.open.size === 0 && slot !== undefined && slot.utilisation < AT_WORK
}

/**
 * What was recorded of the last `windowMs`, and the processes and limits as they are now.
 *
 * @param placeOf a site's place in the pool; undefined for one that has gone
 * @param memoryOf what a pool may take by its settings, in bytes
 */
export function adviceSnapshot(
  { workforce }: Pool,
  recorder: Recorder,
  windowMs: number,
  placeOf: (site: string) => PoolSite | undefined,
  memoryOf: (pool: string) => number | undefined,
): AdviceSnapshot {
  const processes = workforce.present().flatMap((group) =>
    group.processes.flatMap((process) => {
      const threads = group.threadsOf(process).length
      const { pid, residentBytes: rssBytes } = process
      return pid === undefined ? [] : [{ pid, pool: group.name, threads, rssBytes }]
    }),
  )
  const [nowMs, unixMs, machine] = [performance.now(), Date.now(), thisMachine()]
  const snapshot = recorder.snapshot({ nowMs, unixMs, windowMs, machine, pid: process.pid, processes })
  const sites = snapshot.sites.map((record) => {
    const { maxThreads, preload } = placeOf(record.site)?.limits ?? {}
    return { ...record, ...(maxThreads !== undefined && { maxThreads }), ...(preload === true && { preload }) }
  })
  const pools = snapshot.pools.map((record) => {
    const memoryBytes = memoryOf(record.pool)
    return memoryBytes === undefined ? record : { ...record, memoryBytes }
  })
  return { ...snapshot, pools, sites }
}
