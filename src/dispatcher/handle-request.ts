/**
 * What happens to one request, in order: its host, its site, the answer. Sites that the dispatcher answers itself never
 * touch the pool.
 *
 * Invariant: a request is answered by the site that the host table names for its host, or by none.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Log } from '../core/log.ts'
import { Exchange } from '../pool/exchange.ts'
import type { Pool } from '../pool/pool.ts'
import type { RequestHead } from '../protocol/frames.ts'
import type { ClientExchangeHandlers } from './client-exchange.ts'
import { ClientExchange } from './client-exchange.ts'
import { FailureLog } from './failure-log.ts'
import type { HostMatch, HostTable } from './host-table.ts'
import type { RequestHost } from './request-host.ts'
import { hostOfRequest } from './request-host.ts'
import { sendError } from './send-error.ts'
import type { Site } from './site.ts'
import { serveStatic } from './static-files.ts'
import { TunnelExchange } from './tunnel.ts'

export interface RequestContext {
  readonly pool: Pool
  readonly log: Log
  /** The table in force; swapped whole. */
  hosts: HostTable<Site>
}

/** A client's connection that the parser has let go of, with what came behind the request. */
export interface Upgrade {
  socket: Duplex
  head: Buffer
}

/** Answers requests by the tables in `context`. Never throws for what a client sent. */
export class RequestHandler {
  readonly context: RequestContext
  readonly #exchanges: ClientExchangeHandlers

  constructor(context: RequestContext) {
    this.context = context
    const failures = new FailureLog(context.log)
    this.#exchanges = {
      onGone: (exchange) => context.pool.abort(exchange, 'the client is gone'),
      onFailed: (exchange, error) => failures.write(exchange, error),
    }
  }

  handle(req: IncomingMessage, res: ServerResponse, upgrade?: Upgrade): void {
    const asked = hostOfRequest(req.rawHeaders, req.url as string, req.httpVersionMinor)
    if ('status' in asked) return sendError(req, res, { statusCode: asked.status, closes: true })
    const match = this.context.hosts.lookup(asked.host)
    if (match === undefined) return sendError(req, res, { statusCode: 421 })
    const { site } = match
    if (site.pooled === undefined) {
      site.ownRequests++
      void serveStatic(req, res, { root: site.config.root, index: site.config.static.index }, asked.target)
      return
    }
    const contentLength = bodyLength(req.rawHeaders)
    const { maxBodyBytes } = site.config.limits
    if (contentLength > maxBodyBytes) return sendError(req, res, { statusCode: 413, closes: true })
    const plain = new ClientExchange(req, res, maxBodyBytes, this.#exchanges)
    const listener = upgrade ? new TunnelExchange(plain, upgrade.socket, upgrade.head, this.#exchanges) : plain
    const head = requestHead(req, asked, match, upgrade !== undefined)
    const exchange = new Exchange(site.pooled, head, contentLength !== 0 && !upgrade, listener, performance.now())
    listener.exchange = exchange
    this.context.pool.submit(site.pooled, exchange)
  }
}

const CAPTURE_PREFIX = 'x-vhostel-'

function requestHead(req: IncomingMessage, asked: RequestHost, match: HostMatch<Site>, upgrade: boolean): RequestHead {
  const socket = req.socket as Socket & { encrypted?: boolean }
  const { authority, target: url } = asked
  const sent = authority === undefined ? req.rawHeaders : withHost(req.rawHeaders, authority)
  return {
    generation: 0,
    method: req.method as string,
    url,
    httpMinor: req.httpVersionMinor,
    headers: match.pattern?.kind === 'regex' ? withCaptures(sent, match.captures) : sent,
    remoteAddress: socket.remoteAddress ?? '',
    remotePort: socket.remotePort ?? 0,
    localAddress: socket.localAddress ?? '',
    localPort: socket.localPort ?? 0,
    encrypted: socket.encrypted === true,
    keepAlive: true,
    upgrade,
  }
}

/** RFC 9112 §3.2.2: the authority of an absolute-form target takes the place of what the client sent as Host. */
function withHost(rawHeaders: string[], authority: string): string[] {
  const headers = ['Host', authority]
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.toLowerCase() !== 'host') headers.push(name, rawHeaders[at + 1] as string)
  }
  return headers
}

/** Captures of the host's rule as headers; a client cannot send such headers to a site that has captures. */
function withCaptures(rawHeaders: string[], captures: Record<string, string> | undefined): string[] {
  const headers: string[] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.toLowerCase().startsWith(CAPTURE_PREFIX)) continue
    headers.push(name, rawHeaders[at + 1] as string)
  }
  for (const [name, value] of Object.entries(captures ?? {})) headers.push(`X-Vhostel-${name}`, value)
  return headers
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
