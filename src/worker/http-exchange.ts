/**
 * One request as a site sees it in plain Node: a real `IncomingMessage` and `ServerResponse` on a socket of its own, whose
 * events come in the order of Node's http.Server (parserOnIncoming, resOnFinish, abortIncoming), and whose bytes are frames.
 *
 * Two hooks are own properties of the response, `_storeHeader` and `_finish`: Express gives both objects other
 * prototypes, so an override in a subclass would vanish. Everything else is Node's own code.
 *
 * Limits: at most `BODY_WINDOW_BYTES` of body under way in each direction, and in the streams what their high-water
 * marks allow. Invariant: after `#isOver` nothing is sent for this id, and `wire.over` was called once.
 */
import diagnostics from 'node:diagnostics_channel'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { expectationOf, isContinue } from '../core/expectation.ts'
import { MAX_CHUNK_BYTES } from '../protocol/frames.ts'
import type { WriteCallback } from './body-flow.ts'
import { isDirect, ownBytes, ReceiveFlow, SendFlow } from './body-flow.ts'
import { reportCrash } from './crash.ts'
import type { Exchange, Gathering, RequestFrame, Wire } from './exchange.ts'
import { closeReason } from './exchange.ts'
import type { MadeObjects } from './http-objects.ts'
import { createRequest, createResponse } from './http-objects.ts'
import { enterServer, leaveServer } from './listen-adapter.ts'
import type { RequestInternals, ResponseInternals } from './node-internals.ts'
import { getInternal, internalSymbols, responsePrototype } from './node-internals.ts'
import { hasStreamListeners, isBeingRead, isConsumed } from './request-reading.ts'
import { knownResponseHead, parseHeaderLines, parseResponseHead, withLength } from './response-head.ts'
import type { Site } from './site.ts'
import type { SocketOwner, WrittenChunk } from './site-socket.ts'
import { SiteSocket } from './site-socket.ts'
import { areMade, givingBack, toBytes } from './written-bytes.ts'

const EMPTY = Buffer.alloc(0)

const startChannel = diagnostics.channel('http.server.request.start')
const finishChannel = diagnostics.channel('http.server.response.finish')

/** A site that takes Node's own objects. */
export interface NodeHandler {
  /** The server that the objects belong to: its classes, its timeout, its listeners. */
  readonly server: Server
  /** Answers a request. @returns anything; a promise that is rejected fails the request */
  handle(request: IncomingMessage, response: ServerResponse): unknown
}

export class HttpExchange implements Exchange, SocketOwner, Gathering {
  readonly site: Site
  readonly isTunnel = false
  readonly #handler: NodeHandler
  readonly #wire: Wire
  readonly id: number
  #frame: RequestFrame | undefined
  #request: RequestInternals | undefined
  #response: ResponseInternals | undefined
  #socket: SiteSocket | undefined
  #sending: SendFlow | undefined
  #receiving: ReceiveFlow | undefined
  /** What the site wrote in this turn and was not sent yet. */
  #parts: Uint8Array[] = []
  #partBytes = 0
  /** Whether the first of them is no memory of the site's. */
  #isPartMade = false
  #isGathering = false
  /** Whether Node would have sent the head as UTF-8; known with the first part of the body. */
  #isUtf8Head: boolean | undefined
  #isChunked = false
  #isHeadSent = false
  /** The site has ended its answer. */
  #isEnded = false
  #isClosed = false
  /** Whether more of the request came, or comes, after its first frame. */
  #hasBody = false
  #isRequestOver = false
  #isOver = false
  /** Whether it counts as a connection of its server. */
  #isCounted = false

  /** @param made an upgrade's, which nobody takes */
  constructor(site: Site, handler: NodeHandler, wire: Wire, frame: RequestFrame, made?: MadeObjects) {
    this.site = site
    this.#handler = handler
    this.#wire = wire
    this.id = frame.id
    this.#frame = frame
    if (made === undefined) return
    this.#request = made.request
    this.#socket = made.socket
    made.socket.owner = this
  }

  /** The server that it came to. */
  get server(): Server {
    return this.#handler.server
  }

  // ---- from the dispatcher -------------------------------------------------------------------------------------

  start(): void {
    const frame = this.#frame as RequestFrame
    const { server } = this.#handler
    const socket = this.#socket ?? new SiteSocket(this, frame.head, server)
    const request = this.#request ?? createRequest(server, socket, frame.head)
    const response = createResponse(server, request, frame.head)
    this.#frame = undefined
    this.#isCounted = enterServer(server)
    this.#hasBody = !frame.last
    this.#socket = socket
    this.#request = request
    this.#response = response
    response._storeHeader = storeHeader
    response._finish = finish
    if (startChannel.hasSubscribers) startChannel.publish({ request, response, socket, server })
    // Node declares net.Socket here and uses what any Duplex with SiteSocket's members has.
    response.assignSocket(socket as unknown as Parameters<ServerResponse['assignSocket']>[0])
    response.on('finish', onResponseFinish)
    if (server.timeout) socket.setTimeout(server.timeout)
    this.#call(request, response)
    if (frame.body.byteLength > 0) this.body(frame.body)
    if (frame.last) this.end([])
  }

  body(chunk: Uint8Array): void {
    const request = this.#request
    if (request === undefined || this.#isRequestOver) return
    this.#receiving ??= new ReceiveFlow(this.#wire.channel, this.id)
    this.#receiving.received(chunk.byteLength)
    this.#socket?.arrived(chunk.byteLength)
    if (request._dumped || (request.push(chunk) && request._consuming)) this.#receiving.grant()
  }

  /** `parserOnMessageComplete` of Node's http. */
  end(trailers: string[]): void {
    const request = this.#request
    if (request === undefined || this.#isRequestOver) return
    this.#isRequestOver = true
    request.complete = true
    if (trailers.length > 0) request._addHeaderLines(trailers, trailers.length)
    request.push(null)
    if (this.#isEnded) this.#finishSending()
    this.#release()
  }

  credit(bytes: number): void {
    this.#socket?.touch()
    this.#sending?.credit(bytes)
    this.#finishSending()
  }

  abort(): void {
    this.#setOver()
    this.#socket?.destroy()
  }

  get isAnswering(): boolean {
    return this.#isHeadSent
  }

  fail(): void {
    if (this.#isOver || this.#isEnded) return
    this.#parts = []
    if (this.#isHeadSent) this.#abortAnswer('its code failed in the middle of the answer')
    else this.#wire.channel.send({ type: 'failed', id: this.id })
    this.#setOver()
    this.#socket?.destroy()
  }

  cut(): void {
    this.#socket?.destroy()
  }

  flushGathered(): void {
    if (this.#isGathering) this.#flush(false)
  }

  // ---- from the socket -----------------------------------------------------------------------------------------

  write(chunks: readonly WrittenChunk[], callback: WriteCallback): void {
    const bytes = toBytes(chunks)
    if (!this.#noteFirst(chunks[0] as WrittenChunk)) return this.#writeBeforeHead(bytes, callback)
    if (this.#socket !== undefined) this.#socket.bytesDispatched += bytes.byteLength
    const room = Math.min(MAX_CHUNK_BYTES, this.#sending?.window ?? MAX_CHUNK_BYTES) - this.#partBytes
    if (bytes.byteLength <= room && !(this.#isHeadSent && isDirect(bytes))) {
      this.#isPartMade = this.#partBytes === 0 && areMade(bytes, chunks)
      this.#parts.push(bytes)
      this.#partBytes += bytes.byteLength
      this.#gather()
      callback()
    } else {
      this.#flush(false)
      if (this.#isOver) return callback(connectionReset())
      const isOurs = isDirect(bytes) && areMade(bytes, chunks)
      this.#flow().send(bytes, isOurs ? givingBack(bytes, callback) : callback)
    }
    if (this.#isEnded) this.#finishSending()
  }

  demand(): void {
    this.#receiving?.grant()
  }

  final(callback: WriteCallback): void {
    callback()
    if (!this.#isEnded) this.#socket?.destroy()
  }

  destroyed(error: Error | null): void {
    if (this.#isEnded) this.#finishSending()
    if (!this.#isOver) {
      // What was written before would be with the kernel by now.
      this.flushGathered()
      this.#abortAnswer(closeReason(error))
      this.#setOver()
    }
    this.#sending?.stop(error ?? connectionReset())
    this.#isRequestOver = true
  }

  closing(): void {
    // `abortIncoming` of Node's http: a request is the socket's until its answer is finished.
    if (!this.#isClosed) this.#request?.destroy(connectionReset())
    this.#forget()
  }

  // ---- from the response ---------------------------------------------------------------------------------------

  /** The response has a head now; its body needs no framing of Node's. */
  headStored(response: ResponseInternals): void {
    this.#isChunked = response.chunkedEncoding
    response.chunkedEncoding = false
    // Its head goes into a frame of its own, not before the first part of the body.
    response._headerSent = true
  }

  /** The site has called `end`, and all it wrote was handed to the socket. */
  ended(): void {
    this.#isEnded = true
    this.#finishSending()
  }

  /** `resOnFinish` of Node's http. */
  finished(): void {
    const socket = this.#socket
    const request = this.#request
    const response = this.#response
    if (socket === undefined || request === undefined || response === undefined) return
    if (finishChannel.hasSubscribers) finishChannel.publish({ request, response, socket, server: socket.server })
    const detachSignal = getInternal(request, internalSymbols.detachAbortSignal)
    if (typeof detachSignal === 'function') detachSignal.call(request)
    socket.stopTimer()
    response.detachSocket(socket as unknown as Parameters<ServerResponse['detachSocket']>[0])
    this.#finishSending()
    process.nextTick(closeAnswered, this, request, response)
  }

  /** The next tick after `finished`: the response is closed, and what nobody wants of the request is thrown away. */
  closeAnswered(request: RequestInternals, response: ResponseInternals): void {
    this.#isClosed = true
    if (!response._closed) {
      response.destroyed = true
      response._closed = true
      response.emit('close')
    }
    if (!isConsumed(request)) this.#dump(request)
    // Somebody began to read, and stopped. What is left of the body does not come here.
    else if (this.#isOver && !this.#isRequestOver) request.destroy(connectionReset())
    this.#release()
  }

  // ---- inner workings ------------------------------------------------------------------------------------------

  #call(request: RequestInternals, response: ResponseInternals): void {
    try {
      const result = expectation(this.#handler, request, response) ? undefined : this.#handler.handle(request, response)
      if (isThenable(result)) result.then(undefined, (error: unknown) => reportCrash(this, error))
    } catch (error) {
      reportCrash(this, error)
    }
  }

  /**
   * Throws away what was not read. A request without listeners is closed in one step, which nobody can tell from
   * Node's way over five ticks; it saves a tenth of the time of a small request.
   */
  #dump(request: RequestInternals): void {
    if (this.#isRequestOver && request.readableLength === 0 && !hasStreamListeners(request)) {
      request._dumpAndCloseReadable()
      return
    }
    request._dump()
    // The dispatcher reads what is left of the body from the client; none of it comes here.
    if (this.#isOver) this.end([])
  }

  /** @returns whether the response has a head */
  #noteFirst(first: WrittenChunk): boolean {
    if (this.#isUtf8Head !== undefined) return true
    if (!this.#response?._header) return false
    // A part that is chunked has its length before it, in latin1; an empty one is `flushHeaders`.
    const isJoined = !this.#isChunked || first.chunk.length === 0
    this.#isUtf8Head = isJoined && typeof first.chunk === 'string' && first.encoding === 'utf8'
    return true
  }

  /** Before the head, Node itself writes only 1xx (writeContinue, writeProcessing, writeEarlyHints). */
  #writeBeforeHead(bytes: Uint8Array, callback: WriteCallback): void {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
    callback()
    if (text.startsWith('HTTP/1.1 1') && text.endsWith('\r\n\r\n')) {
      this.#orRefuse(() => {
        const head = parseResponseHead(text, false)
        this.#wire.channel.send({ type: 'informational', id: this.id, head })
      })
    } else if (text !== '') {
      this.#refuse('it wrote to the socket of its request, where only the response can be sent')
    }
  }

  /** Reads or sends what a site wrote as a head. The request is ended, and is over then, when it is none, or too large for a frame. */
  #orRefuse(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#refuse(closeReason(error))
    }
  }

  #refuse(reason: string): void {
    if (this.#isOver) return
    this.#abortAnswer(reason)
    this.#setOver()
    this.#socket?.destroy()
  }

  #flow(): SendFlow {
    this.#sending ??= new SendFlow(this.#wire.channel, this.id)
    return this.#sending
  }

  #gather(): void {
    if (this.#isGathering) return
    this.#isGathering = true
    this.#wire.gather(this)
  }

  /** Sends the head, if it has not left yet, and what was gathered. */
  #flush(isLast: boolean): void {
    this.#isGathering = false
    if (this.#isOver) return
    const body = this.#takeParts()
    if (!this.#isHeadSent) this.#orRefuse(() => this.#sendHead(body, isLast))
    else if (body.byteLength > 0) this.#wire.channel.send({ type: 'body', id: this.id, chunk: body })
    if (!isLast && body.byteLength > 0) this.#flow().count(body.byteLength)
  }

  #sendHead(body: Uint8Array, isLast: boolean): void {
    const { _header: text, _trailer: trailer } = this.#response as ResponseInternals
    const read = knownResponseHead(text as string, this.#isUtf8Head === true)
    // An answer whose end is held back is whole for its client all the same.
    const isHeldBack = !isLast && this.#isEnded && trailer === ''
    const head = isHeldBack && this.#isChunked ? withLength(read, body.byteLength) : read
    this.#wire.channel.send({ type: 'response', id: this.id, head, body, last: isLast })
    this.#isHeadSent = true
    if (this.#socket !== undefined) this.#socket.bytesDispatched += (text as string).length
  }

  #takeParts(): Uint8Array {
    const parts = this.#parts
    if (parts.length === 0) return EMPTY
    this.#parts = []
    this.#partBytes = 0
    if (parts.length > 1) return Buffer.concat(parts)
    return this.#isPartMade ? (parts[0] as Uint8Array) : ownBytes(parts[0] as Uint8Array)
  }

  /** Sends the end of the answer, once the site has ended it and the dispatcher has taken all that was before it. */
  #finishSending(): void {
    const response = this.#response
    if (!this.#isEnded || this.#isOver || response === undefined) return
    if (this.#sending?.isHeld || (this.#socket !== undefined && this.#socket.writableLength > 0)) return
    if (this.#isStillReading(response)) return this.#gather()
    let trailers: string[] = []
    // Before the head leaves: a request whose trailers are none is refused as a whole.
    if (this.#isChunked)
      this.#orRefuse(() => {
        trailers = parseHeaderLines(response._trailer)
      })
    const isHeadLast = !this.#isHeadSent && trailers.length === 0
    this.#flush(isHeadLast)
    if (this.#isOver) return
    if (!isHeadLast) this.#orRefuse(() => this.#wire.channel.send({ type: 'end', id: this.id, trailers }))
    this.#setOver()
  }

  /**
   * A site that has answered and goes on reading its request's body keeps the id until it has it all. Whether it reads is
   * asked when the response is finished, as Node does, because a listener may be added after `end`.
   */
  #isStillReading(response: ResponseInternals): boolean {
    const request = this.#request
    if (request === undefined || this.#isRequestOver || !this.#hasBody) return false
    if (!response.writableFinished) return !response.destroyed
    return isBeingRead(request)
  }

  #abortAnswer(reason: string): void {
    this.#wire.channel.send({ type: 'abort', id: this.id, reason })
  }

  #setOver(): void {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#isCounted) leaveServer(this.#handler.server, this.site)
    this.#wire.over(this.id)
  }

  /** When both directions are done, lets go of everything, so that what the request started does not hold it. */
  #release(): void {
    if (!this.#isClosed || !this.#isRequestOver) return
    const socket = this.#socket
    this.#forget()
    if (socket !== undefined && socket.listenerCount('close') > 0) socket.destroy()
  }

  #forget(): void {
    this.#request = undefined
    this.#response = undefined
    this.#socket = undefined
  }
}

// ---- own properties of the response, and its listener: shared functions, so that a request costs no closures ---------

function storeHeader(this: ResponseInternals, statusLine: string, headers: unknown): void {
  responsePrototype._storeHeader.call(this, statusLine, headers)
  exchangeOf(this)?.headStored(this)
}

function finish(this: ResponseInternals): void {
  responsePrototype._finish.call(this)
  exchangeOf(this)?.ended()
}

function onResponseFinish(this: ServerResponse): void {
  exchangeOf(this)?.finished()
}

function closeAnswered(exchange: HttpExchange, request: RequestInternals, response: ResponseInternals): void {
  exchange.closeAnswered(request, response)
}

function exchangeOf(response: ServerResponse): HttpExchange | undefined {
  const socket = response.socket as unknown as SiteSocket | null
  return socket === null ? undefined : (socket.owner as HttpExchange)
}

// ---- pure helpers ----------------------------------------------------------------------------------------------------

/** The `Expect` part of Node's parserOnIncoming. @returns whether the request is answered by it */
function expectation(handler: NodeHandler, request: RequestInternals, response: ResponseInternals): boolean {
  if (request.httpVersionMinor !== 1 || expectationOf(request.rawHeaders) === undefined) return false
  const { server } = handler
  if (isContinue(request.headers.expect)) {
    response._expect_continue = true
    if (server.listenerCount('checkContinue') > 0) return server.emit('checkContinue', request, response)
    response.writeContinue()
    return false
  }
  if (server.listenerCount('checkExpectation') > 0) return server.emit('checkExpectation', request, response)
  response.writeHead(417).end()
  return true
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

/** What Node's http gives a request whose connection is gone. */
function connectionReset(): Error {
  return Object.assign(new Error('aborted'), { code: 'ECONNRESET' })
}
