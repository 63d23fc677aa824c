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
    else if (port !== undefined && isMoved(visit, certificates)) return redirect(visit, port)
    next(visit)
  }
}

function isMoved({ asked, match }: Visit, certificates: Certificates): boolean {
  return !asked.target.startsWith(HTTP_CHALLENGE_PATH) && asked.host !== '' && certificates.of(match.site) !== undefined
}

/** 301 is what everybody knows; 308 where the method has to stay what it is (RFC 9110 §15.4). */
function redirect({ req, res, asked }: Visit, port: number): void {
  const target = asked.target === '*' ? '/' : asked.target
  const location = `https://${asked.host}${port === 443 ? '' : `:${port}`}${target}`
  const status = req.method === 'GET' || req.method === 'HEAD' ? 301 : 308
  // What comes behind the head of an upgrade is no request any more.
  res.writeHead(status, { location, 'content-length': 0 })
  res.end()
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
