/**
 * Answers the visits of a proxied site: one exchange or tunnel each.
 *
 * Invariant: a body that is announced as too large is refused before anything of it is read.
 */
import type { IncomingMessage } from 'node:http'
import { SITE_METHODS, sendError } from '../send-error.ts'
import type { Visit } from '../visit.ts'
import type { BackendSite } from './backend-site.ts'
import { ProxyExchange } from './proxy-exchange.ts'
import { ProxyTunnel } from './proxy-tunnel.ts'

/** Whether a body comes with a request. Whoever answers without having read it has to end the connection. */
export function announcesBody({ headers }: IncomingMessage): boolean {
  return Number(headers['content-length'] ?? 0) > 0 || headers['transfer-encoding'] !== undefined
}

/** Hands a visit on to the site's upstreams. */
export function forward(visit: Visit, site: BackendSite): void {
  const { req, res, upgrade, asked } = visit
  // Asks about the server and about nothing that it has (RFC 9110 §9.3.7); undici sends no target but paths.
  if (asked.target === '*') return void res.writeHead(204, ['Allow', SITE_METHODS]).end()
  const { maxBodyBytes } = site.config.limits
  const length = Number(req.headers['content-length'] ?? 0)
  if (length > maxBodyBytes) return sendError(req, res, { statusCode: 413, closes: true })
  const job =
    upgrade === undefined ? new ProxyExchange(visit, site, announcesBody(req)) : new ProxyTunnel(visit, upgrade, site)
  site.group.take(job)
}
