/**
 * `tls = auto` of a site: for which of its names a certificate is asked for, and why not for the others.
 *
 * A name that nobody issues for would have the whole certificate refused, so it is left out here, with a reason. What stands
 * in [defaults] and has no use for one site is no problem there: a site's own file cannot take it away.
 */
import { keyProblem } from './check.ts'
import type { SiteDomains } from './domain-list.ts'
import type { DomainPattern } from './domains.ts'
import { quote, renderProblem } from './problems.ts'
import { setting } from './settings.ts'
import type { SiteBeingRead, SiteSurroundings } from './site-reading.ts'
import { addProblem } from './site-reading.ts'
import { choice } from './units.ts'

/** The key of [site]. */
export const tlsKey = setting(
  choice(['off', 'auto']),
  'off',
  '`auto`: the certificate comes from the ACME server of [acme] in vhostel.ini, for all domains that are plain names, and is ' +
    'renewed by itself. Until there is one, the site is served without TLS.',
)

/** The certificate that a site wants. */
export interface SiteAcme {
  /** As in a certificate: ASCII, lower case. 1 to `MAX_NAMES`. */
  names: string[]
  /** Why other domains of the site are not in it: one line each, `file:line: …`. */
  leftOut: string[]
}

/** What Let's Encrypt allows, and others after it. */
const MAX_NAMES = 100
/** RFC 6761, RFC 6762, RFC 7686, RFC 8375, and `internal` by ICANN: names that no public server may issue for. */
const NEVER_PUBLIC = ['localhost', 'test', 'example', 'invalid', 'local', 'internal', 'onion', 'alt', 'home.arpa']

/** Finds the names, and adds problems to the site's. @returns undefined where none is asked for */
export function checkAcme(site: SiteBeingRead, domains: SiteDomains, server: SiteSurroundings): SiteAcme | undefined {
  const { tls } = site.checked.value.site
  if (tls !== 'auto') return undefined
  const isOwn = site.document.sections.get('site')?.keys.has('tls') === true
  const { names, leftOut } = namesOf(site, domains, server)
  const fault = server.acme.agree ? nameFault(names, leftOut) : NOT_AGREED
  // Of [defaults], it is told in vhostel.ini that nobody agreed, and many names are too many wherever it stands.
  if (fault !== undefined && (isOwn || names.length > MAX_NAMES)) addProblem(site, 'site', 'tls', fault)
  return fault === undefined ? { names, leftOut } : undefined
}

/** What is missing for any site to have `tls = auto`. */
export const NOT_AGREED =
  'auto needs your word on the terms of service of the ACME server: write agree = yes below [acme] in vhostel.ini, and ' +
  'restart the server'

function nameFault(names: readonly string[], leftOut: readonly string[]): string | undefined {
  if (names.length === 0) {
    const why = leftOut[0] === undefined ? '' : ` (${leftOut[0]})`
    return `auto has no use here: none of the domains is a name that a certificate can be had for${why}`
  }
  if (names.length <= MAX_NAMES) return undefined
  return `auto: ${names.length} names are more than the ${MAX_NAMES} of one certificate: make two sites of it`
}

function namesOf(site: SiteBeingRead, domains: SiteDomains, server: SiteSurroundings): SiteAcme {
  const found: SiteAcme = { names: [], leftOut: [] }
  const isPrivate = server.acme.caFile !== undefined
  for (const [index, pattern] of domains.patterns.entries()) {
    const reason = reasonAgainst(pattern, isPrivate)
    if (reason === undefined && pattern.kind === 'exact') found.names.push(pattern.host)
    else found.leftOut.push(leftOutLine(site, server, domains.lines[index], `${quote(pattern.source)} ${reason}`))
  }
  return found
}

function leftOutLine(
  site: SiteBeingRead,
  { dir }: SiteSurroundings,
  line: number | undefined,
  message: string,
): string {
  const problem = keyProblem(site.document, site.load.file, 'site', 'domains', message)
  return renderProblem({ ...problem, line: line ?? problem.line }, dir)
}

/** Why a certificate cannot be had for a domain by HTTP-01 or TLS-ALPN-01; undefined where it can. */
function reasonAgainst(pattern: DomainPattern, isPrivate: boolean): string | undefined {
  if (pattern.kind !== 'exact') return 'is a pattern: by tls = auto only names that are written out have a certificate'
  const { host } = pattern
  if (host.startsWith('[') || /^[\d.]+$/.test(host)) return 'is an address: tls = auto is for names'
  if (host.includes('_')) return 'has a "_" in it: no certificate can have such a name'
  if (isPrivate) return undefined
  const isInside = NEVER_PUBLIC.some((name) => host === name || host.endsWith(`.${name}`))
  if (!isInside && host.includes('.')) return undefined
  return 'exists only inside: a public ACME server issues nothing for it; a private one is set by [acme] directory and ca_file'
}
