/**
 * The response to a client, with a place for what stands between whoever answers and the client: headers that are added,
 * compression, a cache that keeps a copy. Whoever answers writes to it as to any `http.ServerResponse`.
 *
 * Limits: an informational answer (1xx) and a tunnel pass by the filters. Invariant: every filter sees the head of every
 * final answer once, before any byte of it has left, and then every byte of its body, in the order in which it was written.
 */
import type { IncomingMessage, OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http'
import type { OwnPage } from '../config/site-doors.ts'
import { ServerResponse } from '../core/node-http.ts'

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
  /** @returns what the body goes through; undefined where it goes past */
  onHead(head: AnswerHead, response: FrontResponse): BodyFilter | undefined
}

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[]
type Written = (error?: Error | null) => void

export class FrontResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  /** When the head was written, as `performance.now()`; 0 before. */
  headAt = 0
  /** Bytes of body on their way to the client, as it gets them. */
  bodyBytes = 0
  /** The site's own pages for errors that are answered in its place, by `404` or `4xx`. */
  errorPages: Readonly<Record<string, OwnPage>> | undefined
  #filters: AnswerFilter[] | undefined
  /** Where the body goes first; undefined where it goes to the client at once. */
  #sink: BodySink | undefined
  #isEnded = false

  /** Puts a filter behind those that are there: nearer to the client. To be called before the head is written. */
  addFilter(filter: AnswerFilter): void {
    if (this.#filters === undefined) this.#filters = [filter]
    else this.#filters.push(filter)
  }

  /** As `writableEnded`, and also true while what was ended is still in a filter. */
  get isEnded(): boolean {
    return this.#isEnded || this.writableEnded
  }

  override writeHead(status: number, reason?: string | Headers, headers?: Headers): this {
    if (this.headAt === 0) this.headAt = performance.now()
    if (this.#filters === undefined || status < 200) return super.writeHead(status, reason as string, headers)
    const head = this.#headOf(status, reason, headers)
    const filters = this.#filters.flatMap((filter) => filter.onHead(head, this) ?? [])
    this.#filters = undefined
    super.writeHead(head.status, head.reason, head.headers)
    for (const filter of filters.reverse()) this.#sink = filter(this.#sink ?? this.#toClient())
    return this
  }

  override write(chunk: string | Uint8Array, encoding?: BufferEncoding | Written, written?: Written): boolean {
    if (!this.headersSent) this.writeHead(this.statusCode)
    if (this.#sink !== undefined) return this.#sink.write(bytesOf(chunk, encoding))
    this.bodyBytes += chunk.length
    return super.write(chunk, encoding as BufferEncoding, written)
  }

  override end(
    chunk?: string | Uint8Array | (() => void),
    encoding?: BufferEncoding | (() => void),
    ended?: () => void,
  ): this {
    if (this.#filters !== undefined && !this.headersSent) this.writeHead(this.statusCode)
    if (this.#sink === undefined) {
      if (chunk !== undefined && typeof chunk !== 'function') this.bodyBytes += chunk.length
      return super.end(chunk, encoding as BufferEncoding, ended)
    }
    if (this.#isEnded) return this
    if (chunk !== undefined && typeof chunk !== 'function') this.#sink.write(bytesOf(chunk, encoding))
    this.#isEnded = true
    const onFinish = [chunk, encoding, ended].find((one) => typeof one === 'function')
    if (onFinish !== undefined) this.once('finish', onFinish)
    this.#sink.end()
    return this
  }

  /** What comes out of the last filter. */
  #toClient(): BodySink {
    return {
      write: (chunk) => {
        this.bodyBytes += chunk.byteLength
        return super.write(chunk)
      },
      end: () => void super.end(),
    }
  }

  /** What was set before and what is given now, as Node joins them: the latter in the place of the former. */
  #headOf(status: number, reason: string | Headers | undefined, headers: Headers | undefined): AnswerHead {
    const given = inTurn(typeof reason === 'string' ? headers : (headers ?? reason))
    const names = new Set(given.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()))
    const kept = this.getHeaderNames().filter((name) => !names.has(name.toLowerCase()))
    const before = kept.flatMap((name) => pairs(name, this.getHeader(name)))
    for (const name of this.getHeaderNames()) this.removeHeader(name)
    return { status, reason: typeof reason === 'string' ? reason : undefined, headers: [...before, ...given] }
  }
}

/** Bytes of text are one a character where it is latin1, which is the only text that is written here in parts. */
function bytesOf(chunk: string | Uint8Array, encoding: unknown): Uint8Array {
  if (typeof chunk !== 'string') return chunk
  return Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8')
}

function inTurn(headers: Headers | undefined): string[] {
  if (headers === undefined) return []
  if (Array.isArray(headers)) return headers.map(String)
  return Object.entries(headers).flatMap(([name, value]) => pairs(name, value))
}

function pairs(name: string, value: OutgoingHttpHeader | undefined): string[] {
  if (value === undefined) return []
  return (Array.isArray(value) ? value : [value]).flatMap((one) => [name, String(one)])
}
