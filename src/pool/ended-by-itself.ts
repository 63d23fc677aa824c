/**
 * A site that has closed its servers by itself: what a program does that ends in order after an error, so that whoever started it
 * starts it again. Here that is the pool: requests go to the thread no longer, and the next one has the site loaded in another.
 *
 * Limit: what ends itself within a minute is loaded again more and more slowly. Invariant: a generation that was told to close
 * is not loaded again for having done so.
 */
import type { Log } from '../core/log.ts'
import type { Pool } from './pool.ts'
import type { PoolThread } from './pool-thread.ts'
import { failedReport } from './thread-link.ts'

/** @param onStale called when the generation has closed, and its thread may be tidied */
export function endedByItself(pool: Pool, thread: PoolThread, generation: number, log: Log, onStale: () => void): void {
  const site = thread.siteOf(generation)
  const { slot } = thread
  if (site === undefined || slot === undefined || !thread.live.has(generation) || !site.lane.warm.has(slot)) return
  pool.scheduler.setCold(site.lane, slot)
  const isLast = site.lane.warm.size === 0
  const report = failedReport('it has closed its server by itself')
  const waitMs = isLast ? site.endedItself(report, performance.now()) : 0
  log.warn({ site: site.name, waitMs }, 'site has closed its server by itself and is loaded again')
  if (isLast) site.lane.spreadable = true
  void thread.closeGenerations(site, site.limits.stopTimeoutMs).then(onStale)
  if (waitMs > 0) setTimeout(() => pool.seekThread(site), waitMs).unref()
  else pool.seekThread(site)
}
