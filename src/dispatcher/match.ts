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

/** The authority of a URL, read as the server reads a Host header: `URL` would change what it does not like. */
function hostOf(url: string): string | undefined {
  const authority = url.replace(/^[a-z][a-z0-9+.-]*:\/\//i, '').replace(/[/?#].*$/s, '')
  return normaliseHost(authority)
}
