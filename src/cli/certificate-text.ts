/**
 * How a site stands with its certificate from an ACME server, in words.
 */

import type { SiteStatus } from '../admin/reports.ts'
import type { CertificateState } from '../core/certificate-status.ts'
import { clock, lasting } from './moments.ts'
import { oneLine } from './output.ts'

const MAX_REASONS = 5
const STATES = {
  waiting: 'none yet, so the site is served without TLS',
  asking: 'being asked for now',
  valid: 'good',
  incomplete: 'in use, but not for all names yet',
  expired: 'expired',
} as const satisfies Record<CertificateState, string>

/** Whether somebody should look: a certificate is missing or over, and the last order failed. */
export function isUncertified({ certificate }: SiteStatus): boolean {
  return certificate !== undefined && certificate.reasons.length > 0
}

/** What there is, when it ends and what comes next, then why there is no better one; none for a site without `tls = auto`. */
export function certificateLines({ certificate }: SiteStatus, nowMs: number): string[] {
  if (certificate === undefined) return []
  const { state, notAfter, nextTryAt, failures, reasons } = certificate
  const until = notAfter === undefined ? '' : `, until ${clock(notAfter, nowMs)}`
  const when = nextTryAt <= nowMs ? 'now' : `at ${clock(nextTryAt, nowMs)} (in ${lasting(nextTryAt - nowMs)})`
  const what = state === 'valid' && failures === 0 ? 'renewal' : 'next try'
  const next = state === 'asking' ? '' : `; ${what} ${when}`
  const left = reasons.length - MAX_REASONS
  return [
    `${STATES[state]}${until}${next}`,
    ...reasons.slice(0, MAX_REASONS).map(oneLine),
    ...(left > 0 ? [`… and ${left} more reasons in the log`] : []),
  ]
}
