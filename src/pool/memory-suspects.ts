/**
 * Which of the sites of a thread may be what fills it: memory is the thread's, and does not say whose it is. A site that is
 * in one full thread after the other is suspected; one that was there once is not.
 *
 * Limit: what happened `AGAIN_MS` ago does not count any more.
 */
import type { PoolSite } from './pool-site.ts'

const AGAIN_MS = 600_000

export class MemorySuspects {
  readonly #seenAt = new WeakMap<PoolSite, number>()

  /**
   * A thread with these sites was full.
   *
   * @returns those that did it, if it can be said: the only one, or those that were in a full thread before, the busiest
   *   first
   */
  full(sites: readonly PoolSite[], now: number): PoolSite[] {
    if (sites.length === 1) return [...sites]
    const again = sites.filter((site) => now - (this.#seenAt.get(site) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS)
    for (const site of sites) this.#seenAt.set(site, now)
    return again.sort((a, b) => b.requests - a.requests)
  }
}
