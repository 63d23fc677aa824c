/**
 * Answers the visits of a proxied site: one exchange or tunnel each.
 *
 * Invariant: a body that is announced as too large is refused before anything of it is read.
 */
import type { IncomingMessage } from 'node:http'
import type { HeldBodies, HeldBody } from '../held-bodies.ts'
import { SITE_METHODS, sendError } from '../send-error.ts'
import type { Visit } from '../visit.ts'
import type { BackendSite } from './backend-site.ts'
import { ProxyExchange } from './proxy-exchange.ts'
import { ProxyTunnel } from './proxy-tunnel.ts'

/** Whether a body comes with a request. Whoever answers without having read it has to end the connection. */
export function announcesBody({ headers }: IncomingMessage): boolean {
  return Number(headers['content-length'] ?? 0) > 0 || headers['transfer-encoding'] !== undefined
}

/**
 * Takes the body of a visit, as far as `[proxy] buffer` says, or answers what is not for an upstream.
 *
 * @param onReady is called when the visit is to be handed on, with what came of its body; undefined where it has none
 */
export function collect(
  visit: Visit,
  site: BackendSite,
  bodies: HeldBodies,
  onReady: (body: HeldBody | undefined) => void,
): void {
  const { req, res, upgrade, asked } = visit
  // Asks about the server and about nothing that it has (RFC 9110 §9.3.7); undici sends no target but paths.
  if (asked.target === '*') return void res.writeHead(204, ['Allow', SITE_METHODS]).end()
  const { maxBodyBytes, bodyWaitMs } = site.config.limits
  const length = Number(req.headers['content-length'] ?? 0)
  if (length > maxBodyBytes) return sendError(req, res, { statusCode: 413, closes: true })
  if (upgrade !== undefined || !announcesBody(req)) return onReady(undefined)
  const bufferBytes = site.waiting.isFull ? 0 : site.proxy.bufferBytes
  // Who does not say how much will come may be in a talk with the upstream.
  const mayTalk = req.headers['transfer-encoding'] !== undefined
  const waitMs = mayTalk ? bodyWaitMs : Number.POSITIVE_INFINITY
  bodies.take({
    req,
    res,
    waitMs: bufferBytes === 0 ? 0 : waitMs,
    mostBytes: bufferBytes,
    mayBeSlow: () => mayTalk,
    onReady: (body) => {
      if (body.bytes.byteLength > maxBodyBytes) sendError(req, res, { statusCode: 413, closes: true })
      else onReady(body)
    },
  })
}

/** Hands a visit on to the site's upstreams. @param body what came of it, as `collect` says */
export function forward(visit: Visit, site: BackendSite, body: HeldBody | undefined): void {
  const { upgrade } = visit
  site.group.take(upgrade === undefined ? new ProxyExchange(visit, site, body) : new ProxyTunnel(visit, upgrade, site))
}
