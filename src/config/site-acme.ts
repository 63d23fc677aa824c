/**
 * `tls = auto` of a site: for which of its names a certificate is asked for, and why not for the others.
 *
 * A name that nobody issues for would have the whole certificate refused, so it is left out here, with a warning. What stands
 * in [defaults] and has no use for one site is no problem there: a site's own file cannot take it away.
 */
import { keyProblem } from './check.ts'
import type { SiteDomains } from './domain-list.ts'
import type { DomainPattern } from './domains.ts'
import type { Problem } from './problems.ts'
import { quote } from './problems.ts'
import { setting } from './settings.ts'
import type { SiteBeingRead, SiteSurroundings } from './site-reading.ts'
import { addProblem, isWritten } from './site-reading.ts'
import { choice } from './units.ts'

/** The key of [site]. */
export const tlsKey = setting(
  choice(['off', 'auto']),
  'off',
  '`auto`: get a certificate from the ACME server of [acme] for all domains that are plain names, and ' +
    'renew it automatically. Until it is there, the site is served without TLS.',
)

/** The certificate that a site wants. */
export interface SiteAcme {
  /** As in a certificate: ASCII, lower case. 1 to `MAX_NAMES`. */
  names: string[]
}

/** What Let's Encrypt allows, and others after it. */
const MAX_NAMES = 100
/** RFC 6761, RFC 6762, RFC 7686, RFC 8375, and `internal` by ICANN: names that no public server may issue for. */
const NEVER_PUBLIC = ['localhost', 'test', 'example', 'invalid', 'local', 'internal', 'onion', 'alt', 'home.arpa']

/** Finds the names; problems and warnings are added to the site's. @returns undefined where no certificate is asked for */
export function checkAcme(site: SiteBeingRead, domains: SiteDomains, server: SiteSurroundings): SiteAcme | undefined {
  const { tls, certificate, key } = site.checked.value.site
  if (tls !== 'auto') return undefined
  const isOwn = isWritten(site, 'site', 'tls')
  const hasFile = certificate !== undefined || key !== undefined
  const { names, leftOut } = namesOf(site, domains, server)
  const fault = hasFile ? HAS_FILE : (autoFault(server) ?? nameFault(names))
  // What is missing for any site is told in vhostel.ini; too many names are too many wherever `tls` stands.
  if (fault !== undefined && (isOwn || names.length > MAX_NAMES)) addProblem(site, 'site', 'tls', fault)
  if (isOwn || names.length > 0) site.load.warnings.push(...leftOut)
  return fault === undefined ? { names } : undefined
}

const HAS_FILE = 'auto: the site names a certificate of its own: take one of the two away'

/** What is missing for any site to have `tls = auto`; undefined where nothing is. */
export function autoFault({ acme, listenTls }: Pick<SiteSurroundings, 'acme' | 'listenTls'>): string | undefined {
  if (listenTls.length === 0) {
    return 'auto has no use without TLS: name an address for it in vhostel.ini ([server] listen_tls = 443), and restart'
  }
  if (acme.agree) return undefined
  return (
    'auto needs your word on the terms of service of the ACME server: write agree = yes below [acme] in vhostel.ini, and ' +
    'restart'
  )
}

function nameFault(names: readonly string[]): string | undefined {
  if (names.length === 0) return 'auto has no use here: no certificate can be had for any of the domains'
  if (names.length <= MAX_NAMES) return undefined
  return `auto: ${names.length} names are more than the ${MAX_NAMES} of one certificate: make two sites of it`
}

function namesOf(
  { document, load }: SiteBeingRead,
  domains: SiteDomains,
  server: SiteSurroundings,
): SiteAcme & { leftOut: Problem[] } {
  const names: string[] = []
  const leftOut: Problem[] = []
  const isPrivate = server.acme.caFile !== undefined
  for (const [index, pattern] of domains.patterns.entries()) {
    const reason = reasonAgainst(pattern, isPrivate)
    if (reason === undefined && pattern.kind === 'exact') names.push(pattern.host)
    else {
      const message = `no certificate for ${quote(pattern.source)}: ${reason}`
      const problem = keyProblem(document, load.file, 'site', 'domains', message)
      leftOut.push({ ...problem, line: domains.lines[index] ?? problem.line })
    }
  }
  return { names, leftOut }
}

/** Why a certificate cannot be had for a domain by HTTP-01 or TLS-ALPN-01; undefined where it can. */
function reasonAgainst(pattern: DomainPattern, isPrivate: boolean): string | undefined {
  if (pattern.kind !== 'exact') return 'by tls = auto only names that are written out have one'
  const { host } = pattern
  if (host.startsWith('[') || /^[\d.]+$/.test(host)) return 'it is an address, and tls = auto is for names'
  if (host.includes('_')) return 'no certificate can have a "_" in a name'
  if (isPrivate) return undefined
  const isInside = NEVER_PUBLIC.some((name) => host === name || host.endsWith(`.${name}`))
  if (!isInside && host.includes('.')) return undefined
  return 'it exists only inside, where public ACME servers issue nothing; a private one is set by [acme] directory and ca_file'
}
