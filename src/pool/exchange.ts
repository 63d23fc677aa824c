/**
 * One request on its way through the pool, from arrival to its last byte: what it is, how far it got, and who is told.
 * Holds no socket: the front listens, the thread link sends.
 *
 * Invariant: after `onFailure`, or after the last part of the answer, the listener hears nothing more. A request that
 * was started and may not be repeated is never sent a second time (`mayRunAgain`).
 */
import type { RecordedFlow } from '../core/pool-recorder.ts'
import type { RequestHead, ResponseHead } from '../protocol/frames.ts'
import { BODY_WINDOW_BYTES } from '../protocol/frames.ts'
import { REPEATABLE_METHODS, SAFE_METHODS } from '../protocol/methods.ts'
import type { ReadMemory } from '../protocol/read-memory.ts'
import { ownMemory } from '../protocol/read-memory.ts'
import type { PoolSite } from './pool-site.ts'
import type { PoolThread } from './pool-thread.ts'
import type { Slot } from './scheduler.ts'
import { lendPlace, reclaimPlace } from './scheduler.ts'
import type { ThreadLink } from './thread-link.ts'

/** The front's side of an exchange. Body bytes given to it are its to keep, or to give back with their memory. */
export interface ExchangeListener {
  /** The request is with a thread: its body is wanted now, by `sendBody` and `endBody`. */
  onBodyWanted(): void
  /** `sendBody` may go on after it returned false. */
  onDrain(): void
  onInformational(head: ResponseHead): void
  /** @param last whether the answer is complete with this */
  onResponse(head: ResponseHead, body: Uint8Array, last: boolean, memory?: ReadMemory): void
  onBody(chunk: Uint8Array, memory?: ReadMemory): void
  onEnd(trailers: string[]): void
  /** From here on `onBody` and `sendBody` carry bytes of the client's own connection. */
  onTunnel(): void
  onFailure(error: Error): void
}

/**
 * `waiting` in its site's queue; `sent` to a thread; `started` there; `answering` once the head of the answer came;
 * `tunnel`; `done` when nothing more follows.
 */
export type ExchangeState = 'waiting' | 'sent' | 'started' | 'answering' | 'tunnel' | 'done'

/** Times that a request is handed to a thread at the most: when its start was never heard of, and when it was. */
const MAX_RUNS = 3
const MAX_RUNS_STARTED = 2

let lastSerial = 0

export class Exchange {
  /** Counts up with each request, and starts again after 2^32. */
  readonly serial: number
  readonly site: PoolSite
  readonly head: RequestHead
  readonly hasBody: boolean
  readonly listener: ExchangeListener
  state: ExchangeState = 'waiting'
  /** Its place in the thread it is with. */
  slot: Slot<Exchange> | undefined
  /** The socket of that thread, and its number there. */
  link: ThreadLink | undefined
  id = 0
  /** Times it was handed to a thread. */
  runs = 0
  /** What the recorder knows it by, and when it was handed to a thread last. */
  flow: RecordedFlow | undefined
  startedAt = 0
  /** Its site was loaded in no thread when it came. */
  wasCold = false
  /** The thread that it was handed to last; also when it is over, for the access log. */
  thread: PoolThread | undefined
  queueTimer: NodeJS.Timeout | undefined
  /** `performance.now()` of the arrival. */
  readonly arrivedAt: number
  /** Bytes that may still be sent to the thread before it grants more. */
  #window = BODY_WINDOW_BYTES
  #wantsDrain = false
  /** Counted in `slot.unbegun`. */
  #isUnbegun = false
  #isLent = false
  /** What was sent of the body before the thread said that it started: needed again if it never does. */
  #unacknowledged: Uint8Array[] | undefined
  #bodyEnd: string[] | undefined

  constructor(site: PoolSite, head: RequestHead, hasBody: boolean, listener: ExchangeListener, now: number) {
    lastSerial = (lastSerial + 1) >>> 0
    this.serial = lastSerial
    this.site = site
    this.head = head
    this.hasBody = hasBody
    this.listener = listener
    this.arrivedAt = now
  }

  /**
   * Whether it can be given to another thread after the one that had it ended. `sent` means never started only for methods
   * whose start is acknowledged before it happens (worker/requests.ts); for the others the word may have been on its way,
   * so a request that ends whatever runs it must not go round for ever.
   */
  get mayRunAgain(): boolean {
    if (this.state === 'waiting') return true
    if (this.state === 'sent') return this.runs < MAX_RUNS
    return (
      this.state === 'started' && this.runs < MAX_RUNS_STARTED && !this.hasBody && SAFE_METHODS.has(this.head.method)
    )
  }

  /** Whether it is certain that no code of the site has run for it: the start of the others is told before it happens. */
  get neverStarted(): boolean {
    return this.state === 'waiting' || (this.state === 'sent' && !REPEATABLE_METHODS.has(this.head.method))
  }

  /** It is with this thread now. @returns whether the whole request went out with its head */
  assigned(link: ThreadLink, id: number): void {
    this.link = link
    this.id = id
    this.runs++
    this.state = 'sent'
    this.#isUnbegun = true
    if (!this.hasBody) return
    if (this.#unacknowledged === undefined) {
      this.#unacknowledged = []
      this.listener.onBodyWanted()
      return
    }
    for (const chunk of this.#unacknowledged) link.sendBody(id, chunk)
    if (this.#bodyEnd !== undefined) link.sendEnd(id, this.#bodyEnd)
  }

  /** Whether others may have its place in its thread, because it waits for nobody but its client. */
  get isLent(): boolean {
    return this.#isLent
  }

  /** Lends its place. @returns whether it had one to lend */
  lend(): boolean {
    if (this.slot === undefined || this.#isLent) return false
    this.#isLent = true
    lendPlace(this.site.lane, this.slot)
    return true
  }

  /** Its client has done its part: it counts again. */
  reclaim(): void {
    if (this.slot === undefined || !this.#isLent) return
    this.#isLent = false
    reclaimPlace(this.site.lane, this.slot)
  }

  /** Gives up its place in a thread. @returns that place */
  leaveSlot(): Slot<Exchange> | undefined {
    const { slot } = this
    this.reclaim()
    this.#begins()
    this.slot = undefined
    return slot
  }

  /** It was taken away from its thread before it began: that does not count as a run. */
  revoked(): void {
    this.runs--
    this.takenBack()
  }

  /** Takes it from its thread, back to waiting; the body stays at hand. */
  takenBack(): void {
    this.link = undefined
    this.id = 0
    this.state = 'waiting'
  }

  acknowledged(): void {
    if (this.state !== 'sent') return
    this.state = 'started'
    this.#unacknowledged = undefined
    this.#begins()
  }

  #begins(): void {
    if (!this.#isUnbegun) return
    this.#isUnbegun = false
    if (this.slot !== undefined) this.slot.unbegun--
  }

  /**
   * Sends a part of the request's body, or of a tunnel.
   *
   * @param isOwn whether nobody else has the chunk: its memory is given back when it was sent
   * @returns false when the window is used up: send no more until `onDrain`
   */
  sendBody(chunk: Uint8Array, isOwn = false): boolean {
    // The answer was complete before the body was: the rest is read from the client and dropped.
    if (this.state === 'done') return true
    this.#window -= chunk.byteLength
    const isKept = this.state === 'sent' || this.state === 'waiting'
    if (isKept) this.#unacknowledged?.push(chunk)
    this.link?.sendBody(this.id, chunk, isOwn && !isKept ? ownMemory(chunk) : undefined)
    this.#wantsDrain = this.#window <= 0
    return !this.#wantsDrain
  }

  endBody(trailers: string[]): void {
    if (this.state === 'done') return
    this.#bodyEnd = trailers
    this.link?.sendEnd(this.id, trailers)
  }

  /** The thread has consumed so many bytes of the body. */
  credited(bytes: number): void {
    this.#window += bytes
    if (!this.#wantsDrain || this.#window <= 0) return
    this.#wantsDrain = false
    this.listener.onDrain()
  }

  /** The client has taken so many bytes of the answer. */
  consumed(bytes: number): void {
    if (this.state !== 'done') this.link?.sendCredit(this.id, bytes)
  }
}
