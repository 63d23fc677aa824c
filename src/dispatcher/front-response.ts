/**
 * The response to a client, with a place for what stands between whoever answers and the client: headers that are added,
 * compression, a cache that keeps a copy. Whoever answers writes to it as to any `http.ServerResponse`.
 *
 * Limits: an informational answer (1xx) and what goes through a tunnel pass by the filters. Invariant: every filter sees the head of every
 * final answer once, before any byte of it has left, and then every byte of its body, in the order in which it was written.
 */
import type { IncomingMessage, OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import type { ErrorPages } from '../config/error-pages.ts'
import type { SiteLimits } from '../config/site-schema.ts'
import type { Log } from '../core/log.ts'
import { flushHead, ServerResponse } from '../core/node-http.ts'
import { isPlain, writeAgain } from '../core/written-head.ts'
import type { AccessRecord } from './access-record.ts'
import { connectionOf } from './connection.ts'
import { fieldNames, lastFieldOf } from './header-fields.ts'
import type { RepeatedHead } from './repeated-head.ts'

/** The head of a final answer; a filter may change all of it. */
export interface AnswerHead {
  /** As sent: name, value, name, value, … */
  headers: string[]
  status: number
  reason: string | undefined
}

/** Takes the body of an answer on its way to the client. */
export interface BodySink {
  /** @returns false when the next one should wait for the response's `drain`, which the sink has to see to */
  write(chunk: Uint8Array): boolean
  end(): void
}

/** Puts a sink before the one that comes next on the way. */
export type BodyFilter = (next: BodySink) => BodySink

export interface AnswerFilter {
  /**
   * Whether it may have something to do with an answer: asked before anything is made for it, so that most answers cost nothing.
   * Without it, it has with all.
   *
   * @param headers name, value, name, value, …
   */
  isFor?(status: number, headers: readonly unknown[], response: FrontResponse): boolean
  /** @returns what the body goes through; undefined where it goes past */
  onHead(head: AnswerHead, response: FrontResponse): BodyFilter | undefined
  /** Whether it has to do with the answer to an upgrade, too, which has no body that it could filter. */
  readonly changesUpgrades?: boolean
}

/** What a server has for all its answers. */
export interface ServerWide {
  /** For what should never happen. */
  readonly log?: Log
  /** [errors] of vhostel.ini, where a site has none, and before it is known; swapped whole. */
  errorPages?: ErrorPages | undefined
}

/** As `http.ServerResponse.writeHead` takes them. */
export type Headers = OutgoingHttpHeaders | readonly OutgoingHttpHeader[]
/** Called when a part was taken. */
export type Written = (error?: Error | null) => void

export class FrontResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  /** When the head was written, as `performance.now()`; 0 before. */
  headAt = 0
  /** Bytes of body on their way to the client, as it gets them. */
  bodyBytes = 0
  /** Bytes of informational answers (1xx) that went ahead of it, or would have. */
  informedBytes = 0
  /** Whether it has no end of its own, a tunnel or a stream of events: nobody waits for it at the end of the server. */
  isEndless = false
  /** Whether its connection carries what the site's own code says, also where that is the answer to an upgrade that it did not want. */
  isTunnel = false
  /** Whether its head goes with its end: a client that has a 304 may leave, while the body is still wanted here. */
  holdsHead = false
  /** What the access logs know of the request; undefined where there is none. */
  access: AccessRecord | undefined
  /** The site's own pages for errors that are answered in its place. */
  errorPages: ErrorPages | undefined
  /** Undefined until it is opened. */
  server: ServerWide | undefined
  #filters: AnswerFilter[] | undefined
  /** Where the body goes first; undefined where it goes to the client at once. */
  #sink: BodySink | undefined
  #isEnded = false

  /** How long the client may take is its site's to say from here on. */
  holdTo({ bodyTimeoutMs, bodyRate, sendTimeoutMs }: SiteLimits): void {
    const connection = connectionOf(this.req.socket)
    if (connection === undefined) return
    connection.bodyTimeoutMs = bodyTimeoutMs
    connection.bodyRate = bodyRate
    connection.sendTimeoutMs = sendTimeoutMs
  }

  /** Puts a filter behind those that are there: nearer to the client. To be called before the head is written. */
  addFilter(filter: AnswerFilter): void {
    if (this.#filters === undefined) this.#filters = [filter]
    else this.#filters.push(filter)
  }

  /** Puts a filter before those that are there: it sees what was answered, and not what they make of it. */
  addInnerFilter(filter: AnswerFilter): void {
    if (this.#filters === undefined) this.#filters = [filter]
    else this.#filters.unshift(filter)
  }

  /** Its connection carries another protocol from here on. */
  becomeTunnel(): void {
    this.statusCode = 101
    this.isEndless = true
    this.isTunnel = true
    this.headAt = performance.now()
    if (this.socket !== null) this.detachSocket(this.socket)
  }

  /**
   * The head with which the site has taken the connection over, or did not want to, where it wrote that itself.
   *
   * @returns as it is to be sent; undefined where nothing is changed
   */
  upgradeHead(head: AnswerHead): AnswerHead | undefined {
    this.statusCode = head.status
    const filters = this.#filters?.filter(({ changesUpgrades }) => changesUpgrades) ?? []
    for (const filter of filters) filter.onHead(head, this)
    return filters.length === 0 ? undefined : head
  }

  /** As `writableEnded`, and also true while what was ended is still in a filter. */
  get isEnded(): boolean {
    return this.#isEnded || this.writableEnded
  }

  override writeHead(status: number, reason?: string | Headers, headers?: Headers): this {
    if (this.headAt === 0) this.headAt = performance.now()
    if (status >= 200) this.#leaveOut(status, optionalHeaders(reason, headers))
    if (this.#filters === undefined || status < 200) {
      if (this.access !== undefined) this.access.cache = this.#cacheStatus(optionalHeaders(reason, headers))
      return this.sendHead(status, reason, headers)
    }
    const head = this.headOf(status, reason, headers)
    const filters = this.#filters.flatMap((filter) => filter.onHead(head, this) ?? [])
    this.#filters = undefined
    if (this.access !== undefined) this.access.cache = this.#cacheStatus(head.headers)
    this.sendHead(head.status, head.reason, head.headers)
    for (const filter of filters.reverse()) this.#sink = filter(this.#sink ?? this.#toClient())
    return this
  }

  /** As `writeHead`, of a head that comes again: what was worked out of it before is not worked out anew. */
  writeRepeated(head: RepeatedHead): this {
    const { status, reason, headers } = head
    this.#leaveOut(status, headers)
    // What was set one by one, Node joins to it.
    if (this.#filters !== undefined || this.getHeaderNames().length > 0) return this.writeHead(status, reason, headers)
    if (this.headAt === 0) this.headAt = performance.now()
    if (this.access !== undefined) this.access.cache = head.cacheStatus
    return this.sendRepeated(head)
  }

  override flushHeaders(): void {
    if (!this.headersSent) this.writeHead(this.statusCode)
    if (!this.holdsHead) flushHead(this)
  }

  override write(chunk: string | Uint8Array, encoding?: BufferEncoding | Written, written?: Written): boolean {
    if (!this.headersSent) this.writeHead(this.statusCode)
    if (this.#sink !== undefined) return this.#sink.write(bytesOf(chunk, encoding))
    this.bodyBytes += lengthOf(chunk, encoding)
    return this.sendPart(chunk, encoding, written)
  }

  override end(
    chunk?: string | Uint8Array | (() => void),
    encoding?: BufferEncoding | (() => void),
    ended?: () => void,
  ): this {
    if (this.#filters !== undefined && !this.headersSent) this.writeHead(this.statusCode)
    if (this.#sink === undefined) {
      if (chunk !== undefined && typeof chunk !== 'function') this.bodyBytes += lengthOf(chunk, encoding)
      return this.sendEnd(chunk, encoding, ended)
    }
    if (this.#isEnded) return this
    if (chunk !== undefined && typeof chunk !== 'function') this.#sink.write(bytesOf(chunk, encoding))
    this.#isEnded = true
    const onFinish = [chunk, encoding, ended].find((one) => typeof one === 'function')
    if (onFinish !== undefined) this.once('finish', onFinish)
    this.#sink.end()
    return this
  }

  /**
   * As `http.ServerResponse.destroy`. A client of HTTP/1.0 takes the end of its connection for that of an answer without a
   * length: in the middle of one the connection is reset.
   */
  override destroy(error?: Error): this {
    if (this.headersSent && !this.writableFinished && this.req.httpVersionMinor === 0) reset(this.socket)
    return super.destroy(error)
  }

  /** Leaves the filters out where none of them has to do with an answer. */
  #leaveOut(status: number, given: Headers | undefined): void {
    if (this.#filters === undefined) return
    // What was set one by one is only known once it is gathered.
    if (!Array.isArray(given) || this.getHeaderNames().length > 0) return
    const isForAny = this.#filters.some((filter) => filter.isFor === undefined || filter.isFor(status, given, this))
    if (!isForAny) this.#filters = undefined
  }

  /** RFC 9211; '' where the answer has none. Of several the last, which is ours where the site has a cache. */
  #cacheStatus(headers: Headers | undefined): string {
    const given = Array.isArray(headers) ? (headers as string[]) : inTurn(headers)
    return String(lastFieldOf(given, CACHE_STATUS) ?? this.getHeader(CACHE_STATUS) ?? '')
  }

  /** The head as it leaves; what comes by here has been through the filters. As `http.ServerResponse.writeHead`. */
  protected sendHead(status: number, reason?: string | Headers, headers?: Headers): this {
    // The types know neither the flat list that Node takes nor that it leaves it as it is.
    return super.writeHead(status, reason as string, headers as OutgoingHttpHeader[])
  }

  /** As `sendHead`, of a head that comes again, where nothing else was set for it. */
  protected sendRepeated(head: RepeatedHead): this {
    const isLikeOthers = isPlain(this)
    if (isLikeOthers && head.written !== undefined && writeAgain(this, head.written)) return this
    this.sendHead(head.status, head.reason, head.headers)
    if (isLikeOthers) head.sent(this)
    return this
  }

  /** A part of the body as it leaves. As `http.ServerResponse.write`. */
  protected sendPart(chunk: string | Uint8Array, encoding?: BufferEncoding | Written, written?: Written): boolean {
    return super.write(chunk, encoding as BufferEncoding, written)
  }

  /** The end of the answer as it leaves. As `http.ServerResponse.end`. */
  protected sendEnd(
    chunk?: string | Uint8Array | (() => void),
    encoding?: BufferEncoding | (() => void),
    ended?: () => void,
  ): this {
    return super.end(chunk, encoding as BufferEncoding, ended)
  }

  /** What comes out of the last filter. */
  #toClient(): BodySink {
    return {
      write: (chunk) => {
        this.bodyBytes += chunk.byteLength
        return this.sendPart(chunk)
      },
      end: () => void this.sendEnd(),
    }
  }

  /** What was set before and what is given now, as Node joins them: the latter in the place of the former. */
  protected headOf(status: number, reason: string | Headers | undefined, headers: Headers | undefined): AnswerHead {
    const given = inTurn(optionalHeaders(reason, headers))
    if (this.getHeaderNames().length === 0) {
      return { status, reason: typeof reason === 'string' ? reason : undefined, headers: given }
    }
    const names = fieldNames(given)
    const kept = this.getHeaderNames().filter((name) => !names.has(name.toLowerCase()))
    const before = kept.flatMap((name) => pairs(name, this.getHeader(name)))
    for (const name of this.getHeaderNames()) this.removeHeader(name)
    return { status, reason: typeof reason === 'string' ? reason : undefined, headers: [...before, ...given] }
  }
}

/** The next who reads from it hears that it was cut. Only TCP can say that; TLS says it by ending without a farewell. */
function reset(socket: Socket | null): void {
  try {
    socket?.resetAndDestroy()
  } catch {
    socket?.destroy()
  }
}

const CACHE_STATUS = 'cache-status'

/** `writeHead` takes headers in the place of a reason, too. */
function optionalHeaders(reason: string | Headers | undefined, headers: Headers | undefined): Headers | undefined {
  return typeof reason === 'string' ? headers : (headers ?? reason)
}

function bytesOf(chunk: string | Uint8Array, encoding: unknown): Uint8Array {
  return typeof chunk === 'string' ? Buffer.from(chunk, encodingOf(encoding)) : chunk
}

/** In bytes. Text that is latin1 has one a character, and is most of what is written. */
function lengthOf(chunk: string | Uint8Array, encoding: unknown): number {
  if (typeof chunk !== 'string' || encoding === 'latin1') return chunk.length
  return Buffer.byteLength(chunk, encodingOf(encoding))
}

function encodingOf(encoding: unknown): BufferEncoding {
  return typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8'
}

function inTurn(headers: Headers | undefined): string[] {
  if (headers === undefined) return []
  // A copy: filters change it, and it may be somebody's for many answers.
  if (Array.isArray(headers)) return headers.map((part) => (typeof part === 'string' ? part : String(part)))
  return Object.entries(headers).flatMap(([name, value]) => pairs(name, value))
}

function pairs(name: string, value: OutgoingHttpHeader | undefined): string[] {
  if (value === undefined) return []
  return (Array.isArray(value) ? value : [value]).flatMap((one) => [name, String(one)])
}
