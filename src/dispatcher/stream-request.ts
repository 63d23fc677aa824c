/**
 * A request of HTTP/2 as a request of HTTP/1.1 would look that says the same (RFC 9113 §8.3, §8.2.3): what answers for
 * sites, and the sites themselves, know one kind of request.
 *
 * What HTTP/2 forbids (names in upper case, headers of the connection, lengths that do not fit, pseudo-headers out of
 * place) nghttp2 has refused before a request is made of it.
 *
 * Invariant: a request with a body says so in its headers, as HTTP/1.1 has to.
 */
import type { ServerHttp2Stream } from 'node:http2'
import { giveHeaders, IncomingMessage } from '../core/node-http.ts'
import type { StreamSocket } from './stream-socket.ts'

/** What a head of HTTP/2 says. */
export interface StreamHead {
  method: string
  target: string
  rawHeaders: string[]
  /** The status where it cannot be answered; then the rest is for those who tell of it. */
  refused: number | undefined
}

/**
 * Makes a head of HTTP/1.1 of one of HTTP/2.
 *
 * @param raw name, value, name, value, …; pseudo-headers first
 * @param hasBody whether the stream goes on after its headers
 * @param maxBytes of names and values, and 32 for each (RFC 9113 §6.5.2)
 */
export function streamHead(raw: readonly string[], hasBody: boolean, maxBytes: number): StreamHead {
  const pseudo: Record<string, string> = {}
  const rest: string[] = []
  const crumbs: string[] = []
  let host: string | undefined
  let hasLength = false
  let size = 0
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] as string
    const value = raw[at + 1] as string
    size += name.length + value.length + HEADER_OVERHEAD
    if (name.charCodeAt(0) === COLON) pseudo[name] = value
    else if (name === 'cookie') crumbs.push(value)
    else if (name === 'host') host = value
    else {
      if (name === 'content-length') hasLength = true
      rest.push(name, value)
    }
  }
  const { ':method': method, ':path': target, ':authority': authority, ':scheme': scheme = 'https' } = pseudo
  const refuse = (refused: number): StreamHead => {
    return { method: method ?? '', target: target ?? authority ?? '', rawHeaders: rest, refused }
  }
  // A client that has not confirmed the settings yet is not held to them.
  if (size > maxBytes) return refuse(431)
  // CONNECT has no path; tunnels are not made here, those for WebSocket (RFC 8441) included.
  if (method === undefined || target === undefined) return refuse(method === 'CONNECT' ? 405 : 400)
  // Nothing else is served here, in HTTP/1.1 neither.
  if (!/^https?$/i.test(scheme)) return refuse(400)
  // RFC 9113 §8.3.1: two names for the host that differ make the request malformed.
  if (authority !== undefined && host !== undefined && authority.toLowerCase() !== host.toLowerCase()) {
    return refuse(400)
  }
  const named = authority ?? host
  const rawHeaders = named === undefined ? rest : ['host', named, ...rest]
  if (crumbs.length > 0) rawHeaders.push('cookie', crumbs.join('; '))
  if (hasBody && !hasLength) rawHeaders.push('transfer-encoding', 'chunked')
  return { method, target, rawHeaders, refused: undefined }
}

const COLON = 58
const HEADER_OVERHEAD = 32

export class StreamRequest extends IncomingMessage {
  readonly #stream: ServerHttp2Stream
  /** Bytes of its body that came. */
  received = 0
  #isRead = false
  #isAbandoned = false

  /** @param isWhole whether the stream ended with its headers */
  constructor(stream: ServerHttp2Stream, socket: StreamSocket, head: StreamHead, isWhole: boolean) {
    // Node declares net.Socket here and uses what any Duplex has.
    super(socket as unknown as ConstructorParameters<typeof IncomingMessage>[0])
    this.#stream = stream
    this.httpVersionMajor = 2
    // Asked for only to know a client of HTTP/1.0.
    this.httpVersionMinor = 1
    this.httpVersion = '2.0'
    this.method = head.method
    this.url = head.target
    giveHeaders(this, head.rawHeaders)
    stream.on('close', () => this.#closed())
    if (isWhole) this.#ended()
    else this.#awaitEnd()
  }

  /** Whether the client has something left to send that somebody waits for. */
  get isAwaited(): boolean {
    return this.#isRead && !this.complete && !this.#stream.isPaused()
  }

  override _read(): void {
    if (this.complete) return
    if (!this.#isRead) this.#begin()
    else this.#stream.resume()
  }

  #begin(): void {
    this.#isRead = true
    const stream = this.#stream
    stream.on('data', (chunk: Buffer) => {
      this.received += chunk.byteLength
      if (!this.push(chunk)) stream.pause()
    })
  }

  /** From the beginning: a body that turns out to be empty ends without having been read (Node 24.21). */
  #awaitEnd(): void {
    const stream = this.#stream
    stream.on('trailers', (_headers: unknown, _flags: unknown, raw?: string[]) => {
      if (raw !== undefined) this.rawTrailers = raw
    })
    stream.on('end', () => {
      // Node ends a stream that was reset as one that is whole.
      if (!stream.aborted && !this.#isAbandoned) this.#ended()
    })
  }

  /** The answer is complete, so that nobody waits for the rest; what ends now is not the end of the body. */
  abandon(): void {
    this.#isAbandoned = true
  }

  #ended(): void {
    if (this.complete || this.destroyed) return
    this.complete = true
    this.push(null)
  }

  /** The stream is gone before the request was whole: as a connection that was ended. */
  #closed(): void {
    if (!this.complete) this.destroy(new Error('aborted'))
  }
}
