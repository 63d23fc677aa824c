/**
 * Sites that answer with Node's own request and response objects: plain handlers, Express, Koa, Connect, Fastify, and
 * captured servers. Decides for each request whether it is one of these or a tunnel.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { Server } from 'node:http'
import type { Exchange, RequestFrame, Wire } from './exchange.ts'
import type { NodeHandler } from './http-exchange.ts'
import { HttpExchange } from './http-exchange.ts'
import { RefusedExchange } from './refused-exchange.ts'
import type { Site, SiteApp } from './site.ts'
import { TunnelExchange } from './tunnel-exchange.ts'

/** The exchange for a request of a site that takes Node's objects. */
export function openNodeExchange(site: Site, handler: NodeHandler, wire: Wire, frame: RequestFrame): Exchange {
  const { server } = handler
  if (frame.head.method === 'CONNECT') {
    if (server.listenerCount('connect') > 0) return new TunnelExchange(site, server, 'connect', wire, frame)
    return new RefusedExchange(site, wire, frame, 'it takes no CONNECT')
  }
  if (frame.head.upgrade) {
    if (server.listenerCount('upgrade') > 0) return new TunnelExchange(site, server, 'upgrade', wire, frame)
    // An upgrade that nobody takes is an ordinary request, and a GET of that kind has no body.
    return new HttpExchange(site, handler, wire, { ...frame, last: true })
  }
  return new HttpExchange(site, handler, wire, frame)
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
