/**
 * Unmodified servers: a site that calls `listen()` gets what it expects ('listening', `address()`, `close()`), but no
 * port is opened. The server's own listeners become the site.
 *
 * The prototypes of Node's servers are changed, not the servers: a site may keep or replace its server's methods as it
 * likes. TLS ends at the front, so an https server is taken as an http one. Other protocols have no way in: their
 * `listen` fails with a message that names the port. Invariant: a server outside every site listens as ever.
 */
import { Server as HttpServer } from 'node:http'
import { Server as HttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { Server as NetServer } from 'node:net'
import { PortRefused } from '../core/errors.ts'
import type { ListenWish } from './listen-arguments.ts'
import { addressOf, describeWish, isSamePlace, parseListen } from './listen-arguments.ts'
import { getInternal } from './node-internals.ts'
import { currentSite } from './request-context.ts'
import type { ListeningServer, Site } from './site.ts'

/** Ports that stand in for port 0: the range that kernels use for that. */
const FIRST_EPHEMERAL_PORT = 49_152
const EPHEMERAL_PORTS = 16_384
let ephemeralPorts = 0

type AnyMethod = (this: NetServer, ...args: unknown[]) => unknown
type CloseCallback = (error?: Error) => void

/** Servers that think they listen. */
const captured = new WeakMap<NetServer, CapturedServer>()

/** Takes over `listen`, and what goes with it, for the code of sites. Once a thread. */
export function installListenCapture(): void {
  replace(NetServer.prototype, 'listen', listenForSite)
  replace(NetServer.prototype, 'address', (server) => ({ value: captured.get(server)?.address }))
  replace(NetServer.prototype, 'close', (server, [callback]) => {
    captured.get(server)?.close(callback as CloseCallback | undefined)
    return { value: server }
  })
  replace(NetServer.prototype, 'getConnections', (server, [callback]) => {
    const open = captured.get(server)?.site.open.size
    process.nextTick(callback as (error: null, count: unknown) => void, null, open)
    return { value: server }
  })
  for (const prototype of [HttpServer.prototype, HttpsServer.prototype]) {
    replace(prototype, 'closeAllConnections', (server) => {
      captured.get(server)?.site.cutOpen()
      return { value: undefined }
    })
  }
  replaceListening()
}

/** Puts a method in the place of Node's, for captured servers; a `listen` is for those that are not yet. */
function replace(
  prototype: object,
  name: string,
  method: (server: NetServer, args: unknown[]) => { value: unknown } | undefined,
): void {
  const original = (prototype as Record<string, unknown>)[name] as AnyMethod
  const replacement: AnyMethod = function (...args) {
    const isOurs = name === 'listen' || captured.has(this)
    const result = isOurs ? method(this, args) : undefined
    return result === undefined ? original.apply(this, args) : result.value
  }
  Object.defineProperty(prototype, name, { value: replacement, configurable: true, writable: true })
}

function replaceListening(): void {
  const original = Object.getOwnPropertyDescriptor(NetServer.prototype, 'listening')
  Object.defineProperty(NetServer.prototype, 'listening', {
    configurable: true,
    enumerable: true,
    get(this: NetServer) {
      return captured.has(this) || (original?.get?.call(this) as boolean)
    },
  })
}

function listenForSite(server: NetServer, args: unknown[]): { value: unknown } | undefined {
  const site = currentSite()
  if (site === undefined) return undefined
  const wish = parseListen(args)
  if (isHttpServer(server)) capture(server, site, wish)
  else emitError(server, new PortRefused(site.name, describeWish(wish)))
  return { value: server }
}

/** HTTP of any version: an http2 server gets HTTP/1.1 objects, which its compatibility API has the same methods for. */
function isHttpServer(server: NetServer): server is HttpServer {
  if (server instanceof HttpServer || server instanceof HttpsServer) return true
  return /^Http2(Secure)?Server$/.test(server.constructor.name)
}

function capture(server: HttpServer, site: Site, wish: ListenWish): void {
  if (captured.has(server)) {
    const error = new Error('Listen method has been called more than once without closing.')
    throw Object.assign(error, { code: 'ERR_SERVER_ALREADY_LISTEN' })
  }
  if (site.servers.some((other) => isSamePlace((other as CapturedServer).wish, wish))) {
    return emitError(server, addressInUse(wish))
  }
  if (wish.callback) server.once('listening', wish.callback)
  const one = new CapturedServer(server, site, wish)
  captured.set(server, one)
  wish.signal?.addEventListener('abort', () => server.close(), { once: true })
  site.servers.push(one)
  process.nextTick(() => {
    if (captured.get(server) !== one) return
    server.emit('listening')
    stopConnectionTimer(server)
    site.changes.emit('server', one)
  })
}

/** Node has begun to look for connections that are too slow: there are none, and the front's are its own. */
function stopConnectionTimer(server: HttpServer): void {
  const isIt = (symbol: symbol): boolean => symbol.description === 'http.server.connectionsCheckingInterval'
  const timer = getInternal(server, Object.getOwnPropertySymbols(server).find(isIt))
  clearInterval(timer as NodeJS.Timeout | undefined)
}

function emitError(server: NetServer, error: Error): void {
  process.nextTick(() => server.emit('error', error))
}

/** What the kernel would say: the site itself listens there already. */
function addressInUse(wish: ListenWish): Error {
  const place = wish.path ?? `${wish.host ?? '::'}:${wish.port}`
  const error = new Error(`listen EADDRINUSE: address already in use ${place}`)
  const fields = { code: 'EADDRINUSE', errno: -98, syscall: 'listen', address: wish.path ?? wish.host ?? '::' }
  return Object.assign(error, fields, wish.path === undefined ? { port: wish.port } : {})
}

/** One server of a site that thinks it listens. */
class CapturedServer implements ListeningServer {
  readonly server: HttpServer
  readonly site: Site
  readonly wish: ListenWish
  readonly address: AddressInfo | string

  constructor(server: HttpServer, site: Site, wish: ListenWish) {
    this.server = server
    this.site = site
    this.wish = wish
    this.address = addressOf(wish, wish.port || FIRST_EPHEMERAL_PORT + (ephemeralPorts++ % EPHEMERAL_PORTS))
  }

  /** The port it asked for; undefined for a path or a handle. */
  get port(): number | undefined {
    return this.wish.port
  }

  /** `server.close()`: nothing new is taken; 'close' once the requests that are open are done. */
  close(callback?: CloseCallback): void {
    const { server, site } = this
    if (callback) server.once('close', () => callback())
    captured.delete(server)
    site.servers.splice(site.servers.indexOf(this), 1)
    site.whenIdle(() => process.nextTick(() => server.emit('close')))
  }
}
