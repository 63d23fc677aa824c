/**
 * Which version of each site serves, and why not the newest. Pure: the table before and the readings in, the table after
 * out; no file, no clock.
 *
 * A site's file is a transaction of its own. A file that is wrong, or that claims a domain or a share that others have, is
 * refused alone; the version before it serves on. Who has what is decided in domain-claims.ts.
 *
 * Invariant: no two served versions have a domain in common, and no pool is promised to more than it has; what did not change is the same object as before.
 */
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import type { Candidate, Claims } from './domain-claims.ts'
import { settleClaims } from './domain-claims.ts'
import { domainKey } from './domain-list.ts'
import type { SiteLoad } from './load-site.ts'
import { percent } from './measures.ts'
import type { Problem } from './problems.ts'
import { fileProblem, inLineOrder, quote, shownPath } from './problems.ts'
import type { ServerConfig } from './server-schema.ts'
import type { SiteConfig } from './site-schema.ts'
import { nearest } from './suggest.ts'

/**
 * `ok`: the file as it is now serves. `previous`: it is refused, the last good version serves. `refused`: it is refused,
 * and there is no version to serve.
 */
type SiteStanding = 'ok' | 'previous' | 'refused'

export interface SiteEntry {
  readonly name: string
  /** As seen in the sites folder. */
  readonly file: string
  readonly status: SiteStanding
  /** What serves; undefined where `status` is `refused`. The same object as before where nothing in it changed. */
  readonly config: SiteConfig | undefined
  /** What is wrong with the file as it is now; empty where `status` is `ok`. */
  readonly problems: readonly Problem[]
  /** The newest reading of the file, and the one that `config` comes from. */
  readonly reading: SiteLoad
  readonly served: SiteLoad | undefined
}

export interface SitesTable {
  /** In the order of their names. */
  readonly sites: ReadonlyMap<string, SiteEntry>
  /** Names of sites that serve now and did not before, serve something else than before, do not serve any more. */
  readonly added: readonly string[]
  readonly changed: readonly string[]
  readonly removed: readonly string[]
  /** Names of sites whose problems are others than before: worth a line in the log. */
  readonly reported: readonly string[]
}

/** Most domains named in the problems of one site. */
const MAX_CONFLICTS = 10

const NO_PROBLEMS: readonly Problem[] = []
const NO_SITES: ReadonlyMap<string, SiteEntry> = new Map()

/**
 * The next table.
 *
 * @param previous undefined at the start
 * @param readings every site's file, in the order of the sites' names; a reading that is the same object as the one in
 *   `previous` stands for an unchanged file
 * @param dir folder of vhostel.ini, for paths in messages
 */
export function nextSitesTable(
  previous: SitesTable | undefined,
  readings: Iterable<SiteLoad>,
  dir: string,
): SitesTable {
  const before = previous?.sites ?? NO_SITES
  const candidates: Candidate[] = []
  for (const reading of readings) candidates.push(candidateOf(reading, before.get(reading.name)))
  const claims = settleClaims(candidates)
  const sites = new Map<string, SiteEntry>()
  for (const candidate of candidates) {
    const name = candidate.reading.name
    sites.set(name, entryOf(candidate, before.get(name), claims, dir))
  }
  return { sites, ...differences(before, sites) }
}

function candidateOf(reading: SiteLoad, before: SiteEntry | undefined): Candidate {
  const served = before?.served
  return { reading, served, version: reading.config === undefined ? served : reading, servedKeys: undefined }
}

function entryOf(candidate: Candidate, before: SiteEntry | undefined, claims: Claims, dir: string): SiteEntry {
  const { reading, version: served } = candidate
  const problems = served === reading ? NO_PROBLEMS : problemsOf(candidate, claims, dir)
  if (before !== undefined && before.reading === reading && before.served === served) {
    if (served === reading || isDeepStrictEqual(before.problems, problems)) return before
  }
  return {
    name: reading.name,
    file: reading.file,
    status: served === reading ? 'ok' : served === undefined ? 'refused' : 'previous',
    config: sameConfig(before, served),
    problems,
    reading,
    served,
  }
}

/** The config before, where the new one says the same: a file that was only touched changes nothing. */
function sameConfig(before: SiteEntry | undefined, served: SiteLoad | undefined): SiteConfig | undefined {
  return isDeepStrictEqual(before?.config, served?.config) ? before?.config : served?.config
}

/** Why the newest version does not serve: what is wrong in the file, or the domains or the share that others have. */
function problemsOf({ reading, version }: Candidate, { owners, shares }: Claims, dir: string): Problem[] {
  if (reading.config === undefined) return reading.problems
  const problems: Problem[] = []
  for (const [index, pattern] of reading.config.domains.entries()) {
    const owner = owners.get(domainKey(pattern))?.reading
    if (owner === undefined || owner === reading) continue
    if (problems.length === MAX_CONFLICTS) {
      problems.push(fileProblem(reading.file, 'and more domains that other sites have'))
      break
    }
    problems.push(conflict(reading, index, pattern.source, shownPath(owner.file, dir)))
  }
  if (shares.fits(reading.config, version?.config)) return problems
  return inLineOrder([...problems, overbooked(reading, reading.config, shares.left(reading.config, version?.config))])
}

function overbooked(reading: SiteLoad, { pool, limits }: SiteConfig, left: number): Problem {
  const [wanted, rest] = [z.encode(percent, limits.share), z.encode(percent, left)]
  return {
    file: reading.file,
    line: reading.shareLine,
    section: 'limits',
    key: 'share',
    message: `${wanted} of pool ${pool} is more than the ${rest} that the shares of its other sites leave: lower one of them`,
    code: undefined,
  }
}

function conflict(reading: SiteLoad, index: number, domain: string, ownerFile: string): Problem {
  return {
    file: reading.file,
    line: reading.domainLines[index],
    section: 'site',
    key: 'domains',
    message: `domain '${domain}' is already served by ${ownerFile}; remove it from one of the two`,
    code: 'VHOSTEL_HOST_TAKEN',
  }
}

function differences(
  before: ReadonlyMap<string, SiteEntry>,
  after: ReadonlyMap<string, SiteEntry>,
): Pick<SitesTable, 'added' | 'changed' | 'removed' | 'reported'> {
  const added: string[] = []
  const changed: string[] = []
  const removed: string[] = []
  const reported: string[] = []
  for (const [name, entry] of after) {
    const old = before.get(name)
    if (old === entry) continue
    if (!isDeepStrictEqual(old?.problems ?? [], entry.problems)) reported.push(name)
    if (old?.config === entry.config) continue
    if (old?.config === undefined) added.push(name)
    else if (entry.config !== undefined) changed.push(name)
  }
  for (const [name, old] of before) {
    if (old.config !== undefined && after.get(name)?.config === undefined) removed.push(name)
  }
  return { added, changed, removed, reported }
}

/** The problem that `[server] default_site` names no site in the table; undefined where there is none. */
export function checkDefaultSite(
  server: Pick<ServerConfig, 'file' | 'defaultSite' | 'defaultSiteLine'>,
  table: SitesTable,
): Problem | undefined {
  const name = server.defaultSite
  if (name === undefined || table.sites.has(name)) return undefined
  return {
    file: server.file,
    line: server.defaultSiteLine,
    section: 'server',
    key: 'default_site',
    message: `there is no site ${quote(name)} in the sites folder${meant(nearest(name, table.sites.keys()))}`,
    code: undefined,
  }
}

function meant(name: string | undefined): string {
  return name === undefined ? '; enable it, or take the line away' : `; did you mean ${name}?`
}
