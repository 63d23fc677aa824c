/**
 * Proves new settings of a site as the user that it is to run as: in a process made as the one that it will have, which ends with the
 * proof. Where it runs now it would be loaded by somebody who may not read its files any more, or who still may.
 *
 * Limit: the site is loaded once more where it is then put. Invariant: what serves the site stays as it is.
 */
import type { LoadOrder, LoadReport } from '../protocol/frames.ts'
import { loadNew, refuseNew } from './new-generation.ts'
import type { Pool } from './pool.ts'
import type { PoolSite } from './pool-site.ts'
import type { GroupSettings, ProcessGroup } from './process-group.ts'
import { failedReport } from './thread-link.ts'

/**
 * Loads `order` in a process of its own, and ends that again.
 *
 * @param settings of the process, whose name no other group has
 * @returns the report of the load; a failure is told to the pool
 */
export async function prove(
  pool: Pool,
  site: PoolSite,
  order: LoadOrder,
  settings: GroupSettings,
): Promise<LoadReport> {
  const report = await loadIn(pool, site, order, settings)
  if (report.shape === undefined && !site.removed) refuseNew(pool, site, order, report)
  return report
}

async function loadIn(pool: Pool, site: PoolSite, order: LoadOrder, settings: GroupSettings): Promise<LoadReport> {
  let group: ProcessGroup
  try {
    group = pool.workforce.openGroup(settings)
  } catch (error) {
    return failedReport(error instanceof Error ? error.message : String(error))
  }
  try {
    await group.whenReady()
    const [thread] = group.threads
    if (thread?.state !== 'ready') return failedReport('no thread is there to prove it in; the log says why')
    return await loadNew(pool, site, thread, order)
  } finally {
    void pool.workforce.closeGroup(group, site.limits.stopTimeoutMs)
  }
}
