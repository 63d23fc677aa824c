/**
 * Guards one HTTP server: who may connect and how often, how large and how late a request may be, and what becomes of what is
 * none. Works for servers of `node:http` and `node:https` alike.
 *
 * Invariant: whatever a client sends or leaves out, its connection ends, or goes on, by a rule of this file or of those it
 * calls; an error of a socket never escapes.
 */
import type { IncomingMessage, Server, ServerOptions } from 'node:http'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { AddressSet } from '../config/network.ts'
import { addressSet } from '../config/network.ts'
import type { FrontSettings } from '../config/server-front.ts'
import { descriptorsForClients, mostDescriptors } from '../core/descriptors.ts'
import type { ParseError, Refusals } from './bad-request.ts'
import { lateHead, refuseConnection } from './bad-request.ts'
import type { ClientFinder } from './connection.ts'
import { Connection, carrierOf, connectionOf } from './connection.ts'
import { Connections } from './connections.ts'
import { clientFinder, dropForwarded } from './forwarded.ts'
import type { FrontResponse } from './front-response.ts'
import { lingerAtEnd } from './linger.ts'
import { readProxyHeader } from './proxy-header.ts'
import type { RequestLimits } from './request-check.ts'
import { requestFault, streamFault } from './request-check.ts'
import { sendError } from './send-error.ts'

const LEAST_TARGET = 8 * 1024
/** Who is on this machine: what they say about others is passed on where no proxies are named. */
const THIS_MACHINE = ['127.0.0.0/8', '::1', 'unix']

export class Guard {
  readonly limits: RequestLimits
  readonly #settings: FrontSettings
  readonly #refusals: Refusals
  readonly #connections: Connections
  readonly #trusted: AddressSet
  readonly #passed: AddressSet
  readonly #finder: ClientFinder
  readonly #forClients = descriptorsForClients(mostDescriptors())

  /** @param refusals for what is no request */
  constructor(settings: FrontSettings, refusals: Refusals) {
    this.#settings = settings
    this.#refusals = refusals
    this.#connections = new Connections({
      timeoutMs: settings.headerTimeoutMs,
      onLate: (socket) => refuseConnection(lateHead(), socket, refusals),
    })
    this.#trusted = addressSet(settings.trustedProxies ?? [])
    this.#passed = addressSet(settings.trustedProxies ?? THIS_MACHINE)
    this.#finder = clientFinder(this.#trusted)
    this.limits = { maxTarget: Math.max(LEAST_TARGET, settings.headerBytes / 4), maxHeaders: settings.headerCount }
  }

  /** Options for servers that are to be guarded. */
  get options(): ServerOptions {
    const { headerBytes, idleTimeoutMs } = this.#settings
    return {
      insecureHTTPParser: false,
      maxHeaderSize: headerBytes,
      keepAliveTimeout: idleTimeoutMs,
      // Both are connections.ts's; an upload may take as long as it makes progress.
      headersTimeout: 0,
      requestTimeout: 0,
    }
  }

  /** To be called before the server listens. @param isSecure whether it speaks TLS */
  watch(server: Server, isSecure: boolean): void {
    // With these Node begins to keep a list of connections (connections.ts).
    server.removeAllListeners('listening')
    // One more than is allowed: what is beyond is left out by Node without a word.
    server.maxHeadersCount = this.#settings.headerCount + 1
    const accept = server.listeners('connection') as ((socket: Socket) => void)[]
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) => {
      this.#admit(socket, () => {
        // Over TLS it is the handshake that comes first.
        if (!isSecure) connectionOf(socket)?.awaitHead(performance.now())
        for (const listener of accept) listener.call(server, socket)
      })
    })
    server.on('secureConnection', (socket: TLSSocket) => this.#secured(socket))
    server.on('clientError', (error: ParseError, socket) => refuseConnection(error, socket as Socket, this.#refusals))
  }

  /**
   * Looks at a request that the parser has taken, before anybody else does.
   *
   * @returns whether it is to be handled; else it is answered, or its connection is about to close
   */
  lets(req: IncomingMessage, res: FrontResponse): boolean {
    const connection = connectionOf(req.socket)
    if (connection?.isClosing === true) return false
    connection?.begin(req, res)
    const status = requestFault(req, this.limits)
    if (status !== undefined) {
      sendError(req, res, { statusCode: status, closes: true })
      return false
    }
    if (connection?.dropsForwarded === true) dropForwarded(req)
    return true
  }

  /** As `lets`, for a stream of HTTP/2: its framing is not the parser's, and its connection goes on. */
  letsStream(req: IncomingMessage, res: FrontResponse): boolean {
    const status = streamFault(req, this.limits)
    if (status !== undefined) sendError(req, res, { statusCode: status })
    else if (connectionOf(req.socket)?.dropsForwarded === true) dropForwarded(req)
    return status === undefined
  }

  /** Ends the connections whose answer would not end by itself. */
  endEndless(): void {
    this.#connections.endEndless()
  }

  /** Ends the connections on which nothing happens any more, as `Connections.endIdle`. */
  endIdle(): void {
    this.#connections.endIdle()
  }

  /** Ends the connections on which no request ever came. @param spares those on which one seems to be on its way */
  endUnused(spares: boolean): void {
    this.#connections.endUnused(spares)
  }

  /** Ends all connections. */
  endAll(): void {
    this.#connections.endAll()
  }

  close(): void {
    this.#connections.close()
  }

  #admit(socket: Socket, onAdmitted: () => void): void {
    const { proxyProtocol, headerTimeoutMs } = this.#settings
    // Until somebody else listens; a reset must not end the server.
    socket.on('error', () => socket.destroy())
    const connection = new Connection(socket)
    const { address } = connection.peer
    if (descriptorOf(socket) >= this.#forClients) {
      this.#refusals.turnedAway('descriptors', address, this.#forClients)
      socket.destroy()
      return
    }
    const isTrusted = this.#trusted.has(address)
    const enter = (isIn: boolean): void => {
      if (this.#enter(connection, socket, isIn)) onAdmitted()
      else this.#refusals.turnedAway('address', connection.peer.address, this.#settings.connectionsPerAddress)
    }
    if (!proxyProtocol || !isTrusted) return enter(isTrusted)
    readProxyHeader(socket, headerTimeoutMs, (peer) => {
      if (peer !== undefined) connection.peer = { ...peer, encrypted: connection.peer.encrypted }
      enter(peer === undefined || this.#trusted.has(peer.address))
    })
  }

  /** @returns false for an address that has as many as it may */
  #enter(connection: Connection, socket: Socket, isTrusted: boolean): boolean {
    const { connectionsPerAddress: most } = this.#settings
    const { address } = connection.peer
    const isCounted = most > 0 && !isTrusted && address !== ''
    if (isCounted && !this.#connections.count(address, socket, most)) {
      socket.destroy()
      return false
    }
    connection.finder = isTrusted ? this.#finder : undefined
    connection.dropsForwarded = !this.#passed.has(address)
    this.#connections.add(connection, socket)
    lingerAtEnd(socket)
    return true
  }

  #secured(socket: TLSSocket): void {
    const connection = connectionOf(carrierOf(socket)) ?? new Connection(socket)
    connection.attach(socket)
    // HTTP/2 says itself which streams were the last that were looked at.
    if (socket.alpnProtocol !== 'h2') {
      lingerAtEnd(socket)
      connection.awaitHead(performance.now())
    }
    connection.peer = { ...connection.peer, encrypted: true }
  }
}

/** Its number; -1 where Node does not tell. */
function descriptorOf(socket: Socket): number {
  return (socket as Socket & { _handle?: { fd?: number } | null })._handle?.fd ?? -1
}
