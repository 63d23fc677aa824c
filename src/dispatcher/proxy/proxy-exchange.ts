/**
 * One request and its answer, between a client and an upstream: bytes both ways with backpressure. What undici calls while it
 * speaks to the upstream. Of the answer `[proxy] buffer` is taken before the client has, so that a slow one does not keep
 * the upstream.
 *
 * Repeated on another upstream: any request that found no connection, and those of a safe method without a body that was
 * lost before its answer began, once; at the next start of a program only those of them that it had not read. Besides, once, over
 * a fresh connection: what was lost with a connection that was kept, if it is safe or no byte of it was taken. Nothing else is sent
 * twice.
 *
 * Invariant: a place at an upstream is held from `run` until the attempt has ended, and given back once.
 * Invariant: a client gets a whole answer, or an error page, or its connection is cut in the middle.
 */
import type { Dispatcher } from 'undici'
import { SAFE_METHODS } from '../../protocol/methods.ts'
import type { ReadMemory } from '../../protocol/read-memory.ts'
import { AnswerInvalid, answerFraming } from '../answer-framing.ts'
import { asInvalid, inPairs, writeInformational } from '../client-exchange.ts'
import { fieldOf } from '../header-fields.ts'
import type { HeldBody } from '../held-bodies.ts'
import { sendError } from '../send-error.ts'
import type { Visit } from '../visit.ts'
import { AnswerReads } from './answer-reads.ts'
import { Attended } from './attendance.ts'
import type { BackendSite, Failure } from './backend-site.ts'
import {
  answerFailure,
  asCut,
  asUpstreamError,
  isEnded,
  isFull,
  isTimeout,
  noteAnswered,
  noteFailed,
  noteFull,
  wasUnread,
  writeFailure,
} from './backend-site.ts'
import type { Carrier } from './carrier.ts'
import { carrierOfThis } from './carrier.ts'
import {
  answerHeaders,
  answerReason,
  answerTrailers,
  forHost,
  forwardedClient,
  hasChunks,
  requestHeaders,
  withoutTrailer,
} from './forwarding.ts'
import { RequestBody } from './request-body.ts'
import type { Target } from './target.ts'
import type { Job } from './upstream-group.ts'

type Controller = Dispatcher.DispatchController

/** How often a request that was sent is sent again. */
const MAX_REPEATS = 1
/** How often a program that cannot be reached, or did not read, is tried again, and after which time first, in ms; each is twice as long. */
const MAX_LOOKS = 5
const FIRST_LOOK_MS = 20
/** The longest pause at an upstream that is full. */
const LAST_LOOK_MS = 320
/** How long it takes at most until it is known that a program has ended whose connection has. */
const END_KNOWN_MS = 100
/** Up to this size a whole body is written as a latin1 string, which Node joins to the head; see client-exchange.ts. */
const JOIN_BYTES = 16 * 1024
/** Informational answers (1xx) to one request: each starts the time for the answer itself anew. */
const MAX_INFORMED = 1_000

export class ProxyExchange implements Job, Dispatcher.DispatchHandler {
  readonly isTunnel = false
  readonly tried = new Set<Target>()
  readonly #visit: Visit
  readonly #site: BackendSite
  readonly #headers: string[]
  /** What came of the body before; undefined where the request has none. */
  readonly #held: HeldBody | undefined
  #target: Target | undefined
  readonly #attended = new Attended()
  #controller: Controller | undefined
  #wasSent = false
  #carrier: Carrier | undefined
  /** A kept connection was lost with it: from now on it gets fresh ones. */
  #isApart = false
  #repeats = 0
  #looks = 0
  #informed = 0
  /** Since when the upstream that it has a place at is full, as `performance.now()`, and how often it was found to be. */
  #fullAt = 0
  #fullLooks = 0
  /** The first bytes of the answer, until the end or the next turn of the event loop: they may be all. */
  #first: Buffer | undefined
  #isHolding = false
  readonly #reads = new AnswerReads()
  /** Bytes that came since the client has something to take before it gets more. */
  #ahead = 0
  #isDone = false

  constructor(visit: Visit, site: BackendSite, held: HeldBody | undefined) {
    this.#visit = visit
    this.#site = site
    this.#held = held
    this.#headers = requestHeaders(visit, forwardedClient(visit))
    site.waiting.add(held?.bytes.byteLength ?? 0)
    visit.res.on('close', () => this.#closed())
  }

  // ---- a place at an upstream ----------------------------------------------------------------------------------------

  run(target: Target): void {
    const { req, asked } = this.#visit
    const { limits } = this.#site.config
    this.#target = target
    this.#attended.ask(target.attendance)
    this.#wasSent = false
    this.#carrier = undefined
    this.#controller = undefined
    const options: Dispatcher.DispatchOptions = {
      path: asked.target,
      method: req.method as Dispatcher.HttpMethod,
      headers: forHost(this.#headers, target.host),
      body: this.#body(),
      headersTimeout: limits.timeoutMs,
      bodyTimeout: this.#site.proxy.readTimeoutMs,
    }
    if (this.#isApart) target.dispatchApart(options, this)
    else target.dispatch(options, this)
  }

  fail(error: Error): void {
    if (this.#isDone) return
    this.#isDone = true
    // A client that was not asked for its body, or is in the middle of it, and the server would not be in step.
    if (this.#held !== undefined && !this.#visit.req.complete) Object.assign(error, { closes: true })
    answerFailure(this.#site, this.#visit, error)
  }

  // ---- what undici tells ---------------------------------------------------------------------------------------------

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    this.#wasSent = true
    if (this.#isDone) controller.abort(new Error('the client is gone'))
    else this.#carrier = carrierOfThis(!this.#isReplayable)
  }

  onResponseStart(controller: Controller, status: number, _parsed: unknown, reason?: string): void {
    if (this.#isDone) return
    const { req, res } = this.#visit
    const raw = (controller.rawHeaders ?? []) as Buffer[]
    this.#target?.attendance?.heard()
    try {
      if (status >= 100 && status < 200) return this.#inform(status, answerHeaders(raw))
      this.#attended.settle()
      const head = { status, reason: answerReason(reason), headers: answerHeaders(raw) }
      const { headers, length, isEventStream } = answerFraming(req.method, head)
      res.isEndless = isEventStream
      if (this.#target !== undefined) noteAnswered(this.#site, this.#target)
      const hasTrailers = length === undefined && hasChunks(req, status)
      res.writeHead(status, head.reason, hasTrailers ? headers : withoutTrailer(headers))
    } catch (error) {
      const invalid = asInvalid(error)
      this.fail(invalid)
      controller.abort(invalid)
      return
    }
    this.#isHolding = true
    queueMicrotask(() => this.#stopHolding())
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#isDone) return
    this.#target?.attendance?.heard()
    const memory = this.#reads.memoryOf(chunk)
    if (this.#isHolding && this.#first === undefined) {
      this.#first = chunk
      return
    }
    this.#stopHolding()
    this.#write(chunk, controller, memory)
  }

  onResponseEnd(controller: Controller): void {
    const target = this.#target
    const error = this.#brokenBy(controller)
    this.#release()
    if (this.#isDone) return
    if (target !== undefined && error !== undefined) {
      this.#stopHolding()
      return this.fail(asCut(target, error))
    }
    this.#isDone = true
    const { res } = this.#visit
    const trailers = answerTrailers((controller.rawTrailers ?? []) as Buffer[])
    try {
      if (trailers.length > 0) res.addTrailers(inPairs(trailers))
    } catch (error) {
      writeFailure(this.#site, this.#visit, asInvalid(error))
    }
    const first = this.#first
    this.#first = undefined
    this.#isHolding = false
    if (first === undefined) res.end()
    else if (first.byteLength > JOIN_BYTES) res.end(first)
    else res.end(first.toString('latin1'), 'latin1')
  }

  onResponseError(_controller: Controller | null, error: Error): void {
    try {
      this.#attemptFailed(error)
    } catch (unforeseen) {
      // What is thrown here would be an error event of undici's that nobody listens to.
      this.#site.log.error({ site: this.#site.config.name, err: unforeseen }, 'a failed request could not be answered')
      this.#isDone = true
      this.#visit.res.destroy()
    }
  }

  // ---- inside --------------------------------------------------------------------------------------------------------

  #body(): Buffer | RequestBody | null {
    const { req, res } = this.#visit
    if (this.#held === undefined) return null
    if (this.#held.isWhole) return this.#held.bytes
    const body = new RequestBody(req, res, this.#held, this.#site.config.limits.maxBodyBytes, () => this.#tooLarge())
    const { attendance } = this.#target ?? {}
    if (attendance !== undefined) body.onTaken = () => attendance.heard()
    return body
  }

  /** How the connection failed whose end undici took for that of an answer: that it is only where nothing failed (RFC 9112 §8). */
  #brokenBy(controller: Controller): Error | undefined {
    const error = this.#carrier?.socket?.errored
    // Who answers before a body was read may have the kernel reset the connection behind an answer that is whole.
    if (error == null || this.#held !== undefined) return undefined
    const headers = answerHeaders((controller.rawHeaders ?? []) as Buffer[])
    const framing = fieldOf(headers, 'content-length') ?? fieldOf(headers, 'transfer-encoding')
    return framing === undefined ? error : undefined
  }

  #attemptFailed(error: Error): void {
    const target = this.#target
    if (!this.#isDone && target !== undefined && this.#mayWaitAt(target, error)) return this.#waitForRoom(target)
    this.#release()
    if (this.#isDone || target === undefined) return
    const { code } = error as NodeJS.ErrnoException
    if (code === 'UND_ERR_INVALID_ARG' && !this.#wasSent) return this.#refuse(error)
    const isUntouched = this.#isReplayable && this.#carrier?.tookNothing === true
    const wasKept = this.#carrier?.wasKept === true
    const failure = { error, wasSent: this.#wasSent && !isUntouched, wasKept }
    const isBroken = this.#visit.res.headersSent
    if (isBroken) {
      this.#stopHolding()
      return this.fail(asCut(target, error))
    }
    if (this.#wasClosedBefore(failure)) return this.#sendApart(target, failure)
    noteFailed(this.#site, target, failure)
    this.tried.add(target)
    if (this.#mayGoOn(failure)) return this.#site.group.take(this)
    if (this.#mayLookAgain(failure)) return this.#lookAgain()
    if (this.#isLeftAlone(target, failure)) return this.#site.group.take(this)
    this.fail(asUpstreamError(this.#site.config.name, target, failure))
  }

  /** Whether there is no upstream but one that accepts no connection at the moment, and still time for it to. */
  #mayWaitAt(target: Target, error: Error): boolean {
    if (!isFull({ error, wasSent: this.#wasSent })) return false
    noteFull(this.#site, target)
    this.tried.add(target)
    if (this.#site.group.hasOther(this)) return false
    if (this.#fullLooks === 0) this.#fullAt = performance.now()
    return performance.now() - this.#fullAt < this.#site.config.limits.queueTimeoutMs
  }

  /** Its place there is kept, so that no more than may be there try. */
  #waitForRoom(target: Target): void {
    const again = (): void => {
      if (!this.#isDone && this.#site.group.targets.includes(target)) return this.run(target)
      this.#release()
      if (!this.#isDone) this.#site.group.take(this)
    }
    setTimeout(again, Math.min(LAST_LOOK_MS, FIRST_LOOK_MS * 2 ** this.#fullLooks++))
  }

  /** The program has probably just ended, or is about to, which is not known yet: then the next one gets the request. */
  #lookAgain(): void {
    const again = (): void => {
      if (!this.#isDone) this.#site.group.take(this)
    }
    setTimeout(again, FIRST_LOOK_MS * 2 ** this.#looks++)
  }

  /** Whether the program knows nothing of the request. */
  #mayLookAgain(failure: Failure): boolean {
    const { program } = this.#site
    if (program === undefined || this.#looks >= MAX_LOOKS) return false
    return !failure.wasSent || (this.#isRepeatable && wasUnread(failure) && program.startsAtOnce())
  }

  /** Whether the program runs, and listens no more, so that a fresh one is to come. */
  #isLeftAlone(target: Target, { error, wasSent }: Failure): boolean {
    const isRefused = !wasSent && (error as NodeJS.ErrnoException).code === 'ECONNREFUSED'
    return isRefused && this.#site.program?.isCutOff(target, 'it does not listen any more') === true
  }

  /** Whether the upstream may have closed a connection that it had kept, rather than failed with this request. */
  #wasClosedBefore(failure: Failure): boolean {
    if (failure.wasKept !== true || this.#isApart || !isEnded(failure)) return false
    return !failure.wasSent || this.#isRepeatable
  }

  /** The other connections that are kept may be closed as well. */
  #sendApart(target: Target, failure: Failure): void {
    this.#isApart = true
    const { group, program } = this.#site
    if (program === undefined || !failure.wasSent || wasUnread(failure)) return group.take(this)
    // It may be this very request that ended the program: then no other gets it.
    const look = (): void => {
      if (this.#isDone) return
      if (group.targets.includes(target)) group.take(this)
      else this.fail(asUpstreamError(this.#site.config.name, target, { ...failure, wasKept: false }))
    }
    setTimeout(look, END_KNOWN_MS)
  }

  get #isRepeatable(): boolean {
    return this.#held === undefined && SAFE_METHODS.has(this.#visit.req.method ?? '')
  }

  /** Whether all that is to be sent is there, whatever became of it before. */
  get #isReplayable(): boolean {
    return this.#held === undefined || this.#held.isWhole
  }

  /** Whether another upstream may be asked after this one failed. */
  #mayGoOn(failure: Failure): boolean {
    if (!failure.wasSent) return this.#site.group.hasOther(this)
    if (isTimeout(failure)) return false
    // It may be this very request that ended a program.
    return this.#site.program === undefined && this.#isRepeatable && this.#repeats++ < MAX_REPEATS
  }

  #inform(status: number, headers: string[]): void {
    if (++this.#informed > MAX_INFORMED)
      throw new AnswerInvalid(`the site sent ${MAX_INFORMED} answers with 1xx and went on`)
    const { req, res } = this.#visit
    // RFC 9110 §15.2: a client of HTTP/1.0 knows no 1xx.
    if (req.httpVersionMinor === 0 || res.headersSent) return
    try {
      writeInformational(res, { status, reason: '', headers })
    } catch {
      // What Node does not take of it is a hint less; the answer itself may still be good.
    }
  }

  #stopHolding(): void {
    if (!this.#isHolding) return
    this.#isHolding = false
    const first = this.#first
    this.#first = undefined
    const { res } = this.#visit
    if (res.destroyed) return
    if (first === undefined) res.flushHeaders()
    else if (this.#controller !== undefined) this.#write(first, this.#controller)
  }

  #write(chunk: Buffer, controller: Controller, memory?: ReadMemory): void {
    const { res } = this.#visit
    if (res.write(chunk, memory?.onWritten)) return
    if (this.#ahead === 0) res.once('drain', () => this.#caughtUp(controller))
    this.#ahead += chunk.byteLength
    this.#site.waiting.add(chunk.byteLength)
    const isFull = this.#ahead >= this.#site.proxy.bufferBytes || this.#site.waiting.isFull
    if (isFull && !controller.paused) controller.pause()
  }

  #caughtUp(controller: Controller): void {
    this.#forgetAhead()
    if (controller.paused) controller.resume()
  }

  #forgetAhead(): void {
    this.#site.waiting.add(-this.#ahead)
    this.#ahead = 0
  }

  /** What undici would send to no upstream. */
  #refuse(error: Error): void {
    this.fail(Object.assign(error, { statusCode: 400 }))
  }

  #tooLarge(): void {
    if (this.#isDone) return
    this.#isDone = true
    const { req, res } = this.#visit
    this.#controller?.abort(new Error('the request is too large'))
    if (res.headersSent) res.destroy()
    else sendError(req, res, { statusCode: 413, closes: true })
  }

  #closed(): void {
    this.#site.group.cancel(this)
    this.#forgetAhead()
    this.#site.waiting.add(-(this.#held?.bytes.byteLength ?? 0))
    if (this.#isDone) return
    this.#isDone = true
    this.#controller?.abort(new Error('the client is gone'))
  }

  #release(): void {
    const target = this.#target
    this.#target = undefined
    this.#attended.settle()
    if (target !== undefined) this.#site.group.release(this, target)
  }
}
