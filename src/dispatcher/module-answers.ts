/**
 * Answers visits of `kind = module`: makes of each an exchange with the pool.
 *
 * Invariant: what a site is told of a request is what the client sent, but for the host of an absolute target, the
 * captures of the host's rule, and who the client is, which is connection.ts's to say.
 */
import type { Log } from '../core/log.ts'
import { Exchange } from '../pool/exchange.ts'
import type { Pool } from '../pool/pool.ts'
import type { PoolSite } from '../pool/pool-site.ts'
import type { RequestHead } from '../protocol/frames.ts'
import { captureFields, isCaptureField } from './captures.ts'
import type { ClientExchangeHandlers } from './client-exchange.ts'
import { ClientExchange } from './client-exchange.ts'
import { clientOf } from './connection.ts'
import { FailureLog } from './failure-log.ts'
import { withoutFields } from './header-fields.ts'
import type { HeldBody } from './held-bodies.ts'
import { HeldBodies } from './held-bodies.ts'
import { sendError } from './send-error.ts'
import { SlowClients } from './slow-clients.ts'
import { TunnelExchange } from './tunnel.ts'
import type { Visit } from './visit.ts'

/** Of a body before the module gets the request. */
const MOST_HELD_BYTES = 64 * 1024
/** Of a site, with threads before their body is whole. */
const MOST_EARLY = 64

export class ModuleAnswers {
  readonly #pool: Pool
  readonly #exchanges: ClientExchangeHandlers
  readonly #bodies = new HeldBodies()

  constructor(pool: Pool, log: Log) {
    this.#pool = pool
    const failures = new FailureLog(log)
    this.#exchanges = {
      onGone: (exchange) => pool.abort(exchange, 'the client is gone'),
      onFailed: (exchange, error) => failures.write(exchange, error),
      slow: new SlowClients((exchange) => pool.lend(exchange)),
    }
  }

  answer = (visit: Visit): void => {
    const { req, res, upgrade } = visit
    const { config, pooled } = visit.match.site
    // It was made another kind, or was removed, since the visit came.
    if (pooled === undefined) return sendError(req, res, { statusCode: 503 })
    const contentLength = bodyLength(req.rawHeaders)
    const { maxBodyBytes } = config.limits
    if (contentLength > maxBodyBytes) return sendError(req, res, { statusCode: 413, closes: true })
    if (contentLength === 0 || upgrade) return this.#submit(visit, pooled, undefined)
    this.#bodies.take({
      req,
      res,
      waitMs: config.limits.bodyWaitMs,
      mostBytes: MOST_HELD_BYTES,
      mayBeSlow: () => pooled.lane.lent < MOST_EARLY,
      onReady: (body) => this.#submit(visit, pooled, body),
    })
  }

  #submit(visit: Visit, site: PoolSite, body: HeldBody | undefined): void {
    const { req, res, upgrade, match } = visit
    // It was taken away while its client was sending.
    if (site.removed) return sendError(req, res, { statusCode: 503 })
    const { maxBodyBytes } = match.site.config.limits
    if (body !== undefined && body.bytes.byteLength > maxBodyBytes) {
      return sendError(req, res, { statusCode: 413, closes: true })
    }
    const plain = new ClientExchange(req, res, maxBodyBytes, this.#exchanges, body)
    const listener = upgrade ? new TunnelExchange(plain, upgrade.socket, upgrade.head, this.#exchanges) : plain
    // What its client took to send it is not the site's time.
    const arrivedAt = body === undefined ? visit.arrivedAt : performance.now()
    const exchange = new Exchange(site, requestHead(visit), body !== undefined, listener, arrivedAt)
    listener.exchange = exchange
    if (res.access !== undefined) res.access.exchange = exchange
    this.#pool.submit(site, exchange)
  }
}

function requestHead({ req, asked, match, upgrade }: Visit): RequestHead {
  const { socket } = req
  const client = clientOf(req)
  const { authority, target: url } = asked
  const sent = authority === undefined ? req.rawHeaders : withHost(req.rawHeaders, authority)
  const captures = captureFields(match)
  return {
    generation: 0,
    method: req.method as string,
    url,
    httpMinor: req.httpVersionMinor,
    headers: captures === undefined ? sent : [...withoutFields(sent, isCaptureField), ...captures],
    remoteAddress: client.address,
    remotePort: client.port,
    localAddress: socket.localAddress ?? '',
    localPort: socket.localPort ?? 0,
    encrypted: client.encrypted,
    keepAlive: true,
    upgrade: upgrade !== undefined,
  }
}

/** RFC 9112 §3.2.2: the authority of an absolute-form target takes the place of what the client sent as Host. */
function withHost(rawHeaders: string[], authority: string): string[] {
  return ['Host', authority, ...withoutFields(rawHeaders, (name) => name === 'host')]
}

const LENGTH_NAME = 'content-length'
const ENCODING_NAME = 'transfer-encoding'

/** Bytes of the body as announced; -1 when it is chunked and comes without a length; 0 for none. */
function bodyLength(rawHeaders: string[]): number {
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.length === LENGTH_NAME.length && name.toLowerCase() === LENGTH_NAME) return Number(rawHeaders[at + 1])
    if (name.length === ENCODING_NAME.length && name.toLowerCase() === ENCODING_NAME) return -1
  }
  return 0
}
