/**
 * The HTTP side: listens, parses, and hands every request on. Runs no site's code and decides nothing about a request.
 *
 * Invariant: while it closes, no request that was accepted is dropped before `graceMs`, and no connection outlives it.
 */
import type { IncomingMessage, Server, ServerOptions } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Server as NetServer } from 'node:net'
import type { Duplex } from 'node:stream'
import { ALL_INTERFACES, ALL_OF_IPV4, formatListenAddress } from '../config/listen.ts'
import type { FrontSettings } from '../config/server-front.ts'
import type { ListenAddress } from '../config/server-schema.ts'
import { AddressInUse } from '../core/errors.ts'
import { listenUnix } from '../core/listen-unix.ts'
import { createServer } from '../core/node-http.ts'
import { listenWithMore } from './acceptors.ts'
import { attempt } from './attempt.ts'
import type { Certificates } from './certificates.ts'
import { connectionOf } from './connection.ts'
import { FrontResponse } from './front-response.ts'
import { Guard } from './guard.ts'
import type { RequestHandler } from './handle-request.ts'
import type { StreamHandler } from './http2-front.ts'
import type { InheritedSockets } from './inherited-sockets.ts'
import { Pipeline } from './pipeline.ts'
import { sendError } from './send-error.ts'
import type { TlsFront } from './tls-front.ts'
import { responseOn } from './tunnel.ts'
import type { Upgrade } from './visit.ts'

/** Permissions of a unix socket that a proxy in front connects to: who may, is decided by its folder. */
const FRONT_SOCKET_MODE = 0o666
const IDLE_GRACE_MS = 500
/** How long the first head of a connection, or its handshake, may still take when the server stops. */
const HEAD_GRACE_MS = 5_000
/** Connections that may wait to be accepted; the kernel allows `net.core.somaxconn` of them. */
const BACKLOG = 4096

type Options = ServerOptions<typeof IncomingMessage, typeof FrontResponse>

const OPTIONS: Options = {
  ServerResponse: FrontResponse,
  // Host is checked by request-host.ts, which answers with a page.
  requireHostHeader: false,
  noDelay: true,
  // A request without a body need not be read to its end: nothing here looks at that end.
  optimizeEmptyRequests: true,
  shouldUpgradeCallback: wantsUpgrade,
}

/** One listener. */
interface Listener {
  server: Server
  /** Others that accept connections for it. */
  acceptors: readonly NetServer[]
  address: ListenAddress
  isSecure: boolean
  /** What became of `address` on TCP; known also once nobody listens any more. */
  bound: AddressInfo | string | null
}

/** Where TLS is spoken, and with which certificates. */
export interface SecureAddresses {
  addresses: readonly ListenAddress[]
  certificates: Certificates
}

/** What is listened on. */
export interface Addresses {
  clear: readonly ListenAddress[]
  secure: SecureAddresses
  /** Sockets that need not be bound. */
  inherited: InheritedSockets
}

export class Front {
  readonly #listeners: Listener[] = []
  #tls: TlsFront | undefined
  readonly #settings: FrontSettings
  readonly #guard: Guard
  readonly #inherited: InheritedSockets
  #closing = false

  private constructor(settings: FrontSettings, inherited: InheritedSockets, handler: RequestHandler) {
    this.#settings = settings
    this.#guard = new Guard(settings, handler)
    this.#inherited = inherited
  }

  /**
   * Listens on every address.
   *
   * @throws VHOSTEL_ADDRESS_IN_USE, or what the kernel says, with all listeners closed again
   */
  static async start(
    { clear, secure, inherited }: Addresses,
    handler: RequestHandler,
    settings: FrontSettings,
  ): Promise<Front> {
    const front = new Front(settings, inherited, handler)
    try {
      for (const address of clear) await front.#listen(createServer(front.#options), address, false, handler)
      if (secure.addresses.length > 0) await front.#listenSecure(secure, handler)
    } catch (error) {
      await front.close(0)
      throw error
    }
    return front
  }

  /** Addresses as bound: `http://127.0.0.1:8080`, `https://[::1]:8443`, `unix:/path` or `tls:unix:/path`. */
  get addresses(): string[] {
    return this.#listeners.map((listener) => describe(listener))
  }

  /** Ports bound on TCP for requests in clear text. */
  get ports(): number[] {
    return this.#portsOf(false)
  }

  /** Ports bound on TCP for TLS. */
  get securePorts(): number[] {
    return this.#portsOf(true)
  }

  /**
   * Accepts nothing new; open requests get `graceMs`, then every connection is ended. Tunnels and streams of events have no
   * end of their own, and clients that open them again: those get half a second.
   */
  async close(graceMs: number): Promise<void> {
    this.#closing = true
    const since = performance.now()
    const late = setTimeout(() => this.#guard.endAll(), graceMs)
    this.#guard.endIdle()
    const endless = setInterval(() => {
      this.#endEndless()
      this.#guard.endIdle()
      // Browsers open connections ahead; the next server must not wait for what nobody asks.
      this.#guard.endUnused(performance.now() - since < HEAD_GRACE_MS)
    }, IDLE_GRACE_MS)
    const http2 = this.#tls?.close(graceMs)
    await Promise.all([http2, ...this.#listeners.map((listener) => closeListener(listener))])
    clearTimeout(late)
    clearInterval(endless)
    this.#guard.close()
  }

  #endEndless(): void {
    this.#guard.endEndless()
    this.#tls?.endEndless()
  }

  get #options(): Options {
    return { ...OPTIONS, ...(this.#guard.options as Options) }
  }

  #portsOf(secure: boolean): number[] {
    return this.#listeners.flatMap(({ bound, isSecure }) =>
      typeof bound === 'object' && bound !== null && isSecure === secure ? [bound.port] : [],
    )
  }

  /** Loaded only where it is needed: TLS and HTTP/2 take some MB. */
  async #listenSecure({ addresses, certificates }: SecureAddresses, handler: RequestHandler): Promise<void> {
    const { TlsFront } = await import('./tls-front.ts')
    const handle: StreamHandler['handle'] = (req, res, refused) => {
      attempt(req, res, () => {
        handler.open(req, res)
        if (refused !== undefined) sendError(req, res, { statusCode: refused })
        else if (this.#guard.letsStream(req, res)) handler.handle(req, res)
      })
    }
    this.#tls = new TlsFront(certificates, { handle }, this.#settings)
    for (const address of addresses) await this.#listen(this.#tls.createServer(this.#options), address, true, handler)
  }

  async #listen(server: Server, address: ListenAddress, isSecure: boolean, handler: RequestHandler): Promise<void> {
    this.#guard.watch(server, isSecure)
    this.#serve(server, handler)
    const isInherited = await this.#inherited.listen(server, address, BACKLOG)
    const acceptors = isInherited ? [] : await bind(server, address)
    this.#listeners.push({ server, acceptors, address, isSecure, bound: server.address() })
  }

  #serve(server: Server, handler: RequestHandler): void {
    const pass = (req: IncomingMessage, res: FrontResponse, upgrade: Upgrade | undefined, onLet: () => void): void => {
      attempt(req, res, () => {
        handler.open(req, res, upgrade)
        if (this.#guard.lets(req, res)) onLet()
      })
    }
    const take = (req: IncomingMessage, res: FrontResponse): void => {
      // The client is told not to use the connection again; http.Server.close() would cut it between two requests.
      if (this.#closing) res.shouldKeepAlive = false
      pass(req, res, undefined, () => handler.handle(req, res))
    }
    const handle = (req: IncomingMessage, res: FrontResponse): void => {
      if (connectionOf(req.socket)?.isBusy === true) inTurn(req, () => take(req, res))
      else take(req, res)
    }
    server.on('request', handle)
    // `Expect: 100-continue` goes to the site, whose answer may be 100 or a final one.
    server.on('checkContinue', handle)
    server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on('error', () => socket.destroy())
      inTurn(req, () => {
        const upgrade = { socket, head }
        const res = responseOn(req, socket)
        pass(req, res, upgrade, () => handler.handle(req, res, upgrade))
      })
    })
    // Node destroys the connection of a CONNECT that nobody listens for; whoever looks first refuses it.
    server.on('connect', (req: IncomingMessage, socket: Duplex) => {
      socket.on('error', () => socket.destroy())
      inTurn(req, () => pass(req, responseOn(req, socket), undefined, () => socket.destroy()))
    })
    server.on('checkExpectation', (req: IncomingMessage, res: FrontResponse) => {
      inTurn(req, () => pass(req, res, undefined, () => sendError(req, res, { statusCode: 417, closes: true })))
    })
  }
}

/** Takes up a request when those before it on its connection have been answered. */
function inTurn(req: IncomingMessage, takeUp: () => void): void {
  const connection = connectionOf(req.socket)
  if (connection === undefined || !connection.isBusy) return takeUp()
  connection.pipeline ??= new Pipeline(connection)
  connection.pipeline.later(req, takeUp)
}

/**
 * HTTP/2 is not offered in clear text, so `Upgrade: h2c` is answered as if it were not there (RFC 9110 §7.8); nor is one with
 * a body, which Node would take for the first bytes of the other protocol.
 */
function wantsUpgrade(req: IncomingMessage): boolean {
  const { 'content-length': length = '0', 'transfer-encoding': coding } = req.headers
  if (Number(length) > 0 || coding !== undefined) {
    // The parser does not come back to requests behind that body.
    connectionOf(req.socket)?.endWithNext()
    return false
  }
  // RFC 9110 §7.8: HTTP/1.0 knows no upgrade.
  if (req.httpVersionMinor === 0) return false
  return req.method === 'GET' && !/(^|[,\s])h2c($|[,\s])/i.test(String(req.headers.upgrade))
}

/** @returns the servers that accept connections for this one */
async function bind(server: Server, address: ListenAddress): Promise<NetServer[]> {
  if (address.kind === 'unix') {
    await listenUnix(server, address.path, { mode: FRONT_SOCKET_MODE })
    return []
  }
  try {
    const { host, port, isIpv6Only = false } = address
    return await listenWithMore(server, { host, port, ipv6Only: isIpv6Only, backlog: BACKLOG })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') throw new AddressInUse(formatListenAddress(address))
    // The kernel has no IPv6, so all interfaces are those of IPv4.
    if (address.host !== ALL_INTERFACES || address.isIpv6Only || code !== 'EAFNOSUPPORT') throw error
    return bind(server, { ...address, host: ALL_OF_IPV4 })
  }
}

function describe({ address, bound, isSecure }: Listener): string {
  if (address.kind === 'unix' || typeof bound !== 'object' || bound === null)
    return `${isSecure ? 'tls:' : ''}${formatListenAddress(address)}`
  return `${isSecure ? 'https' : 'http'}://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`
}

/**
 * Accepts nothing new; resolves when all connections are closed. `http.Server.close()` resets idle keep-alive connections at once, in
 * the middle of a request that is on its way (measured: 286 errors in 24,000): those have to be answered with `Connection: close`.
 */
async function closeListener({ server, acceptors }: Listener): Promise<void> {
  const closed = (one: NetServer): Promise<void> =>
    new Promise((resolve) => NetServer.prototype.close.call(one, () => resolve()))
  await Promise.all([server, ...acceptors].map(closed))
}
