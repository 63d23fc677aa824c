/**
 * Sites that answer with Node's own request and response objects: plain handlers, Express, Koa, Connect, Fastify, and
 * captured servers. Decides for each request whether it is one of these or a tunnel.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { Server } from 'node:http'
import type { Exchange, RequestFrame, Wire } from './exchange.ts'
import { closeReason } from './exchange.ts'
import type { NodeHandler } from './http-exchange.ts'
import { HttpExchange } from './http-exchange.ts'
import { createRequest } from './http-objects.ts'
import { RefusedExchange } from './refused-exchange.ts'
import { runIn } from './request-context.ts'
import type { Site, SiteApp } from './site.ts'
import type { SocketOwner } from './site-socket.ts'
import { SiteSocket } from './site-socket.ts'
import { TunnelExchange } from './tunnel-exchange.ts'

/** `http.createServer({ shouldUpgradeCallback })`. */
interface UpgradingServer extends Server {
  shouldUpgradeCallback?(request: IncomingMessage): unknown
}

/** Behind the socket of a request of which it is not known yet what becomes of it. */
const nobody: SocketOwner = {
  isTunnel: false,
  write: (_chunks, callback) => callback(),
  demand() {},
  final: (callback) => callback(),
  destroyed() {},
  closing() {},
}

/** The exchange for a request of a site that takes Node's objects. */
export function openNodeExchange(site: Site, handler: NodeHandler, wire: Wire, frame: RequestFrame): Exchange {
  const { server } = handler
  if (frame.head.method === 'CONNECT') {
    if (server.listenerCount('connect') > 0) return new TunnelExchange(site, server, 'connect', wire, frame)
    return new RefusedExchange(site, wire, frame, 'it takes no CONNECT')
  }
  return frame.head.upgrade ? openUpgrade(site, handler, wire, frame) : new HttpExchange(site, handler, wire, frame)
}

/** Asks the server whether it takes the upgrade, as `parserOnIncoming` of Node's http does. */
function openUpgrade(site: Site, handler: NodeHandler, wire: Wire, frame: RequestFrame): Exchange {
  const { server } = handler
  const socket = new SiteSocket(nobody, frame.head, server)
  const asked = { socket, request: createRequest(server, socket, frame.head) }
  // One that nobody takes is an ordinary request, and a GET of that kind has no body.
  const plainly = (it: NodeHandler): Exchange => new HttpExchange(site, it, wire, { ...frame, last: true }, asked)
  asked.request.upgrade = true
  try {
    asked.request.upgrade = runIn(site, () => wantsUpgrade(server, asked.request))
  } catch (error) {
    return plainly({ server, handle: () => Promise.reject(error) })
  }
  if (socket.destroyed) return new RefusedExchange(site, wire, frame, closeReason(socket.errored))
  if (!asked.request.upgrade) return plainly(handler)
  if (server.listenerCount('upgrade') > 0) return new TunnelExchange(site, server, 'upgrade', wire, frame, asked)
  return new RefusedExchange(site, wire, frame, "it takes the upgrade, but has no listener of 'upgrade'")
}

/** @throws whatever the site's own callback throws */
function wantsUpgrade(server: UpgradingServer, request: IncomingMessage): boolean {
  // Node has it since 24.9, and an http2 server never.
  if (typeof server.shouldUpgradeCallback === 'function') return Boolean(server.shouldUpgradeCallback(request))
  return server.listenerCount('upgrade') > 0
}

/** What a server's own listeners make of a request. */
function serverHandler(server: Server): NodeHandler {
  return {
    server,
    handle: (request, response) => {
      server.emit('request', request, response)
    },
  }
}

/** A server that the module exports without listening. */
export class ServerApp implements SiteApp {
  readonly shape = 'listen'
  readonly #handler: NodeHandler

  constructor(server: Server) {
    this.#handler = serverHandler(server)
  }

  open(site: Site, wire: Wire, frame: RequestFrame): Exchange {
    return openNodeExchange(site, this.#handler, wire, frame)
  }

  async close(): Promise<void> {}
}

/** A site made of the servers it opened. Which one answers is looked up each time: a site may close and open them. */
export class ListenApp implements SiteApp {
  readonly shape = 'listen'
  readonly needsServer = true
  #handler: NodeHandler | undefined

  open(site: Site, wire: Wire, frame: RequestFrame): Exchange {
    const main = site.mainServer
    if (main === undefined) return new RefusedExchange(site, wire, frame, 'it has closed its server')
    if (this.#handler?.server !== main.server) this.#handler = serverHandler(main.server)
    return openNodeExchange(site, this.#handler, wire, frame)
  }

  async close(): Promise<void> {}
}

/** A handler function as a site: it belongs to a server that never listens, as `req.socket.server` tells it. */
export class HandlerApp implements SiteApp, NodeHandler {
  readonly shape = 'handler'
  readonly server = new Server()
  readonly #listener: RequestListener

  constructor(listener: RequestListener) {
    this.#listener = listener
  }

  handle(request: IncomingMessage, response: ServerResponse): unknown {
    return this.#listener(request, response)
  }

  open(site: Site, wire: Wire, frame: RequestFrame): Exchange {
    // A module that exports its app and listens a little later means its server, which has the 'upgrade' listeners too.
    const main = site.order.type === 'auto' ? site.mainServer : undefined
    return openNodeExchange(site, main ? serverHandler(main.server) : this, wire, frame)
  }

  async close(): Promise<void> {}
}
