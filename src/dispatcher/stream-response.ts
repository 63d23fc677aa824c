/**
 * The answer to a request of HTTP/2. Whoever answers writes to it as to any `FrontResponse`; what leaves is HTTP/2: no
 * reason, no header of the connection, names in lower case (RFC 9113 §8.2).
 *
 * Limits: trailers are sent where the answer's head announces them or the client asks for them (RFC 9110 §6.5.1).
 * Invariant: a client that does not take what is sent to it loses its stream in the time that its site gives, and nothing is held for it.
 */
import type { OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { SiteLimits } from '../config/site-schema.ts'
import { validateHeaderName, validateHeaderValue } from '../core/node-http.ts'
import { isBodyless } from './answer-framing.ts'
import { connectionOf } from './connection.ts'
import type { Headers, Written } from './front-response.ts'
import { FrontResponse } from './front-response.ts'
import { namedByConnection } from './header-fields.ts'
import type { RepeatedHead } from './repeated-head.ts'
import { sendError } from './send-error.ts'
import type { StreamRequest } from './stream-request.ts'
import type { StreamSocket } from './stream-socket.ts'
import { H2 } from './stream-socket.ts'
import type { Upload, Uploads } from './uploads.ts'

/** How long a client may send nothing of a body that is waited for, or take nothing of an answer, until its site is known. */
const STALL_MS = 60_000
/**
 * Which part of the time Node is told, for an answer: it looks whether frames have left since it looked last, and says that
 * none have only the second or third time (Node 24.21), so within the whole of it.
 */
const SEND_LOOKS = 3

/** About the connection, which is not one answer's any more (RFC 9113 §8.2.2). */
const OF_CONNECTION = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])

const RESET_CONTENT = 205

/** What `http.OutgoingMessage` has beside what is declared; the getters of the public ones read these. */
interface Inner {
  _header: string | null
  finished: boolean
}

export class StreamResponse extends FrontResponse<StreamRequest> implements Upload {
  readonly #stream: ServerHttp2Stream
  readonly #uploads: Uploads
  #sendStallMs = STALL_MS / SEND_LOOKS
  #isHeld = false
  #isSent = false
  #hasBody = true
  /** Sends the head that waits for the end of the answer. */
  #sendHeld: (() => void) | undefined
  #trailers: OutgoingHttpHeaders = {}

  /** @param uploads sees to a body that is on its way, once the site is known */
  constructor(req: StreamRequest, stream: ServerHttp2Stream, socket: StreamSocket, uploads: Uploads) {
    super(req)
    this.#stream = stream
    this.#uploads = uploads
    this.assignSocket(socket as unknown as Parameters<FrontResponse['assignSocket']>[0])
    stream.on('error', () => {})
    stream.on('drain', () => this.emit('drain'))
    stream.on('finish', () => this.#finished())
    stream.on('timeout', () => this.#stalled())
    stream.on('wantTrailers', () => this.#sendTrailers())
    if (!req.complete) stream.setTimeout(STALL_MS)
  }

  override holdTo(limits: SiteLimits): void {
    this.#isHeld = true
    this.#sendStallMs = Math.max(1, Math.floor(limits.sendTimeoutMs / SEND_LOOKS))
    connectionOf(this.req.socket)?.holdSharedTo(limits.sendTimeoutMs)
    if (!this.req.complete) this.#uploads.add(this, limits)
  }

  get received(): number {
    return this.req.received
  }

  get isAwaited(): boolean {
    return this.req.isAwaited
  }

  get isOver(): boolean {
    return this.req.complete || this.#stream.destroyed
  }

  get isAnswered(): boolean {
    return this.headersSent
  }

  /** The body is too late. */
  endLate(): void {
    if (this.headersSent) this.destroy()
    else sendError(this.req, this, { statusCode: 408 })
  }

  override flushHeaders(): void {
    if (!this.headersSent) this.writeHead(this.statusCode)
  }

  override writeContinue(): void {
    this.#inform(100, {})
  }

  override writeProcessing(): void {
    this.#inform(102, {})
  }

  override writeEarlyHints(hints: Record<string, string | string[]>, written?: () => void): void {
    const { link, ...rest } = hints
    if (link !== undefined) this.#inform(103, { ...rest, link: [link].flat().join(', ') })
    written?.()
  }

  override addTrailers(trailers: OutgoingHttpHeaders | readonly [string, string][]): void {
    for (const [name, value] of Array.isArray(trailers) ? trailers : Object.entries(trailers)) {
      validateHeaderName(name)
      validateHeaderValue(name, value)
      const key = name.toLowerCase()
      if (!OF_CONNECTION.has(key)) this.#trailers[key] = joined(this.#trailers[key], value)
    }
  }

  protected override sendHead(status: number, reason?: string | Headers, headers?: Headers): this {
    if (status < 200) throw new Error(`an answer cannot begin with status ${status}`)
    const head = this.headOf(status, reason, headers)
    const sent = streamHeaders(status, head.headers)
    if (this.sendDate && !sent.includes('date')) sent.push('date', new Date().toUTCString())
    this.statusCode = status
    // Node ends the stream with the head of a 205 (24.21), which has no content (RFC 9110 §15.3.6).
    this.#hasBody = !isBodyless(this.req.method, status) && status !== RESET_CONTENT
    const stream = this.#stream
    const inner = this as unknown as Inner
    if (stream.destroyed || stream.closed) {
      inner._header = ' '
      return this
    }
    const waitForTrailers = this.#hasBody && (sent.includes('trailer') || this.req.headers.te === 'trailers')
    const respond = (): void =>
      stream.respond(sent as unknown as OutgoingHttpHeaders, { endStream: !this.#hasBody, waitForTrailers })
    if (this.holdsHead) this.#sendHeld = respond
    else respond()
    // Not before: what Node refuses has not been sent, and something else can be.
    inner._header = ' '
    return this
  }

  protected override sendRepeated({ status, reason, headers }: RepeatedHead): this {
    return this.sendHead(status, reason, headers)
  }

  protected override sendPart(
    chunk: string | Uint8Array,
    encoding?: BufferEncoding | Written,
    written?: Written,
  ): boolean {
    const onWritten = typeof encoding === 'function' ? encoding : written
    const stream = this.#stream
    if (!this.#hasBody || stream.destroyed || stream.writableEnded) {
      if (onWritten !== undefined) process.nextTick(onWritten)
      return true
    }
    const isTaken = stream.write(chunk, typeof encoding === 'string' ? encoding : 'utf8', onWritten)
    if (!isTaken) stream.setTimeout(this.#sendStallMs)
    return isTaken
  }

  protected override sendEnd(
    chunk?: string | Uint8Array | (() => void),
    encoding?: BufferEncoding | (() => void),
    ended?: () => void,
  ): this {
    const inner = this as unknown as Inner
    if (inner.finished) return this
    if (!this.headersSent) this.writeHead(this.statusCode)
    inner.finished = true
    const onFinish = [chunk, encoding, ended].find((one) => typeof one === 'function')
    if (onFinish !== undefined) this.once('finish', onFinish)
    const stream = this.#stream
    if (!stream.destroyed && !stream.closed) this.#respondLate()
    if (stream.destroyed || stream.writableEnded) return this
    if (this.#hasBody && chunk !== undefined && typeof chunk !== 'function') {
      stream.end(chunk, typeof encoding === 'string' ? encoding : 'utf8')
    } else stream.end()
    if (!stream.writableFinished) stream.setTimeout(this.#sendStallMs)
    return this
  }

  #respondLate(): void {
    try {
      this.#sendHeld?.()
    } catch {
      this.destroy() // Node refuses the head; nobody up the stack expects that at the end
    }
  }

  /** Whether the client has to take something before more is written. */
  get isFull(): boolean {
    return this.#stream.writableNeedDrain
  }

  /** Whether all of the answer was handed to the session. */
  get isSent(): boolean {
    // The stream of an answer without a body may be closed before it finishes.
    return this.#isSent || (!this.#hasBody && this.writableEnded)
  }

  #inform(status: number, headers: OutgoingHttpHeaders): void {
    const stream = this.#stream
    if (this.headersSent || stream.destroyed || stream.closed) return
    const kept = Object.entries(headers).filter(([name]) => !OF_CONNECTION.has(name.toLowerCase()))
    for (const [name, value] of kept) validateHeaderValue(name, String(value))
    stream.additionalHeaders({ ':status': status, ...Object.fromEntries(kept) })
  }

  #sendTrailers(): void {
    if (!this.#stream.destroyed) this.#stream.sendTrailers(this.#trailers)
  }

  /** Everything was handed to the session; what the client still sends nobody wants (RFC 9113 §8.1). */
  #finished(): void {
    // A stream that the client ended finishes too.
    this.#isSent = this.writableEnded
    this.emit('finish')
    if (this.req.complete) return
    // It has ended and was not read yet: a reset would overtake a head that still waits in the session (Node 24.21).
    if (this.#stream.state.remoteClose === 1) return void this.req.resume()
    this.req.abandon()
    this.#stream.close(H2.noError)
  }

  #stalled(): void {
    const stream = this.#stream
    const isUntaken = stream.writableNeedDrain || (this.writableEnded && !stream.writableFinished)
    // What is before it on its connection may be taken slowly; whether it is taken at all, connections.ts sees.
    if (isUntaken && (connectionOf(this.req.socket)?.queuedBytes ?? 0) > 0) stream.setTimeout(this.#sendStallMs)
    else if (isUntaken || (!this.#isHeld && this.req.isAwaited)) this.destroy()
  }
}

// Declared as a property, so that a class cannot have an accessor in its place.
Object.defineProperty(StreamResponse.prototype, 'writableNeedDrain', {
  get(this: StreamResponse) {
    return this.isFull
  },
})

// As above. Node's own (24.21) is true only for what its own `end` has ended.
Object.defineProperty(StreamResponse.prototype, 'writableFinished', {
  get(this: StreamResponse) {
    return this.isSent
  },
})

/** @throws TypeError of Node's for what cannot be a header */
function streamHeaders(status: number, headers: readonly string[]): string[] {
  const dropped = namedByConnection(headers)
  const sent = [':status', String(status)]
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] as string
    const value = headers[at + 1] as string
    const key = name.toLowerCase()
    if (OF_CONNECTION.has(key) || dropped.has(key)) continue
    if (status === RESET_CONTENT && key === 'content-length') continue
    validateHeaderName(name)
    validateHeaderValue(name, value)
    sent.push(key, value)
  }
  return sent
}

function joined(before: OutgoingHttpHeader | undefined, value: OutgoingHttpHeader | undefined): string[] {
  return [before ?? [], value ?? []].flat().map(String)
}
