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

/** From so many on, a renewal that fails is worth a look although the certificate in use is still good. */
const MANY_FAILURES = 3

/** Whether somebody should look: there is no good certificate, or soon will be none, and there is a reason for that. */
export function isUncertified({ certificate }: SiteStatus): boolean {
  if (certificate === undefined || certificate.reasons.length === 0) return false
  return certificate.state !== 'valid' || certificate.failures >= MANY_FAILURES
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
