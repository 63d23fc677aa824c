/**
 * The host table: which site a host belongs to. Pure and immutable: a change of any site builds a new table, which is put
 * in the place of the old one whole, so no request ever sees half of a change.
 *
 * Order: exact name > longest `*.suffix` > longest `prefix.*` > first regular expression > default site > nothing (421).
 *
 * Invariant: the cost of a lookup depends on the labels of the host and on the number of regular expressions, never on
 * the number of names. Exact is one Map hit; a wildcard takes at most one more for each label of the longest one.
 */
import type { MatchReport, MatchRule } from '../admin/reports.ts'
import type { DomainPattern } from '../config/domains.ts'

/** What one site claims. `site` is whatever the caller wants back from a lookup. */
export interface HostClaim<S> {
  /** The site's name, for `defaultSite` and for people. */
  name: string
  site: S
  /** In the order of the INI file. */
  patterns: readonly DomainPattern[]
}

/** Borrowed from the table, unless it comes from a regular expression: do not change it. */
export interface HostMatch<S> {
  site: S
  /** The rule by which the host belongs to the site; undefined for the default site. */
  pattern: DomainPattern | undefined
  /**
   * What the groups of a regular expression caught, by name and by number from 1; groups that took no part are left out.
   * Without prototype, since a person chooses the names. Undefined for every other kind of rule.
   */
  captures: Record<string, string> | undefined
}

export interface HostTable<S> {
  /**
   * Finds the site of a host.
   *
   * @param host as `normaliseHost` gives it, or '' for a request without one (HTTP/1.0): that is for the default site
   * @returns undefined where no site wants the host: answer 421
   */
  lookup(host: string): HostMatch<S> | undefined
  /** Says for a person which rules match the host, the winner first, and why the others lost. Cost: all rules. */
  explain(host: string): Pick<MatchReport, 'site' | 'captures' | 'rules'>
}

/** The maps that a lookup goes through, in this order. */
interface Rules<S> {
  exact: Map<string, HostMatch<S>>
  suffixes: Map<string, HostMatch<S>>
  prefixes: Map<string, HostMatch<S>>
  regexes: { regex: RegExp; match: HostMatch<S> }[]
  /** Whether there is a suffix with so many dots: only those lengths are looked up, and none beyond the longest. */
  suffixDots: boolean[]
  prefixDots: boolean[]
  fallback: HostMatch<S> | undefined
}

/**
 * Builds a table. Where two claims have the same name, suffix or prefix, the first keeps it.
 *
 * @param claims in the order in which they go before each other: by name
 * @param defaultSite name of the claim that gets what no rule matches; a name that is not among the claims counts as none
 */
export function buildHostTable<S>(claims: readonly HostClaim<S>[], defaultSite?: string): HostTable<S> {
  const rules = collectRules(claims, defaultSite)
  return {
    lookup: (host) => lookup(rules, host),
    explain: (host) => explain(rules, claims, defaultSite, host),
  }
}

function collectRules<S>(claims: readonly HostClaim<S>[], defaultSite: string | undefined): Rules<S> {
  const rules: Rules<S> = {
    exact: new Map(),
    suffixes: new Map(),
    prefixes: new Map(),
    regexes: [],
    suffixDots: [false],
    prefixDots: [false],
    fallback: undefined,
  }
  for (const { name, site, patterns } of claims) {
    if (name === defaultSite) rules.fallback ??= { site, pattern: undefined, captures: undefined }
    for (const pattern of patterns) addRule(rules, { site, pattern, captures: undefined }, pattern)
  }
  return rules
}

function addRule<S>(rules: Rules<S>, match: HostMatch<S>, pattern: DomainPattern): void {
  switch (pattern.kind) {
    case 'exact':
      if (!rules.exact.has(pattern.host)) rules.exact.set(pattern.host, match)
      break
    case 'suffix':
      if (!rules.suffixes.has(pattern.suffix)) rules.suffixes.set(pattern.suffix, match)
      markDots(rules.suffixDots, pattern.suffix)
      break
    case 'prefix':
      if (!rules.prefixes.has(pattern.prefix)) rules.prefixes.set(pattern.prefix, match)
      markDots(rules.prefixDots, pattern.prefix)
      break
    case 'regex':
      rules.regexes.push({ regex: pattern.regex, match })
  }
}

/** Keeps the list without holes, which the engine would make slow. */
function markDots(seen: boolean[], text: string): void {
  const dots = text.split('.').length - 1
  while (seen.length <= dots) seen.push(false)
  seen[dots] = true
}

// ---- lookup ----------------------------------------------------------------------------------------------------

const DOT = 46

function lookup<S>(rules: Rules<S>, host: string): HostMatch<S> | undefined {
  if (host === '') return rules.fallback
  return (
    rules.exact.get(host) ??
    longestSuffix(rules, host) ??
    longestPrefix(rules, host) ??
    firstRegex(rules, host) ??
    rules.fallback
  )
}

/** Goes from the end to the left, and keeps the last hit: the longest. A suffix never is the whole host. */
function longestSuffix<S>(rules: Rules<S>, host: string): HostMatch<S> | undefined {
  const { suffixes, suffixDots } = rules
  let longest: HostMatch<S> | undefined
  let dots = 0
  for (let i = host.length - 1; i > 0 && dots < suffixDots.length - 1; i--) {
    if (host.charCodeAt(i) === DOT && suffixDots[++dots]) longest = suffixes.get(host.slice(i)) ?? longest
  }
  return longest
}

/** Goes from the start to the right, and keeps the last hit: the longest. A prefix never is the whole host. */
function longestPrefix<S>(rules: Rules<S>, host: string): HostMatch<S> | undefined {
  const { prefixes, prefixDots } = rules
  let longest: HostMatch<S> | undefined
  let dots = 0
  for (let i = 0; i < host.length - 1 && dots < prefixDots.length - 1; i++) {
    if (host.charCodeAt(i) === DOT && prefixDots[++dots]) longest = prefixes.get(host.slice(0, i + 1)) ?? longest
  }
  return longest
}

function firstRegex<S>(rules: Rules<S>, host: string): HostMatch<S> | undefined {
  for (const { regex, match } of rules.regexes) {
    const caught = regex.exec(host)
    if (caught !== null) return { site: match.site, pattern: match.pattern, captures: capturesOf(caught) }
  }
  return undefined
}

function capturesOf(caught: RegExpExecArray): Record<string, string> {
  const captures: Record<string, string> = Object.create(null)
  for (let i = 1; i < caught.length; i++) {
    const text = caught[i]
    if (text !== undefined) captures[i] = text
  }
  for (const [name, text] of Object.entries(caught.groups ?? {})) {
    if (text !== undefined) captures[name] = text
  }
  return captures
}

// ---- explanation -----------------------------------------------------------------------------------------------

/** How the kinds go before each other. */
const RANK = { exact: 0, suffix: 1, prefix: 2, regex: 3, default: 4 } as const satisfies Record<
  MatchRule['kind'],
  number
>

/** A rule that matches the host; the longer of two of one kind goes first, and of two of one length the earlier. */
interface Candidate {
  site: string
  rule: string
  kind: MatchRule['kind']
  length: number
}

function explain<S>(
  rules: Rules<S>,
  claims: readonly HostClaim<S>[],
  defaultSite: string | undefined,
  host: string,
): Pick<MatchReport, 'site' | 'captures' | 'rules'> {
  const candidates = host === '' ? [] : claims.flatMap((claim) => candidatesOf(claim, host))
  if (rules.fallback !== undefined && defaultSite !== undefined) {
    candidates.push({ site: defaultSite, rule: 'default_site', kind: 'default', length: 0 })
  }
  candidates.sort((a, b) => RANK[a.kind] - RANK[b.kind] || b.length - a.length) // stable: else the order of the claims
  const [winner] = candidates
  return {
    site: winner?.site,
    captures: { ...lookup(rules, host)?.captures },
    rules: candidates.map((candidate) => ({
      site: candidate.site,
      rule: candidate.rule,
      kind: candidate.kind,
      outcome: winner === undefined || candidate === winner ? 'won' : whyLost(candidate, winner),
    })),
  }
}

function candidatesOf<S>(claim: HostClaim<S>, host: string): Candidate[] {
  return claim.patterns.flatMap((pattern) => {
    const length = matchedLength(pattern, host)
    return length === undefined ? [] : [{ site: claim.name, rule: pattern.source, kind: pattern.kind, length }]
  })
}

/** How much of the host a rule spells out, in characters (0 for a regular expression); undefined where it does not match. */
function matchedLength(pattern: DomainPattern, host: string): number | undefined {
  switch (pattern.kind) {
    case 'exact':
      return pattern.host === host ? host.length : undefined
    case 'suffix':
      return host.length > pattern.suffix.length && host.endsWith(pattern.suffix) ? pattern.suffix.length : undefined
    case 'prefix':
      return host.length > pattern.prefix.length && host.startsWith(pattern.prefix) ? pattern.prefix.length : undefined
    case 'regex':
      return pattern.regex.test(host) ? 0 : undefined
  }
}

function whyLost(loser: Candidate, winner: Candidate): string {
  const rule = `${winner.rule} of site '${winner.site}'`
  if (loser.kind === 'default') return `only for hosts that no rule matches, and ${rule} does`
  if (loser.kind !== winner.kind) return `${WORDS[winner.kind]} goes before ${WORDS[loser.kind]}: ${rule}`
  if (loser.length !== winner.length) return `${rule} is longer`
  return `${rule} comes first`
}

const WORDS = {
  exact: 'an exact name',
  suffix: 'a *.suffix',
  prefix: 'a prefix.*',
  regex: 'a regular expression',
  default: 'the default site',
} as const satisfies Record<MatchRule['kind'], string>
