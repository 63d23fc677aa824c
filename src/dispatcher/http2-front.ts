/**
 * HTTP/2 on connections whose TLS handshake chose it: each stream becomes a request and a response such as HTTP/1.1 has,
 * and goes the way that all requests go.
 *
 * Nothing is offered that a site could not be asked in HTTP/1.1: no push, no WebSocket over HTTP/2 (RFC 8441), for which
 * browsers open a connection of HTTP/1.1.
 *
 * Invariant: what a connection can make the server hold or do is bounded by `SESSION` and `flood-guard.ts`; a client that goes
 * beyond loses its connection, and nobody else notices.
 */
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream, ServerOptions } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { FrontSettings } from '../config/server-front.ts'
import { IdTable } from '../core/id-table.ts'
import { connectionOf } from './connection.ts'
import { guardFloods } from './flood-guard.ts'
import { LINGER_MS } from './linger.ts'
import { StreamRequest, streamHead } from './stream-request.ts'
import { StreamResponse } from './stream-response.ts'
import { H2, StreamSocket } from './stream-socket.ts'
import { Uploads } from './uploads.ts'

const { performServerHandshake } = process.getBuiltinModule('node:http2')

/** Bytes of bodies that a client may send on one connection beyond what was read. */
const CONNECTION_WINDOW_BYTES = 1024 * 1024
/** How long a connection is kept after its client was told that the server ends, in ms: so that it reads that. */
const LAST_WORD_MS = 500
/** Flag of a HEADERS frame (RFC 9113 §6.2). */
const END_STREAM = 1

/** Most fields of a head, where no more are allowed: a browser sends each of its cookies by itself. */
const MAX_PAIRS = 512

/** The limits that nghttp2 and Node keep. */
const SESSION: ServerOptions = {
  settings: {
    maxConcurrentStreams: 100,
    initialWindowSize: 128 * 1024,
    enablePush: false,
    enableConnectProtocol: false,
  },
  // In MB. What waits for the client counts: as much as all its streams may have of stored answers. Beyond, no stream is let in.
  maxSessionMemory: 512,
  maxSettings: 32,
  maxOutstandingPings: 10,
  // What a site says twice is passed on twice, as in HTTP/1.1.
  strictSingleValueFields: false,
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 100,
  // Streams that a client opens and takes back (CVE-2023-44487): so many at once, and so many each second after that.
  streamResetBurst: 200,
  streamResetRate: 50,
}

/** Takes the requests. */
export interface StreamHandler {
  /** @param refused the status that it has to be answered with, whatever it asks for */
  handle(req: StreamRequest, res: StreamResponse, refused: number | undefined): void
}

/** What [server] says of connections; one without a stream is kept for `idleTimeoutMs`. */
export type Http2Limits = Pick<FrontSettings, 'headerBytes' | 'headerCount' | 'idleTimeoutMs'>

/** A connection, and what is open on it. */
interface Http2Connection {
  session: ServerHttp2Session
  socket: TLSSocket
  /** The answers of its streams that are not closed yet, by the number of the stream. */
  open: IdTable<StreamResponse>
  /** Until it is ended because nobody asks; starts with the end of a stream. */
  idle: NodeJS.Timeout
}

export class Http2Front {
  readonly #handler: StreamHandler
  readonly #limits: Http2Limits
  readonly #session: ServerOptions
  /** Bodies that are on their way. */
  readonly uploads = new Uploads()
  readonly #connections = new Set<Http2Connection>()
  #closing = false

  constructor(handler: StreamHandler, limits: Http2Limits) {
    const { headerBytes, headerCount } = limits
    this.#handler = handler
    this.#limits = limits
    this.#session = {
      ...SESSION,
      settings: { ...SESSION.settings, maxHeaderListSize: headerBytes },
      maxHeaderListPairs: Math.max(MAX_PAIRS, headerCount),
    }
  }

  /** Takes a connection whose handshake is done. */
  accept(socket: TLSSocket): void {
    const session = performServerHandshake(socket, this.#session)
    // Not the session's own: Node does not clear that one at the end, and it would keep all of the connection (24.21).
    const idle = setTimeout(() => {
      if (connection.open.size === 0) session.close()
    }, this.#limits.idleTimeoutMs).unref()
    const connection: Http2Connection = { session, socket, open: new IdTable(), idle }
    this.#connections.add(connection)
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES)
    session.on('error', () => {})
    session.on('close', () => {
      clearTimeout(idle)
      this.#connections.delete(connection)
      // A session that ends with an error leaves its socket to whoever made it.
      socket.destroySoon()
    })
    // Everything is on its way. A client that is gone without a word would never end its side, and a session waits for that.
    socket.once('finish', () => socket.setTimeout(LINGER_MS, () => socket.destroy()))
    guardFloods(session)
    session.on('stream', (stream: ServerHttp2Stream, _headers: IncomingHttpHeaders, flags: number, raw?: string[]) => {
      this.#handle(connection, stream, raw ?? [], (flags & END_STREAM) !== 0)
    })
    if (this.#closing) this.#retire(session)
  }

  /** Ends the answers that would not end by themselves. */
  endEndless(): void {
    for (const { open } of this.#connections) for (const res of open.values()) if (res.isEndless) res.destroy()
  }

  /** Tells every client to come with nothing new; open streams get `graceMs`, then every connection is ended. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true
    const ended = [...this.#connections].map(({ session }) => new Promise((resolve) => session.once('close', resolve)))
    for (const { session } of this.#connections) this.#retire(session)
    const late = setTimeout(() => {
      for (const { session } of this.#connections) session.destroy()
    }, graceMs)
    await Promise.all(ended)
    clearTimeout(late)
  }

  /**
   * Says by a GOAWAY which streams are the last that are answered. What a client sends meanwhile it knows to be untouched, and
   * asks for once more on another connection (RFC 9113 §6.8); a connection that was ended at once might lose it that word.
   */
  #retire(session: ServerHttp2Session): void {
    if (session.destroyed || session.closed) return
    session.goaway(H2.noError)
    setTimeout(() => {
      if (!session.destroyed) session.close()
    }, LAST_WORD_MS).unref()
  }

  #handle(
    { session, socket: carrier, open, idle }: Http2Connection,
    stream: ServerHttp2Stream,
    raw: string[],
    isWhole: boolean,
  ): void {
    const head = streamHead(raw, !isWhole, this.#limits.headerBytes)
    const socket = new StreamSocket(stream, carrier)
    connectionOf(carrier)?.carry(socket)
    const req = new StreamRequest(stream, socket, head, isWhole)
    const res = new StreamResponse(req, stream, socket, this.uploads)
    const { id = 0 } = stream
    open.set(id, res)
    stream.on('close', () => {
      open.delete(id)
      if (open.size === 0 && !session.destroyed) idle.refresh()
    })
    this.#handler.handle(req, res, head.refused)
  }
}
