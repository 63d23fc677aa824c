/**
 * Who has which domain: decides, for all sites at once, which version of each can be served without two having the same
 * domain. Who has a domain keeps it; among sites that are new to it, the first by file name gets it.
 *
 * Invariant: the versions chosen have no domain in common, and no other version that is newer could be served beside
 * them.
 */
import { domainKey } from './domain-list.ts'
import type { SiteLoad } from './load-site.ts'

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

/**
 * Decides every claim on a domain. At first every site is tried with its newest version; whoever then loses a domain
 * goes back to the version before, which conflicts with nobody's version before. At the end each of them is tried once
 * more, because the one that it lost to may itself have gone back.
 */
export function settleClaims(candidates: readonly Candidate[]): Owners {
  const setBack = new Set<Candidate>()
  let { owners, losers } = claimAll(candidates)
  while (losers.size > 0) {
    for (const loser of losers) {
      loser.version = fallback(loser)
      setBack.add(loser)
    }
    ;({ owners, losers } = claimAll(candidates))
  }
  retry(
    candidates.filter((candidate) => setBack.has(candidate)),
    owners,
  )
  return owners
}

/** The version before, unless that is the one that has just been tried. */
function fallback(candidate: Candidate): SiteLoad | undefined {
  return candidate.version === candidate.served ? undefined : candidate.served
}

function claimAll(candidates: readonly Candidate[]): { owners: Owners; losers: Set<Candidate> } {
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
  return { owners, losers }
}

/** Whether the site served this domain in the table before. Asked only where two sites claim one. */
function hadDomain(candidate: Candidate, key: string): boolean {
  candidate.servedKeys ??= new Set(candidate.served?.config?.domains.map(domainKey))
  return candidate.servedKeys.has(key)
}

/** Tries the newest version of each site that was set back once more, until none of them can be served. */
function retry(setBack: readonly Candidate[], owners: Owners): void {
  let waiting = setBack
  for (let progress = true; progress; ) {
    const before = waiting.length
    waiting = waiting.filter((candidate) => !accept(candidate, owners))
    progress = waiting.length < before
  }
}

/** Gives a site its newest version if nobody else has its domains. */
function accept(candidate: Candidate, owners: Owners): boolean {
  const keys = (candidate.reading.config?.domains ?? []).map(domainKey)
  if (keys.some((key) => (owners.get(key) ?? candidate) !== candidate)) return false
  for (const pattern of candidate.version?.config?.domains ?? []) owners.delete(domainKey(pattern))
  for (const key of keys) owners.set(key, candidate)
  candidate.version = candidate.reading
  return true
}
