/**
 * Where a site sends its visitors: `kind = redirect`, and the one of its own names that is the right one (`canonical`).
 *
 * Invariant: what is accepted here never leads a visitor back to where it came from.
 */

import type { DomainPattern } from './domains.ts'
import { exactHosts, normaliseHost } from './domains.ts'
import { quote } from './problems.ts'
import type { RedirectTarget } from './redirect-schema.ts'
import type { Place } from './site-place.ts'
import type { SiteBeingRead } from './site-reading.ts'
import { addProblem, refuseKeys } from './site-reading.ts'

export interface RedirectSettings {
  to: RedirectTarget
  status: number
}

/** [redirect]; undefined for the other kinds, and where it has problems, which are added to the site's. */
export function readRedirect(
  site: SiteBeingRead,
  { kind }: Place,
  domains: readonly DomainPattern[],
): RedirectSettings | undefined {
  if (kind !== 'redirect') {
    refuseKeys(site, 'redirect', site.document.sections.get('redirect')?.keys.keys() ?? [], kind)
    return undefined
  }
  refuseKeys(site, 'site', ['root', 'module'], kind)
  const { to, status } = site.checked.value.redirect
  if (to === undefined) {
    if (!site.checked.isBad('redirect', 'to')) addProblem(site, 'redirect', 'to', 'is missing: name a host or a URL')
    return undefined
  }
  if (exactHosts(domains).includes(to.host)) {
    addProblem(
      site,
      'redirect',
      'to',
      `${quote(to.host)} is a domain of this site: visitors would go round in a circle`,
    )
  }
  return { to, status: Number(status) }
}

/** `canonical` in the form in which hosts are compared; undefined where it is not set, or is wrong. */
export function readCanonical(site: SiteBeingRead, domains: readonly DomainPattern[]): string | undefined {
  const { canonical } = site.checked.value.site
  if (canonical === undefined) return undefined
  const host = normaliseHost(canonical)
  if (host !== undefined && exactHosts(domains).includes(host)) return host
  const cure = 'name it in domains too, or take the line away'
  addProblem(site, 'site', 'canonical', `${quote(canonical)} is not one of the names in domains: ${cure}`)
  return undefined
}
