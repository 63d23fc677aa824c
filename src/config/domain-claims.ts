/**
 * Who has which domain, and which share of a pool: decides, for all sites at once, which version of each can be served
 * without two having the same domain, and without a pool being promised to more than it has. Who has a domain or a share
 * keeps it; among sites that are new to it, the first by name gets it.
 *
 * Invariant: the versions chosen have no domain in common, their shares of a pool are at most all of it, and no other
 * version that is newer could be served beside them.
 */
import { domainKey } from './domain-list.ts'
import type { SiteLoad } from './load-site.ts'
import { PoolShares } from './pool-shares.ts'

/** One site while it is decided which of its versions serves. */
export interface Candidate {
  reading: SiteLoad
  /** What it served before this change, if anything. */
  served: SiteLoad | undefined
  /** The version that is tried; undefined: none. */
  version: SiteLoad | undefined
  /** The domains of `served`, once they were asked for. */
  servedKeys: ReadonlySet<string> | undefined
}

/** Domain to the site that has it. */
export type Owners = Map<string, Candidate>

/** Everything that was decided. */
export interface Claims {
  owners: Owners
  shares: PoolShares
}

/**
 * Decides every claim on a domain or a share. At first every site is tried with its newest version; whoever then loses one
 * goes back to the version before, which conflicts with nobody's version before. At the end each of them is tried once
 * more, because the one that it lost to may itself have gone back.
 */
export function settleClaims(candidates: readonly Candidate[]): Claims {
  const setBack = new Set<Candidate>()
  let { losers, ...claims } = claimAll(candidates)
  while (losers.size > 0) {
    for (const loser of losers) {
      loser.version = fallback(loser)
      setBack.add(loser)
    }
    ;({ losers, ...claims } = claimAll(candidates))
  }
  retry(
    candidates.filter((candidate) => setBack.has(candidate)),
    claims,
  )
  return claims
}

/** The version before, unless that is the one that has just been tried. */
function fallback(candidate: Candidate): SiteLoad | undefined {
  return candidate.version === candidate.served ? undefined : candidate.served
}

function claimAll(candidates: readonly Candidate[]): Claims & { losers: Set<Candidate> } {
  const owners: Owners = new Map()
  const losers = new Set<Candidate>()
  for (const candidate of candidates) {
    for (const pattern of candidate.version?.config?.domains ?? []) {
      const key = domainKey(pattern)
      const other = owners.get(key)
      if (other === undefined || other === candidate) owners.set(key, candidate)
      else if (!hadDomain(other, key) && hadDomain(candidate, key)) {
        owners.set(key, candidate)
        losers.add(other)
      } else losers.add(candidate)
    }
  }
  return { owners, shares: claimShares(candidates, losers), losers }
}

/** Gives out the shares: first to those that go on with what they had, then to the others in their order. */
function claimShares(candidates: readonly Candidate[], losers: Set<Candidate>): PoolShares {
  const shares = new PoolShares()
  for (const isAsBefore of [true, false]) {
    for (const candidate of candidates) {
      const config = candidate.version?.config
      if (config === undefined || (candidate.version === candidate.served) !== isAsBefore) continue
      if (shares.fits(config)) shares.add(config)
      else losers.add(candidate)
    }
  }
  return shares
}

/** Whether the site served this domain in the table before. Asked only where two sites claim one. */
function hadDomain(candidate: Candidate, key: string): boolean {
  candidate.servedKeys ??= new Set(candidate.served?.config?.domains.map(domainKey))
  return candidate.servedKeys.has(key)
}

/** Tries the newest version of each site that was set back once more, until none of them can be served. */
function retry(setBack: readonly Candidate[], claims: Claims): void {
  let waiting = setBack
  for (let progress = true; progress; ) {
    const before = waiting.length
    waiting = waiting.filter((candidate) => !accept(candidate, claims))
    progress = waiting.length < before
  }
}

/** Gives a site its newest version if nobody else has its domains, and its pool has its share. */
function accept(candidate: Candidate, { owners, shares }: Claims): boolean {
  const [wanted, present] = [candidate.reading.config, candidate.version?.config]
  const keys = (wanted?.domains ?? []).map(domainKey)
  if (keys.some((key) => (owners.get(key) ?? candidate) !== candidate)) return false
  if (wanted !== undefined && !shares.fits(wanted, present)) return false
  for (const pattern of present?.domains ?? []) owners.delete(domainKey(pattern))
  for (const key of keys) owners.set(key, candidate)
  if (present !== undefined) shares.remove(present)
  if (wanted !== undefined) shares.add(wanted)
  candidate.version = candidate.reading
  return true
}
