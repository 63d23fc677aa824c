/**
 * Brings an exchange's answer to the client that waits for it, and the client's body to the exchange, with backpressure
 * both ways. One object a request; knows nothing of sites, hosts or threads.
 *
 * Invariant: a client gets as many bytes of body as its head announced, or its connection is ended: a site that sends more
 * is cut at that length, one that sends fewer costs its client the connection, never a wait for the rest.
 * Invariant: what is held for a slow client is at most `BODY_WINDOW_BYTES`, and what came of the body before: a thread gets
 * credit for what the client's socket has taken, and the client is not read while the thread's window is used up.
 */
import type { IncomingMessage } from 'node:http'
import type { Exchange, ExchangeListener } from '../pool/exchange.ts'
import type { ResponseHead } from '../protocol/frames.ts'
import { BODY_WINDOW_BYTES } from '../protocol/frames.ts'
import type { ReadMemory } from '../protocol/read-memory.ts'
import { AnswerInvalid, isBodyless } from './answer-framing.ts'
import { framedHead } from './framed-head.ts'
import type { FrontResponse } from './front-response.ts'
import type { HeldBody } from './held-bodies.ts'
import { kept } from './kept-request.ts'
import { sendError } from './send-error.ts'
import type { SlowClient, SlowClients } from './slow-clients.ts'

/** Credit is given in portions, so that a stream of small chunks does not cost a frame each. */
const CREDIT_PORTION_BYTES = BODY_WINDOW_BYTES / 4
/**
 * Up to this size a body is written as a latin1 string, which Node joins to the head for one write to the kernel. Bytes
 * come through unchanged: latin1 maps each to the character of the same number and back.
 */
const JOIN_BYTES = 16 * 1024
/** How long a client may take for the rest of an answer that is cut, in ms. */
const CUT_GRACE_MS = 5_000
/** Of informational answers to one request: they are written whether the client takes them or not. */
const MAX_INFORMED_BYTES = 64 * 1024
/** What one takes beside its headers. */
const INFORMED_BYTES = 32

export interface ClientExchangeHandlers {
  /** The client has gone before the answer was complete. */
  onGone(exchange: Exchange): void
  /** The answer is not what the site wanted to say. */
  onFailed(exchange: Exchange, error: Error): void
  /** Hears of each client that keeps its request waiting. */
  readonly slow: SlowClients
}

export class ClientExchange implements ExchangeListener, SlowClient {
  readonly req: IncomingMessage
  readonly res: FrontResponse
  readonly #handlers: ClientExchangeHandlers
  readonly #maxBodyBytes: number
  exchange: Exchange | undefined
  /** What came of the body before the request went to a thread. */
  #held: HeldBody | undefined
  readonly #isContinued: boolean
  #received = 0
  /** Bytes of the answer that the client's socket has taken, or holds, and the thread got no credit for. */
  #owed = 0
  #blocked = false
  /** The head has come, and was not sent yet. */
  #isHeadHeld = false
  /** Bytes of body that the announced length leaves room for; undefined when it was not announced. */
  #room: number | undefined

  constructor(
    req: IncomingMessage,
    res: FrontResponse,
    maxBodyBytes: number,
    handlers: ClientExchangeHandlers,
    held: HeldBody | undefined,
  ) {
    this.#held = held
    this.#isContinued = held?.isContinued === true
    this.req = req
    this.res = res
    this.#maxBodyBytes = maxBodyBytes
    this.#handlers = handlers
    // The site's own Date goes through; when it sends none, none is wanted (RFC 9110 §6.6.1 leaves it to the origin).
    res.sendDate = false
    res.on('close', () => this.#closed())
  }

  get received(): number {
    return this.#received
  }

  get isAwaited(): boolean {
    return !this.req.complete && this.req.readableFlowing === true
  }

  get unsent(): number {
    return this.res.writableLength
  }

  onBodyWanted(): void {
    const { req, exchange } = this
    const held = this.#held
    this.#held = undefined
    if (held !== undefined && held.bytes.byteLength > 0) this.#bodyPart(held.bytes)
    if (held?.isWhole === true) return exchange?.endBody(req.rawTrailers)
    req.on('data', (chunk: Buffer) => this.#bodyPart(chunk))
    req.on('end', () => this.#bodyEnd())
    req.resume()
    if (exchange !== undefined) this.#handlers.slow.sending(exchange, this, held?.isSlow === true)
  }

  cutOff(): void {
    if (this.exchange !== undefined) this.#handlers.onGone(this.exchange)
    if (this.res.headersSent) this.res.destroy()
    else sendError(this.req, this.res, { statusCode: 408, closes: true })
  }

  onDrain(): void {
    this.req.resume()
  }

  onInformational(head: ResponseHead): void {
    if (this.res.headersSent) return
    // RFC 9110 §15.2: a client of HTTP/1.0 knows no 1xx. 101 cannot come this way.
    if (this.req.httpVersionMinor === 0 || head.status === 101) return
    if (head.status === 100) return this.#isContinued ? undefined : this.res.writeContinue()
    try {
      writeInformational(this.res, head)
    } catch (error) {
      // The thread's Node has refused it, unless the site wrote it as bytes. The answer itself may still be good.
      this.#report(asInvalid(error))
    }
  }

  onResponse(head: ResponseHead, body: Uint8Array, last: boolean, memory?: ReadMemory): void {
    const { res } = this
    if (res.headersSent || res.destroyed) return
    try {
      const framed = framedHead(head)
      res.isEndless = framed.isEventStream
      res.writeRepeated(framed)
      this.#room = isBodyless(this.req.method, head.status) ? undefined : framed.length
    } catch (error) {
      // The thread's adapter refuses such heads; this is the second door. The thread need not go on.
      if (this.exchange !== undefined) this.#handlers.onGone(this.exchange)
      return this.onFailure(asInvalid(error))
    }
    if (last) this.#sendWhole(body, memory)
    else if (body.byteLength > 0) this.onBody(body, memory)
    else this.#holdHead()
  }

  /** Its body may come in the same go, and leaves with it then. */
  #holdHead(): void {
    this.#isHeadHeld = true
    queueMicrotask(() => {
      if (this.#isHeadHeld && !this.res.destroyed) this.res.flushHeaders()
    })
  }

  onBody(chunk: Uint8Array, memory?: ReadMemory): void {
    if (this.res.destroyed || this.res.isEnded) return
    this.#isHeadHeld = false
    const part = this.#fit(chunk)
    this.#owed += chunk.byteLength
    // Its 'close' lets the site know that nobody takes the rest.
    if (part.byteLength < chunk.byteLength) this.res.end(part)
    else this.#write(part, memory)
  }

  onEnd(trailers: string[]): void {
    if (this.res.destroyed || this.res.isEnded) return
    this.#isHeadHeld = false
    if (this.#isShort()) return
    try {
      if (trailers.length > 0) this.res.addTrailers(inPairs(trailers))
    } catch (error) {
      return this.onFailure(asInvalid(error))
    }
    this.res.end()
  }

  onTunnel(): void {
    // Only a request whose socket was handed over can become a tunnel (tunnel.ts).
    this.onFailure(new Error('a tunnel was opened for a request that is none'))
  }

  onFailure(error: Error): void {
    if (this.exchange !== undefined) this.#handlers.onFailed(this.exchange, error)
    if (this.res.headersSent) cut(this.res)
    else sendError(this.req, this.res, error)
  }

  #sendWhole(body: Uint8Array, memory: ReadMemory | undefined): void {
    const part = this.#fit(body)
    if (this.#room !== undefined && this.#room > 0) {
      if (part.byteLength > 0) this.res.write(part)
      else this.res.flushHeaders()
      this.#isShort()
    } else if (part.byteLength === 0) this.res.end()
    else if (part.byteLength <= JOIN_BYTES) {
      const text = (part as Buffer).toString('latin1')
      memory?.release()
      this.res.end(text, 'latin1')
    } else if (memory === undefined) this.res.end(part)
    else {
      this.res.write(part, memory.onWritten)
      this.res.end()
    }
  }

  #write(chunk: Uint8Array, memory: ReadMemory | undefined): void {
    if (!this.res.write(chunk, memory?.onWritten)) {
      if (this.#blocked) return
      this.#blocked = true
      if (this.exchange !== undefined) this.#handlers.slow.blocked(this.exchange, this)
      this.res.once('drain', () => {
        this.#unblock()
        this.#pay(0)
      })
    } else if (!this.#blocked) {
      this.#pay(CREDIT_PORTION_BYTES)
    }
  }

  /** @returns as much of a chunk as was announced */
  #fit(chunk: Uint8Array): Uint8Array {
    if (this.#room === undefined) return chunk
    if (chunk.byteLength <= this.#room) {
      this.#room -= chunk.byteLength
      return chunk
    }
    const part = chunk.subarray(0, this.#room)
    this.#room = 0
    this.#report(
      new AnswerInvalid('the site sent more bytes of body than its Content-Length says; the rest was dropped'),
    )
    return part
  }

  /** An answer that ends before its announced length: the client must not wait for the rest, nor use the connection. */
  #isShort(): boolean {
    if (this.#room === undefined || this.#room === 0) return false
    const problem = `the site's answer ended ${this.#room} bytes before its Content-Length; the connection is ended`
    this.onFailure(new AnswerInvalid(problem))
    return true
  }

  #report(error: Error): void {
    if (this.exchange !== undefined) this.#handlers.onFailed(this.exchange, error)
  }

  #pay(least: number): void {
    if (this.#owed <= least) return
    this.exchange?.consumed(this.#owed)
    this.#owed = 0
  }

  #bodyPart(chunk: Buffer): void {
    this.#received += chunk.byteLength
    if (this.#received > this.#maxBodyBytes) {
      this.req.pause()
      if (this.exchange !== undefined) this.#handlers.onGone(this.exchange)
      if (this.res.headersSent) this.res.destroy()
      else sendError(this.req, this.res, { statusCode: 413, closes: true })
      return
    }
    if (this.exchange?.sendBody(chunk, isOwnPart(this.req)) === false) this.req.pause()
  }

  #bodyEnd(): void {
    const { exchange } = this
    if (exchange === undefined) return
    this.#handlers.slow.sent(exchange)
    exchange.endBody(this.req.rawTrailers)
  }

  #unblock(): void {
    if (!this.#blocked) return
    this.#blocked = false
    if (this.exchange !== undefined) this.#handlers.slow.unblocked(this.exchange)
  }

  #closed(): void {
    const { exchange } = this
    this.#unblock()
    if (exchange === undefined) return
    this.#handlers.slow.sent(exchange)
    if (exchange.state !== 'done') this.#handlers.onGone(exchange)
    else if (this.#held === undefined) kept.request = this
  }
}

/**
 * Whether the parts of a request's body are copies that nobody else has: those of Node's parser are. Those of HTTP/2 are views
 * of what was read, which nghttp2 is still in the middle of.
 */
export function isOwnPart({ httpVersionMajor }: IncomingMessage): boolean {
  return httpVersionMajor === 1
}

/** What Node refuses to send is as the site made it. */
export function asInvalid(error: unknown): AnswerInvalid {
  if (error instanceof AnswerInvalid) return error
  return new AnswerInvalid(`what the site answered cannot be sent: ${error instanceof Error ? error.message : error}`)
}

/** Ends the connection in the middle of an answer, but not before what the site has sent of it has left. */
export function cut(res: FrontResponse): void {
  const { socket } = res
  if (socket === null) {
    res.destroy()
    return
  }
  // Its end alone would be the end of the answer.
  if (res.req.httpVersionMinor === 0) socket.write('', () => res.destroy())
  else socket.destroySoon()
  const late = setTimeout(() => res.destroy(), CUT_GRACE_MS).unref()
  socket.once('close', () => clearTimeout(late))
}

/** Early hints and the like, by the one public way that Node has for each, up to `MAX_INFORMED_BYTES`. */
export function writeInformational(res: FrontResponse, head: ResponseHead): void {
  res.informedBytes += head.headers.reduce((sum, part) => sum + part.length, INFORMED_BYTES)
  if (res.informedBytes > MAX_INFORMED_BYTES) return
  if (head.status === 102) return res.writeProcessing()
  if (head.status !== 103) return
  const hints: Record<string, string | string[]> = {}
  for (let at = 0; at + 1 < head.headers.length; at += 2) {
    const name = (head.headers[at] as string).toLowerCase()
    const value = head.headers[at + 1] as string
    const before = hints[name]
    hints[name] = before === undefined ? value : [before, value].flat()
  }
  if (hints.link === undefined) return
  res.writeEarlyHints({ ...hints, link: [hints.link].flat().flatMap(linksOf) })
}

/** The links of one field (RFC 8288 §3), each by itself: Node takes no list of them. */
function linksOf(field: string): string[] {
  return field.match(/<[^<>]*>(?:"[^"]*"|[^",])*/g)?.map((link) => link.trim()) ?? [field]
}

/** Headers or trailers in a row as pairs of name and value. */
export function inPairs(flat: string[]): [string, string][] {
  const pairs: [string, string][] = []
  for (let at = 0; at + 1 < flat.length; at += 2) pairs.push([flat[at] as string, flat[at + 1] as string])
  return pairs
}
