/**
 * How much of each pool the `share` of its sites takes: no more than all of it can be promised.
 *
 * Invariant: sums are whole numbers (thousandths of a percent), so that adding and taking away never leaves a rest.
 */
import type { SiteConfig } from './site-schema.ts'

const WHOLE = 100_000

/** What of a site's settings decides over its share. */
export type ShareTaker = Pick<SiteConfig, 'kind' | 'isolation' | 'pool' | 'limits'>

export class PoolShares {
  readonly #taken = new Map<string, number>()

  /** Whether a site's share is there to be had. @param instead what the site has now, and gives back for it */
  fits(site: ShareTaker, instead?: ShareTaker): boolean {
    const units = unitsOf(site)
    return units === 0 || units <= this.#left(site, instead)
  }

  /** What a site could have in its pool, 0 to 1. @param instead what it has now, and would give back */
  left(site: ShareTaker, instead?: ShareTaker): number {
    return Math.max(0, this.#left(site, instead)) / WHOLE
  }

  add(site: ShareTaker): void {
    this.#change(site, unitsOf(site))
  }

  remove(site: ShareTaker): void {
    this.#change(site, -unitsOf(site))
  }

  #left(site: ShareTaker, instead: ShareTaker | undefined): number {
    const back = instead?.pool === site.pool ? unitsOf(instead) : 0
    return WHOLE - (this.#taken.get(site.pool) ?? 0) + back
  }

  #change(site: ShareTaker, units: number): void {
    if (units !== 0) this.#taken.set(site.pool, (this.#taken.get(site.pool) ?? 0) + units)
  }
}

/** A site without a module, and one with a process of its own, take nothing of a pool. */
function unitsOf({ kind, isolation, limits }: ShareTaker): number {
  return kind !== 'module' || isolation === 'process' ? 0 : Math.round(limits.share * WHOLE)
}
