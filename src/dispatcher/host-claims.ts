/**
 * Which site has which host while some sites are on their way from one version of their settings to the next. Pure.
 *
 * A site whose code changes with its domains takes them when that code is loaded, and one that only gives a domain up does
 * so at once. Between the two nobody would have it, for as long as the load takes, or for good where it fails. So a domain
 * that is wanted by a site that does not serve it yet stays with the site that had it.
 *
 * Invariant: a domain that one site gives up for another is some site's all the time; every other domain is only that of the
 * site whose settings in force name it.
 */
import { domainKey } from '../config/domain-list.ts'
import type { DomainPattern } from '../config/domains.ts'
import type { SiteConfig } from '../config/site-schema.ts'
import type { HostClaim } from './host-table.ts'

/** What is asked of a site here. */
interface Claimant {
  readonly name: string
  /** In force. */
  readonly config: Pick<SiteConfig, 'domains'>
  /** What its file says; another object where it is not in force yet. */
  readonly wanted: Pick<SiteConfig, 'domains'>
}

/**
 * The claims from now on.
 *
 * @param sites all of them, in the order in which they go before each other
 * @param before the claims until now: a site that is not among `sites` any more has none
 */
export function hostClaims<S extends Claimant>(sites: readonly S[], before: readonly HostClaim<S>[]): HostClaim<S>[] {
  const claims = sites.map((site) => ({ name: site.name, site, patterns: site.config.domains }))
  const pending = sites.filter(({ config, wanted }) => config !== wanted)
  if (pending.length === 0) return claims
  const kept = keptDomains(pending, claims, before)
  if (kept.size === 0) return claims
  return claims.map((claim) => ({ ...claim, patterns: [...claim.patterns, ...(kept.get(claim.site) ?? [])] }))
}

/** The domains that nobody's settings in force name and somebody's next ones do, by the site that has them until then. */
function keptDomains<S extends Claimant>(
  pending: readonly S[],
  claims: readonly HostClaim<S>[],
  before: readonly HostClaim<S>[],
): Map<S, DomainPattern[]> {
  const inForce = new Set(claims.flatMap(({ patterns }) => patterns.map(domainKey)))
  const present = new Set(claims.map(({ site }) => site))
  const had = new Map(before.flatMap(({ site, patterns }) => patterns.map((pattern) => [domainKey(pattern), site])))
  const kept = new Map<S, DomainPattern[]>()
  for (const taker of pending) {
    for (const pattern of taker.wanted.domains) {
      const key = domainKey(pattern)
      const holder = had.get(key)
      if (inForce.has(key) || holder === undefined) continue
      // Where the one that had it is gone, the version before is better than nobody.
      const keeper = present.has(holder) ? holder : taker
      kept.set(keeper, [...(kept.get(keeper) ?? []), pattern])
    }
  }
  return kept
}
