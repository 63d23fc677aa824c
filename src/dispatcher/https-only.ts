/**
 * `https_only`: sends requests in clear text to https, and tells browsers to come there at once the next time (HSTS, RFC 6797).
 *
 * Limits: a site without a certificate is answered in clear text meanwhile, and so are the challenges of ACME, which come
 * that way before there is one.
 */
import type { SiteConfig } from '../config/site-schema.ts'
import type { Certificates } from './certificates.ts'
import { HTTP_CHALLENGE_PATH } from './certificates.ts'
import { clientOf } from './connection.ts'
import type { AnswerFilter } from './front-response.ts'
import { fieldOf } from './header-fields.ts'
import { sendMoved } from './redirects.ts'
import type { Answerer, Step, Visit } from './visit.ts'

const HSTS_NAME = 'strict-transport-security'

/** Where the front answers over TLS; undefined while it does not. */
export interface SecurePort {
  port: number | undefined
}

/** The step for a site with `https_only`. */
export function httpsOnly({ tls }: SiteConfig, certificates: Certificates, secure: SecurePort): Step {
  const filter = hstsFilter(tls.hstsSeconds)
  return (visit: Visit, next: Answerer): void => {
    const { port } = secure
    if (clientOf(visit.req).encrypted) visit.res.addFilter(filter)
    else if (port !== undefined && isMoved(visit, certificates)) {
      return sendMoved(visit, { scheme: 'https', host: visit.asked.host, port })
    }
    next(visit)
  }
}

function isMoved({ asked, match }: Visit, certificates: Certificates): boolean {
  return !asked.target.startsWith(HTTP_CHALLENGE_PATH) && asked.host !== '' && certificates.of(match.site) !== undefined
}

function hstsFilter(seconds: number): AnswerFilter {
  const value = `max-age=${seconds}`
  return {
    onHead: ({ headers }) => {
      if (fieldOf(headers, HSTS_NAME) === undefined) headers.push('Strict-Transport-Security', value)
      return undefined
    },
  }
}
