/**
 * One request to a fetch handler: a light `Request` in, a `Response` out, as frames. Knows nothing of Node's http.
 *
 * Limits: at most `BODY_WINDOW_BYTES` under way in each direction; a stream of the site is read only as the dispatcher
 * has room. Invariant: after `#isOver` nothing is sent for this id, and `wire.over` was called once.
 */
import { STATUS_CODES } from 'node:http'
import { inspect } from 'node:util'
import { expectationOf, isContinue } from '../core/expectation.ts'
import type { ResponseHead } from '../protocol/frames.ts'
import { MAX_CHUNK_BYTES } from '../protocol/frames.ts'
import type { WriteCallback } from './body-flow.ts'
import { ownBytes, ReceiveFlow, SendFlow } from './body-flow.ts'
import { reportCrash } from './crash.ts'
import type { Exchange, RequestFrame, Wire } from './exchange.ts'
import { IncomingBody } from './fetch-body.ts'
import { httpDate } from './http-date.ts'
import { LightRequest } from './light-request.ts'
import type { PlainResponse } from './light-response.ts'
import { LightResponse, NativeResponse } from './light-response.ts'
import { requestUrl } from './request-url.ts'
import type { Site } from './site.ts'
import { givingBack } from './written-bytes.ts'

const EMPTY = Buffer.alloc(0)
/** Headers that frame a message on its connection: the front's. */
const FRAMING = new Set(['connection', 'keep-alive', 'transfer-encoding'])
const NO_BODY_STATUS = new Set([204, 304])

type StreamReader = ReadableStreamDefaultReader<unknown>

/** A fetch handler, bound to what it belongs to. */
export type FetchHandler = (request: Request, remoteAddress: string) => unknown

export class FetchExchange implements Exchange {
  readonly site: Site
  readonly #handler: FetchHandler
  readonly #wire: Wire
  readonly id: number
  readonly #sending: SendFlow
  readonly #isHead: boolean
  #frame: RequestFrame | undefined
  #body: IncomingBody | undefined
  #aborter: AbortController | undefined
  #reader: StreamReader | undefined
  #isHeadSent = false
  /** The answer is complete; only its end may still be held back. */
  #isEnded = false
  #isOver = false
  /** What the site's code was told when nobody was there any more. */
  #abortion: DOMException | undefined

  constructor(site: Site, handler: FetchHandler, wire: Wire, frame: RequestFrame) {
    this.site = site
    this.#handler = handler
    this.#wire = wire
    this.id = frame.id
    this.#isHead = frame.head.method === 'HEAD'
    this.#frame = frame
    this.#sending = new SendFlow(wire.channel, frame.id)
  }

  // ---- from the dispatcher -------------------------------------------------------------------------------------

  start(): void {
    const { head, body, last } = this.#frame as RequestFrame
    this.#frame = undefined
    const { method, headers } = head
    const isBodyless = method === 'GET' || method === 'HEAD' || (last && body.byteLength === 0)
    if (!isBodyless) {
      const isAwaited = head.httpMinor > 0 && isContinue(expectationOf(headers))
      const onWanted = isAwaited ? (): void => this.#continue() : undefined
      this.#body = new IncomingBody(new ReceiveFlow(this.#wire.channel, this.id), onWanted)
    }
    if (body.byteLength > 0) this.body(body)
    if (last) this.end()
    const signal = (): AbortSignal => this.#signal()
    const request = new LightRequest({ method, url: requestUrl(head), headers, body: this.#body, signal })
    try {
      // A light request has all that a Request has, and is an instance of it.
      const result = this.#handler(request as unknown as Request, head.remoteAddress)
      if (result instanceof NativeResponse) this.#respond(result)
      else this.#await(result)
    } catch (error) {
      reportCrash(this, error)
    }
  }

  body(chunk: Uint8Array): void {
    this.#body?.push(chunk)
  }

  end(): void {
    this.#body?.end()
    if (this.#isEnded) this.#sendEnd()
  }

  credit(bytes: number): void {
    this.#sending.credit(bytes)
  }

  abort(reason: string): void {
    this.#drop(reason)
  }

  get isAnswering(): boolean {
    return this.#isHeadSent
  }

  fail(): void {
    if (this.#isOver || this.#isEnded) return
    if (this.#isHeadSent) return this.cut('its code failed in the middle of the answer')
    this.#wire.channel.send({ type: 'failed', id: this.id })
    this.#setOver()
  }

  cut(reason = 'it closed the connection'): void {
    if (this.#isOver) return
    this.#wire.channel.send({ type: 'abort', id: this.id, reason })
    this.#drop(reason)
  }

  /** The client sends its body when it is told that somebody reads it, or after a while. */
  #continue(): void {
    if (this.#isOver || this.#isHeadSent) return
    const head = { status: 100, reason: '', headers: [] }
    this.#wire.channel.send({ type: 'informational', id: this.id, head })
  }

  // ---- the answer ----------------------------------------------------------------------------------------------

  #await(result: unknown): void {
    Promise.resolve(result)
      .then((response) => this.#respond(response))
      .catch((error: unknown) => {
        // A handler that lets through what it was told by this very exchange has done nothing wrong.
        if (error !== this.#abortion) reportCrash(this, error)
      })
  }

  #respond(response: unknown): void {
    const plain = LightResponse.plainOf(response)
    if (this.#isOver || this.#isHeadSent) {
      if (plain === undefined && response instanceof NativeResponse) discard(response, this.#abortion)
      return
    }
    if (plain !== undefined) return this.#sendPlain(plain)
    if (!(response instanceof NativeResponse) || response.status < 200) {
      throw new TypeError(`the fetch handler did not return a Response that can be sent, but ${inspect(response)}`)
    }
    this.#sendStream(response)
  }

  #sendPlain({ status, statusText, headers, body }: PlainResponse): void {
    const bytes = typeof body === 'string' ? Buffer.from(body, 'utf8') : (body ?? EMPTY)
    const isBodyless = this.#isHead || NO_BODY_STATUS.has(status)
    const length = status === 204 || (status === 304 && body === null) ? undefined : bytes.byteLength
    const head = responseHead(status, statusText, headers, length)
    const isWhole = isBodyless || bytes.byteLength <= MAX_CHUNK_BYTES
    const isLast = isWhole && !this.#isReading
    const isText = typeof body === 'string'
    const first = isBodyless || !isWhole ? EMPTY : isText ? bytes : ownBytes(bytes)
    this.#wire.channel.send({ type: 'response', id: this.id, head, body: first, last: isLast })
    // Not before: a head that is too large is refused there, and a short one is sent in its place.
    this.#isHeadSent = true
    this.#isEnded = isWhole
    if (isLast) return this.#setOver()
    if (isWhole) return
    const sent: WriteCallback = (error) => {
      this.#isEnded = true
      if (!error) this.#sendEnd()
    }
    this.#sending.send(bytes, isText ? givingBack(bytes, sent) : sent)
  }

  #sendStream(response: Response): void {
    const flat = [...response.headers].flat()
    const stream = response.body as ReadableStream<unknown> | null
    const isBodyless = this.#isHead || NO_BODY_STATUS.has(response.status)
    const head = responseHead(
      response.status,
      response.statusText,
      flat,
      stream === null && !isBodyless ? 0 : undefined,
    )
    const isWhole = stream === null || isBodyless
    // Throws for one that somebody else reads: while nothing was sent that can still be told.
    const reader: StreamReader | undefined = isWhole ? undefined : stream.getReader()
    const isLast = isWhole && !this.#isReading
    this.#wire.channel.send({ type: 'response', id: this.id, head, body: EMPTY, last: isLast })
    this.#isHeadSent = true
    this.#isEnded = isWhole
    if (isLast) this.#setOver()
    if (reader === undefined) return discard(response)
    this.#reader = reader
    this.#pump(reader).catch((error: unknown) => {
      if (!this.#isOver) reportCrash(this, error)
    })
  }

  async #pump(reader: StreamReader): Promise<void> {
    for (;;) {
      const { done, value } = await reader.read()
      if (this.#isOver) return
      if (done) break
      if (!(value instanceof Uint8Array))
        throw new TypeError('the body of the Response is a stream of something else than bytes')
      await this.#sendChunk(value)
    }
    this.#isEnded = true
    this.#sendEnd()
  }

  #sendChunk(bytes: Uint8Array): Promise<void> | undefined {
    let isDone = false
    let wake: ((value: undefined) => void) | undefined
    this.#sending.send(bytes, () => {
      isDone = true
      wake?.(undefined)
    })
    if (isDone) return undefined
    return new Promise((resolve) => {
      wake = resolve
    })
  }

  /** A site that has answered and goes on reading its request's body keeps the id until it has it all. */
  get #isReading(): boolean {
    return this.#body?.isBeingRead === true
  }

  #sendEnd(): void {
    if (this.#isOver || this.#isReading) return
    this.#wire.channel.send({ type: 'end', id: this.id, trailers: [] })
    this.#setOver()
  }

  // ---- the end -------------------------------------------------------------------------------------------------

  #signal(): AbortSignal {
    this.#aborter ??= new AbortController()
    return this.#aborter.signal
  }

  /** Tells the site's code that nobody is there any more. */
  #drop(reason: string): void {
    const error = new DOMException(`The request was aborted: ${reason}`, 'AbortError')
    this.#abortion = error
    this.#setOver(error)
    this.#aborter?.abort(error)
    this.#sending.stop(error)
    this.#reader?.cancel(error).catch(() => {})
  }

  /** @param why what a site that goes on reading is told; that the answer is complete where nothing is said */
  #setOver(why?: DOMException): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#wire.over(this.id)
    // What is left of the body does not come here.
    this.#body?.fail(why ?? new DOMException('The answer was complete before the body was', 'AbortError'))
  }
}

/** Tells what feeds the stream of a response that nobody reads it. */
function discard(response: Response, reason?: unknown): void {
  response.body?.cancel(reason).catch(() => {})
}

/** @param length of the body in bytes; undefined where it is not known or not said */
function responseHead(
  status: number,
  reason: string,
  flat: readonly string[],
  length: number | undefined,
): ResponseHead {
  const headers: string[] = []
  let hasLength = length === undefined
  let hasDate = false
  for (let at = 0; at < flat.length; at += 2) {
    const name = flat[at] as string
    if (FRAMING.has(name)) continue
    if (name === 'content-length') hasLength = true
    else if (name === 'date') hasDate = true
    headers.push(name, flat[at + 1] as string)
  }
  if (!hasLength) headers.push('content-length', String(length))
  if (!hasDate) headers.push('date', httpDate())
  return { status, reason: reason || (STATUS_CODES[status] ?? 'unknown'), headers }
}
