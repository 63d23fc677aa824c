/**
 * Listeners for TLS: does the handshake with the certificate of the site that the client asks for, then hands the connection
 * to HTTP/2 or HTTP/1.1, as the two have agreed (ALPN). Everything after that is as on a connection in clear text.
 *
 * Invariant: a handshake is never done with the certificate of a site that the client did not ask for, except the default
 * site's for a name that no site has; one that takes too long is ended.
 */
import type { IncomingMessage, ServerOptions } from 'node:http'
import type { Server } from 'node:https'
import type { Socket } from 'node:net'
import type { SecureContext, TLSSocket, TlsOptions } from 'node:tls'
import type { KeyPair } from '../core/key-pair.ts'
import type { Certificates } from './certificates.ts'
import { MAX_HELLO_BYTES, offeredProtocols } from './client-hello.ts'
import { carrierOf } from './connection.ts'
import type { FrontResponse } from './front-response.ts'
import type { Http2Limits, StreamHandler } from './http2-front.ts'
import { Http2Front } from './http2-front.ts'
import { TicketKeys } from './ticket-keys.ts'
import { CONTEXT_OPTIONS } from './tls-profile.ts'

const https = process.getBuiltinModule('node:https')
const tls = process.getBuiltinModule('node:tls')

/** How long a client may take for its handshake, in ms. */
const HANDSHAKE_MS = 10_000
/** How long a client that has got all may keep its end of the connection open, in ms. */
const END_MS = 1_000
/** How long a session can be taken up again, in seconds. */
const SESSION_SECONDS = 24 * 3600
/** Of the server that answers to challenges of ACME. */
const CHALLENGE_PROTOCOL = 'acme-tls/1'

type Http1Options = ServerOptions<typeof IncomingMessage, typeof FrontResponse>

export class TlsFront {
  readonly #certificates: Certificates
  readonly #http2: Http2Front
  readonly #tickets = new TicketKeys()
  /** All connections, also while they shake hands. */
  readonly #sockets = new Set<Socket>()
  #isOver = false
  readonly #challenges: ReturnType<typeof tls.createServer>

  /** @param limits of HTTP/2; those of HTTP/1.1 are their server's */
  constructor(certificates: Certificates, handler: StreamHandler, limits: Http2Limits) {
    this.#certificates = certificates
    this.#http2 = new Http2Front(handler, limits)
    this.#challenges = this.#challengeServer()
  }

  /** A server for one listener, not yet listening. @param options how it speaks HTTP/1.1 */
  createServer(options: Http1Options): Server {
    const server = https.createServer({ ...options, ...this.#tlsOptions() })
    this.#tickets.add(server)
    this.#lookFirst(server)
    const [http1] = server.listeners('secureConnection')
    server.removeAllListeners('secureConnection')
    server.on('secureConnection', (socket: TLSSocket) => {
      socket.on('error', () => socket.destroy())
      if (socket.alpnProtocol === 'h2') this.#http2.accept(socket)
      else http1?.call(server, socket)
    })
    server.on('tlsClientError', (_error: Error, socket: TLSSocket) => socket.destroy())
    return server
  }

  /** Ends what is open on connections of HTTP/2 and would not end by itself. */
  endEndless(): void {
    this.#http2.endEndless()
  }

  /**
   * Ends connections of HTTP/2, as `Http2Front.close`, and after `graceMs` all that are left, also those that never came to
   * speak HTTP. Those of HTTP/1.1 are ended before by whoever listens.
   */
  async close(graceMs: number): Promise<void> {
    const late = setTimeout(() => {
      this.#isOver = true
      for (const socket of this.#sockets) socket.destroy()
    }, graceMs)
    await this.#http2.close(graceMs)
    while (this.#sockets.size > 0) await Promise.all([...this.#sockets].map(closed))
    clearTimeout(late)
    this.#tickets.close()
  }

  #keep(socket: Socket): void {
    if (this.#isOver) socket.destroy()
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
  }

  #tlsOptions(): TlsOptions {
    return {
      ...CONTEXT_OPTIONS,
      ALPNProtocols: ['h2', 'http/1.1'],
      SNICallback: choosing((serverName) => this.#certificates.contextFor(serverName)),
      handshakeTimeout: HANDSHAKE_MS,
      sessionTimeout: SESSION_SECONDS,
      // The same for all, so that a session is good whatever certificate it was begun with.
      sessionIdContext: 'vhostel',
      ticketKeys: this.#tickets.current,
    }
  }

  /**
   * Looks at connections before their handshake: a client that names no host is answered with the certificate that the
   * listener itself has, and one that comes for a challenge of ACME by another server.
   */
  #lookFirst(server: Server): void {
    const [handshake] = server.listeners('connection')
    let fallback: KeyPair | undefined
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) => {
      this.#keep(socket)
      const wanted = this.#certificates.pairFor('')
      if (wanted !== fallback) {
        fallback = wanted
        server.setSecureContext({ ...this.#tlsOptions(), ...wanted })
      }
      if (this.#certificates.hasChallenges) this.#sort(socket, () => handshake?.call(server, socket))
      else handshake?.call(server, socket)
    })
  }

  /** Waits for the first message of a client, and sees who is to answer it. */
  #sort(socket: Socket, handshake: () => void): void {
    let seen = Buffer.alloc(0)
    const end = (): void => void socket.destroy()
    const late = setTimeout(end, HANDSHAKE_MS).unref()
    const onReadable = (): void => {
      for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
        seen = Buffer.concat([seen, chunk])
      }
      const protocols = offeredProtocols(seen)
      if (protocols === undefined && seen.length < MAX_HELLO_BYTES) return
      clearTimeout(late)
      socket.off('readable', onReadable).off('error', end).off('end', end).off('close', onClose)
      socket.unshift(seen)
      if (protocols?.length === 1 && protocols[0] === CHALLENGE_PROTOCOL) this.#challenges.emit('connection', socket)
      else handshake()
    }
    const onClose = (): void => clearTimeout(late)
    socket.on('readable', onReadable).on('error', end).on('end', end).on('close', onClose)
  }

  /** RFC 8737 §3: the handshake is the answer; the connection has no other use. */
  #challengeServer(): ReturnType<typeof tls.createServer> {
    const server = tls.createServer({
      ...CONTEXT_OPTIONS,
      ALPNProtocols: [CHALLENGE_PROTOCOL],
      handshakeTimeout: HANDSHAKE_MS,
      SNICallback: choosing((serverName) => this.#certificates.challengeContextFor(serverName)),
    })
    server.on('secureConnection', endSoon)
    server.on('tlsClientError', (_error: Error, socket: TLSSocket) => socket.destroy())
    return server
  }
}

/** Ends a connection, also where the other end does not want to. */
function endSoon(socket: TLSSocket): void {
  const late = setTimeout(() => socket.destroy(), END_MS).unref()
  socket.on('close', () => clearTimeout(late))
  socket.on('error', () => socket.destroy())
  socket.resume().end()
}

/** Resolves when a connection has ended, also with an error: `once` would reject then. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()))
}

type SniCallback = NonNullable<TlsOptions['SNICallback']>

/** A fatal alert in clear text, as all are before the server has said anything: unrecognized_name (RFC 6066 §3). */
const UNRECOGNIZED_NAME = Buffer.from([21, 3, 3, 0, 2, 2, 112])

/**
 * Finds the certificate for a name. A name that has none is refused by the alert for that, which Node cannot send: without a context
 * it says handshake_failure, or goes on with the certificate of the listener, which is the default site's.
 */
function choosing(contextFor: (serverName: string) => SecureContext | undefined): SniCallback {
  return function (this: object, name, done) {
    try {
      const context = contextFor(name)
      if (context !== undefined) done(null, context)
      else if (!refuseName(this)) done(new Error('no site has this name and a certificate'))
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)))
    }
  }
}

/** @param secured on which the handshake is. @returns whether the client is told, and its connection ends */
function refuseName(secured: object): boolean {
  const carrier = carrierOf(secured)
  if (carrier?.writable !== true) return false
  carrier.end(UNRECOGNIZED_NAME)
  return true
}
