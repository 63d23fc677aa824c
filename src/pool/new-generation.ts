/**
 * The load of a generation that is to take the place of the one that serves, wherever it is tried: in a thread of the site's own
 * group (renewal.ts), or in a process made for it (trial.ts).
 *
 * Invariant: what serves is the same before and after; what a refusal means for it is said here alone.
 */
import type { LoadOrder, LoadReport } from '../protocol/frames.ts'
import type { Pool } from './pool.ts'
import type { PoolSite } from './pool-site.ts'
import type { PoolThread } from './pool-thread.ts'

/** Loads it. Requests that come meanwhile for a site without a thread wait for this load instead of causing another. */
export async function loadNew(pool: Pool, site: PoolSite, thread: PoolThread, order: LoadOrder): Promise<LoadReport> {
  if (site.lane.warm.size === 0) site.lane.loading ??= thread.slot
  const report = await pool.load(site, thread, order)
  if (site.lane.loading === thread.slot) site.lane.loading = undefined
  return report
}

/** It could not be loaded. */
export function refuseNew(pool: Pool, site: PoolSite, order: LoadOrder, report: LoadReport): void {
  pool.loadFailed(site, order, report)
  // A previous version that serves cannot be loaded anywhere else: its code is not on disk any more.
  site.lane.spreadable = site.lane.warm.size === 0
}
