/**
 * Unmodified servers: a site that calls `listen()` gets what it expects ('listening', `address()`, `close()`), but no
 * port is opened. The server's own listeners become the site.
 *
 * TLS ends at the front, so an https server is taken as an http one. Other protocols have no way in: their `listen`
 * fails with a message that names the port. Invariant: a server outside every site listens as ever.
 */
import { Server as HttpServer } from 'node:http'
import { Server as HttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { Server as NetServer } from 'node:net'
import { PortRefused } from '../core/errors.ts'
import type { ListenWish } from './listen-arguments.ts'
import { addressOf, describeWish, parseListen } from './listen-arguments.ts'
import { currentSite } from './request-context.ts'
import type { ListeningServer, Site } from './site.ts'

/** Ports that stand in for port 0: the range that kernels use for that. */
const FIRST_EPHEMERAL_PORT = 49_152
const EPHEMERAL_PORTS = 16_384
let ephemeralPorts = 0

/** Takes over `listen` for the code of sites. Once a thread. */
export function installListenCapture(): void {
  const listen = NetServer.prototype.listen
  NetServer.prototype.listen = function (this: NetServer, ...args: unknown[]) {
    const site = currentSite()
    if (site === undefined) return (listen as (...all: unknown[]) => NetServer).apply(this, args)
    const wish = parseListen(args)
    if (isHttpServer(this)) capture(this, site, wish)
    else refuse(this, site, wish)
    return this
  } as typeof listen
}

/** HTTP of any version: an http2 server gets HTTP/1.1 objects, which its compatibility API has the same methods for. */
function isHttpServer(server: NetServer): server is HttpServer {
  if (server instanceof HttpServer || server instanceof HttpsServer) return true
  return /^Http2(Secure)?Server$/.test(server.constructor.name)
}

function refuse(server: NetServer, site: Site, wish: ListenWish): void {
  const error = new PortRefused(site.name, describeWish(wish))
  process.nextTick(() => server.emit('error', error))
}

function capture(server: HttpServer, site: Site, wish: ListenWish): void {
  if (server.listening) {
    const error = new Error('Listen method has been called more than once without closing.')
    throw Object.assign(error, { code: 'ERR_SERVER_ALREADY_LISTEN' })
  }
  if (wish.callback) server.once('listening', wish.callback)
  const captured = new CapturedServer(server, site, wish)
  wish.signal?.addEventListener('abort', () => captured.close(), { once: true })
  site.servers.push(captured)
  process.nextTick(() => {
    if (!captured.isUp) return
    server.emit('listening')
    site.changes.emit('server', captured)
  })
}

/** One server of a site that thinks it listens. */
export class CapturedServer implements ListeningServer {
  readonly server: HttpServer
  /** The port it asked for; undefined for a path or a handle. */
  readonly port: number | undefined
  isUp = true
  readonly #site: Site

  constructor(server: HttpServer, site: Site, wish: ListenWish) {
    this.server = server
    this.#site = site
    this.port = wish.port
    const address = addressOf(wish, wish.port || FIRST_EPHEMERAL_PORT + (ephemeralPorts++ % EPHEMERAL_PORTS))
    this.#dress(address)
  }

  /** Own properties, because the prototype's answer from a handle that there is none of. */
  #dress(address: AddressInfo | string): void {
    const { server } = this
    const site = this.#site
    Object.defineProperty(server, 'listening', { get: () => this.isUp, configurable: true })
    server.address = () => (this.isUp ? address : null)
    server.close = (callback) => {
      this.close(callback)
      return server
    }
    server.closeAllConnections = () => {
      for (const exchange of site.open) exchange.cut()
    }
    server.closeIdleConnections = () => {}
    server.getConnections = (callback) => {
      process.nextTick(callback, null, site.open.size)
      return server
    }
    server.ref = () => server
    server.unref = () => server
    // Node would start a timer for connections that there are none of, and never stop it.
    const tracking = server.listeners('listening').find((listener) => listener.name === 'setupConnectionsTracking')
    if (tracking) server.removeListener('listening', tracking as () => void)
  }

  /** `server.close()`: nothing new is taken; 'close' once the requests that are open are done. */
  close(callback?: (error?: Error) => void): void {
    const { server } = this
    if (!this.isUp) {
      const error = Object.assign(new Error('Server is not running.'), { code: 'ERR_SERVER_NOT_RUNNING' })
      if (callback) process.nextTick(callback, error)
      return
    }
    if (callback) server.once('close', () => callback())
    this.isUp = false
    this.#site.servers.splice(this.#site.servers.indexOf(this), 1)
    this.#site.whenIdle(() => process.nextTick(() => server.emit('close')))
  }
}
