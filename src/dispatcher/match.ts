/**
 * Says for a person which site a URL goes to, and why: `vhostel match`.
 */
import type { MatchReport } from '../admin/reports.ts'
import { normaliseHost } from '../config/domains.ts'
import type { HostTable } from './host-table.ts'

/** @param url with or without a scheme; only its host counts */
export function matchReport<S>(url: string, hosts: HostTable<S>): MatchReport {
  const host = hostOf(url)
  if (host === undefined) return { url, host, site: undefined, captures: {}, rules: [] }
  return { url, host, ...hosts.explain(host) }
}

/** Whether a URL says no host at all, not even a wrong one. @param url as in `matchReport` */
export function isHostless(url: string): boolean {
  return authorityOf(url) === ''
}

/** Reads the authority as the server reads a Host header: `URL` would change what it does not like. */
function hostOf(url: string): string | undefined {
  return normaliseHost(authorityOf(url))
}

/** What a client would write into Host. It keeps the user of a URL to itself; a host alone is taken as it stands. */
function authorityOf(url: string): string {
  const [, scheme, authority = ''] = /^([a-z][a-z0-9+.-]*:\/\/)?([^/?#]*)/i.exec(url) ?? []
  return scheme === undefined ? authority : authority.slice(authority.lastIndexOf('@') + 1)
}
