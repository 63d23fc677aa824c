/**
 * Unmodified servers: a site that calls `listen()` gets what it expects ('listening', `address()`, `close()`), but no
 * port is opened. The server's own listeners become the site.
 *
 * Node's own code does all of it, on a handle that has no socket behind it (`VirtualHandle`): so arguments, errors, flags
 * and the order of events are Node's. The prototypes of Node's servers are changed, not the servers: a site may keep or
 * replace its server's methods as it likes. TLS ends at the front, so an https server is taken as an http one.
 *
 * A server of another protocol listens too, because many a program looks whether its port is free by opening one and
 * closing it again. Connections come to it only from the site itself (own-connections.ts): one that still waits for some
 * after `PROBE_MS` is refused, in the site's log and as its 'error'. Invariant: a server outside every site listens as ever.
 */
import cluster from 'node:cluster'
import { Server as HttpServer } from 'node:http'
import { Server as HttpsServer } from 'node:https'
import { isIPv6, Server as NetServer } from 'node:net'
import { PortRefused } from '../core/errors.ts'
import type { Place } from './listen-arguments.ts'
import { describePlace, isSamePlace, reaches, withoutLookup } from './listen-arguments.ts'
import { getInternal } from './node-internals.ts'
import { Entrance, installOwnConnections } from './own-connections.ts'
import { currentSite, runIn } from './request-context.ts'
import type { ListeningServer, Site } from './site.ts'

/** Ports that stand in for port 0: the range that kernels use for that. */
const FIRST_EPHEMERAL_PORT = 49_152
const EPHEMERAL_PORTS = 16_384
/** How long a server that is not HTTP may listen before it counts as one that means it, in ms. */
const PROBE_MS = 1_000
/** `UV_EADDRINUSE`, as a handle's `listen` returns it on Linux. */
const ADDRESS_IN_USE = -98
/** `UV_TCP_IPV6ONLY` and `UV_TCP_REUSEPORT`: `getFlags` of Node's net. */
const IPV6_ONLY_FLAG = 1
const REUSE_PORT_FLAG = 2
let ephemeralPorts = 0

type AnyMethod = (this: NetServer, ...args: unknown[]) => unknown
type CloseCallback = (error?: Error) => void

/** What Node keeps on a server, and its legacy names for "bind now" and "was that the last one?". */
interface ServerInternals extends NetServer {
  _handle: unknown
  _connections: number
  _emitCloseIfDrained(): void
  _listen2: Listen2
}

type Listen2 = (
  this: ServerInternals,
  address: string | null,
  port: number | null,
  addressType: number | null,
  backlog: number | undefined,
  fd: number | undefined,
  flags: number | undefined,
) => void

/** What a server asked of a cluster's primary process. */
interface ServerQuery {
  address: string | null
  port: number | null
  addressType: number | null
  backlog?: number
  fd?: number
  flags?: number
}

/** The last handle of every server that a site let listen, also after it was closed. */
const captured = new WeakMap<NetServer, VirtualHandle>()
/** The handles of each site that are open. */
const openHandles = new WeakMap<Site, Set<VirtualHandle>>()

/** Takes over `listen` and `connect`, and what goes with them, for the code of sites. Once a thread. */
export function installListenCapture(): void {
  replace(NetServer.prototype, 'listen', (original, server, args) =>
    original.apply(server, currentSite() === undefined ? args : withoutLookup(args)),
  )
  for (const prototype of [HttpServer.prototype, HttpsServer.prototype]) {
    replace(prototype, 'closeAllConnections', (original, server, args) => {
      const handle = captured.get(server)
      if (handle === undefined) return original.apply(server, args)
      cutRequestsOf(server, handle.site)
      return original.apply(server, args)
    })
  }
  replaceListen2()
  installOwnConnections((target) => {
    const site = currentSite()
    if (site === undefined) return undefined
    return [...(openHandles.get(site) ?? [])].find(({ place }) => reaches(target, place))?.entrance
  })
}

/**
 * Counts a request as a connection of its server, as `getConnections` and `close` see it.
 *
 * @returns whether it was counted, and has to be taken off by `leaveServer`; a server that never listened has none
 */
export function enterServer(server: NetServer): boolean {
  const isCounted = captured.has(server)
  if (isCounted) (server as ServerInternals)._connections++
  return isCounted
}

/** The connection is gone; a server that was closed meanwhile emits 'close' after the last one. */
export function leaveServer(server: NetServer, site: Site): void {
  const internals = server as ServerInternals
  internals._connections--
  if (!server.listening) runIn(site, () => internals._emitCloseIfDrained())
}

function cutRequestsOf(server: NetServer, site: Site): void {
  for (const exchange of site.open.values()) {
    if ((exchange as { server?: NetServer }).server === server) runIn(exchange, () => exchange.cut())
  }
}

/** Puts a method in the place of Node's. */
function replace(
  prototype: object,
  name: string,
  method: (original: AnyMethod, server: NetServer, args: unknown[]) => unknown,
): void {
  const original = (prototype as Record<string, unknown>)[name] as AnyMethod
  const replacement: AnyMethod = function (...args) {
    return method(original, this, args)
  }
  Object.defineProperty(prototype, name, { value: replacement, configurable: true, writable: true })
}

/** Node comes here once arguments are checked and names are looked up, with no handle yet. */
function replaceListen2(): void {
  const prototype = NetServer.prototype as ServerInternals
  const original = prototype._listen2
  prototype._listen2 = function (address, port, addressType, backlog, fd, flags) {
    const site = currentSite()
    if (site === undefined) return original.call(this, address, port, addressType, backlog, fd, flags)
    const handle = new VirtualHandle(this, site, placeOf(site, address, port, fd, flags), port)
    captured.set(this, handle)
    this._handle = handle
    original.call(this, handle.place.address ?? address, port, addressType, backlog, fd, flags)
    // After Node's own tick, in which it emits 'listening'.
    if (this._handle === handle) process.nextTick(() => handle.listens())
  }
  // A site takes itself for a worker of a cluster (site-cluster.ts), which would ask its primary to bind.
  Object.assign(cluster, {
    _getServer: (server: ServerInternals, { address, port, addressType, backlog, fd, flags }: ServerQuery) =>
      server._listen2(address, port, addressType, backlog, fd, flags),
  })
}

/** `createServerHandle` of Node's net: a path has an address type of -1, and a port of -1. */
function placeOf(site: Site, address: string | null, port: number | null, fd: number | undefined, flags = 0): Place {
  const none = { address: undefined, port: undefined, path: undefined, isIpv6Only: false, isShared: false }
  if (port === -1 && address) return { ...none, path: address }
  if (port === null || port < 0 || typeof fd === 'number') return none
  return {
    ...none,
    address: address || '::',
    port: port || freePort(site),
    isIpv6Only: (flags & IPV6_ONLY_FLAG) !== 0,
    isShared: (flags & REUSE_PORT_FLAG) !== 0,
  }
}

/** A port for a server that has asked for any: none that the site has already. */
function freePort(site: Site): number {
  const open = [...(openHandles.get(site) ?? [])]
  for (let tries = 0; tries < EPHEMERAL_PORTS; tries++) {
    const port = FIRST_EPHEMERAL_PORT + (ephemeralPorts++ % EPHEMERAL_PORTS)
    if (!open.some(({ place }) => place.port === port)) return port
  }
  return FIRST_EPHEMERAL_PORT
}

/** HTTP of any version: an http2 server gets HTTP/1.1 objects, which its compatibility API has the same methods for. */
function isHttpServer(server: NetServer): server is HttpServer {
  if (server instanceof HttpServer || server instanceof HttpsServer) return true
  return /^Http2(Secure)?Server$/.test(server.constructor.name)
}

/** Node has begun to look for connections that are too slow: there are none, and the front's are its own. */
function stopConnectionTimer(server: NetServer): void {
  const isIt = (symbol: symbol): boolean => symbol.description === 'http.server.connectionsCheckingInterval'
  const timer = getInternal(server, Object.getOwnPropertySymbols(server).find(isIt))
  clearInterval(timer as NodeJS.Timeout | undefined)
}

/** Why a server of the site that is not HTTP is of no use, with the place where it was opened; undefined without one. */
export function refusalOf(site: Site): Error | undefined {
  return [...(openHandles.get(site) ?? [])].find(({ refusal }) => refusal !== undefined)?.refusal
}

/** What Node takes for a bound socket of a server: one that nobody can connect to. */
class VirtualHandle implements ListeningServer {
  readonly server: HttpServer
  readonly site: Site
  readonly place: Place
  readonly isHttp: boolean
  /** The port it asked for; undefined for a path or a handle. */
  readonly port: number | undefined
  /** Only where there is an address: Node tells paths by its absence. */
  readonly getsockname: ((out: object) => number) | undefined
  /** For a server of another protocol. */
  readonly refusal: Error | undefined
  /** Where the site's own code comes in. */
  readonly entrance: Entrance
  #isOpen = false
  #probeTimer: NodeJS.Timeout | undefined

  /** @param port as asked for */
  constructor(server: NetServer, site: Site, place: Place, port: number | null) {
    this.server = server as HttpServer
    this.site = site
    this.place = place
    this.isHttp = isHttpServer(server)
    this.entrance = new Entrance(server, site, this.isHttp)
    this.refusal = this.isHttp ? undefined : new PortRefused(site.name, describePlace(place))
    this.port = place.port === undefined ? undefined : (port ?? 0)
    if (place.path !== undefined) return
    const { address = '::', port: bound = freePort(site) } = place
    this.getsockname = (out) => {
      Object.assign(out, { address, family: isIPv6(address) ? 'IPv6' : 'IPv4', port: bound })
      return 0
    }
  }

  // ---- as Node's net calls it ------------------------------------------------------------------------------------

  listen(): number {
    const { site } = this
    const open = openHandles.get(site) ?? new Set()
    if ([...open].some(({ place }) => isSamePlace(place, this.place))) return ADDRESS_IN_USE
    openHandles.set(site, open.add(this))
    this.#isOpen = true
    if (this.isHttp) site.servers.push(this)
    return 0
  }

  /** Node's `server.close()` calls it without a callback; whoever has one wants the server closed. */
  close(callback?: CloseCallback): void {
    if (callback !== undefined) {
      // Not the server's own method, which the site may have replaced.
      NetServer.prototype.close.call(this.server, callback)
      return
    }
    if (!this.#isOpen) return
    this.#isOpen = false
    clearTimeout(this.#probeTimer)
    openHandles.get(this.site)?.delete(this)
    this.entrance.close()
    if (!this.isHttp) return
    this.site.servers.splice(this.site.servers.indexOf(this), 1)
    this.site.closedServer()
  }

  ref(): void {}

  unref(): void {}

  // ---- for this file ---------------------------------------------------------------------------------------------

  /** 'listening' was emitted. */
  listens(): void {
    if (!this.#isOpen) return
    if (this.isHttp) {
      stopConnectionTimer(this.server)
      this.#tellIfUnreached()
      this.site.changes.emit('server', this)
      return
    }
    this.#probeTimer = setTimeout(() => this.#refuse(), PROBE_MS)
    this.#probeTimer.unref()
  }

  /** A second server looks as if it worked: a redirect to HTTPS that listens first would be all that there is of the site. */
  #tellIfUnreached(): void {
    const { site, port, place } = this
    const [first] = site.servers
    if (site.order.httpPort !== undefined || !port || !first?.port || first.port === port) return
    const choice = `the site is what listens on port ${first.port}; http_port = ${port} would make it this one`
    site.log.write('warn', `listens on ${describePlace(place)} too, where no visitor comes: ${choice}`)
  }

  /** A server that nobody will connect to, and that waits for it. One without a listener only keeps its place. */
  #refuse(): void {
    const { server, site } = this
    const error = this.refusal
    if (!this.#isOpen || error === undefined || site.state === 'stopped') return
    if (server.listenerCount('connection') === 0) return
    site.log.write('fatal', error.message)
    // A site that serves otherwise goes on, unless it wants to hear of this.
    if (server.listenerCount('error') === 0) return
    this.close()
    ;(server as unknown as ServerInternals)._handle = null
    server.emit('error', error)
  }
}
