/**
 * Keeps requests back until their body is here, so that a client that sends slowly holds a socket, and no place in a thread or at
 * an upstream: for the whole body, for its first bytes, or for some time, after which the request goes on as it is, known to
 * be slow.
 *
 * Limits: so many bytes a request as its site says, and `MOST_OF_ALL_BYTES` together; beyond either a request goes on at once.
 * What may not go on slowly waits here for its body, as long as its client's timeouts let it.
 * Invariant: a request that was taken goes on once, or its client is gone; its bytes stay in their order. Behind its answer nothing
 * of it stands in the way of the next request.
 */
import type { IncomingMessage } from 'node:http'
import { isContinue } from '../core/expectation.ts'
import { IdTable } from '../core/id-table.ts'
import { attempt } from './attempt.ts'
import type { FrontResponse } from './front-response.ts'

const MOST_OF_ALL_BYTES = 64 * 1024 * 1024
/** What a part of a body costs beside its bytes, and a request beside its parts. */
const PART_BYTES = 256
const REQUEST_BYTES = 4 * 1024
const LOOK_MS = 100

/** What came of a body while its request was kept back. */
export interface HeldBody {
  readonly bytes: Buffer
  readonly isWhole: boolean
  /** Whether its client is slow: its place in a thread can be lent from the beginning. */
  readonly isSlow: boolean
  /** Whether the client was told to go on, which is otherwise the site's to say. */
  readonly isContinued: boolean
}

/** A request as it is taken. */
export interface BodyVisit {
  req: IncomingMessage
  res: FrontResponse
  /** How long it is kept back for its body at the most, in ms; 0: not at all. */
  waitMs: number
  /** How much of its body is waited for. */
  mostBytes: number
  /** Whether it may go on although its client is slow. */
  mayBeSlow(): boolean
  onReady(body: HeldBody): void
}

interface Held extends BodyVisit {
  readonly id: number
  readonly parts: Buffer[]
  bytes: number
  /** Of memory, as it counts. */
  cost: number
  until: number
  isContinued: boolean
  onData: (part: Buffer) => void
  onEnd: () => void
  onClose: () => void
}

const NOTHING: HeldBody = { bytes: Buffer.alloc(0), isWhole: false, isSlow: false, isContinued: false }

export class HeldBodies {
  readonly #held = new IdTable<Held>()
  #lastId = 0
  #cost = 0
  #timer: NodeJS.Timeout | undefined

  /** Calls `onReady` now or later; never, where the client leaves before. */
  take(visit: BodyVisit): void {
    const { req, res, waitMs } = visit
    res.once('close', () => skipRest(req))
    if (waitMs === 0) return visit.onReady(NOTHING)
    const asks = asksToGoOn(req)
    // The site is to say whether it wants the body at all; but a few at a time.
    if (asks && visit.mayBeSlow()) return visit.onReady({ ...NOTHING, isSlow: true })
    // Before it is held: what may not be held is answered at once, perhaps.
    if (asks) res.writeContinue()
    this.#hold(visit, asks)
  }

  #hold(visit: BodyVisit, isContinued: boolean): void {
    this.#lastId = (this.#lastId + 1) >>> 0
    const held: Held = {
      ...visit,
      id: this.#lastId,
      parts: [],
      bytes: 0,
      cost: 0,
      until: performance.now() + visit.waitMs,
      isContinued,
      onData: (part) => this.#take(held, part),
      onEnd: () => this.#release(held, true, false),
      onClose: () => void this.#forget(held),
    }
    this.#held.set(held.id, held)
    visit.req.on('data', held.onData)
    visit.req.on('end', held.onEnd)
    visit.res.on('close', held.onClose)
    this.#timer ??= setInterval(() => this.#look(performance.now()), LOOK_MS).unref()
    this.#count(held, REQUEST_BYTES)
  }

  #take(held: Held, part: Buffer): void {
    held.parts.push(part)
    held.bytes += part.byteLength
    this.#count(held, part.byteLength + PART_BYTES)
  }

  #count(held: Held, cost: number): void {
    held.cost += cost
    this.#cost += cost
    if (held.cost >= held.mostBytes || this.#cost > MOST_OF_ALL_BYTES) this.#release(held, false, false)
  }

  #look(now: number): void {
    for (const held of this.#held.values()) if (now >= held.until && held.mayBeSlow()) this.#release(held, false, true)
    if (this.#held.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #release(held: Held, isWhole: boolean, isSlow: boolean): void {
    const { req, res, parts, bytes, isContinued } = held
    if (!this.#forget(held)) return
    if (!isWhole) req.pause()
    const [only, second] = parts
    const joined = only !== undefined && second === undefined ? only : Buffer.concat(parts, bytes)
    attempt(req, res, () => held.onReady({ bytes: joined, isWhole, isSlow, isContinued }))
  }

  /** @returns whether it was still kept back */
  #forget(held: Held): boolean {
    if (this.#held.delete(held.id) === undefined) return false
    this.#cost -= held.cost
    held.req.off('data', held.onData)
    held.req.off('end', held.onEnd)
    held.res.off('close', held.onClose)
    return true
  }
}

/** Whether a client waits to be told to go on with its body; HTTP/1.0 knows no such question (RFC 9110 §10.1.1). */
export function asksToGoOn({ headers, httpVersionMinor }: IncomingMessage): boolean {
  return httpVersionMinor > 0 && isContinue(headers.expect)
}

/**
 * Its answer is complete, or will never be: what is left of the body is read past, or the next request on its connection would
 * never be looked at. Node does that only where nobody has begun to read.
 */
function skipRest(req: IncomingMessage): void {
  if (!req.complete && !req.destroyed) req.resume()
}
