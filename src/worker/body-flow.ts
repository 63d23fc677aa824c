/**
 * One direction of a body each, with credit: `SendFlow` hands bytes to the dispatcher as far as it has room,
 * `ReceiveFlow` tells the dispatcher how much the site has taken.
 *
 * Limits: never more than `BODY_WINDOW_BYTES` are under way in either direction. Invariant: bytes leave in the order
 * they came, and a callback is called once all of its bytes have left, or with the error that ended the flow.
 */
import type { Channel } from '../protocol/channel.ts'
import { BODY_WINDOW_BYTES, MAX_CHUNK_BYTES } from '../protocol/frames.ts'

/** Credit is granted in portions, so that a stream of small chunks does not cost a frame each. */
const CREDIT_PORTION_BYTES = BODY_WINDOW_BYTES / 4
/** From this size on `FrameBatch` keeps a reference to a body instead of a copy. */
const BORROWED_BYTES = 8 * 1024
/**
 * From this size on what a site writes goes to the kernel at once and as it is: the write costs less than the copy, and the
 * collections of the heap that so many large copies cause.
 */
const DIRECT_BYTES = 32 * 1024

export type WriteCallback = (error?: Error | null) => void

/** Bytes on their way to the dispatcher. */
export class SendFlow {
  readonly #channel: Channel
  readonly #id: number
  /** Bytes that may leave before the dispatcher grants more. */
  #window = BODY_WINDOW_BYTES
  #held: Uint8Array | undefined
  #callback: WriteCallback | undefined
  #isDirect = false

  constructor(channel: Channel, id: number) {
    this.#channel = channel
    this.#id = id
  }

  /** Bytes that may leave now. */
  get window(): number {
    return this.#window
  }

  /** Whether bytes wait here for room. */
  get isHeld(): boolean {
    return this.#held !== undefined
  }

  /** Counts bytes that left in a frame of somebody else's making. */
  count(bytes: number): void {
    this.#window -= bytes
  }

  /**
   * Sends bytes, now or as room is granted. One call at a time: the next one after the callback.
   *
   * @param bytes the caller's again once the callback was called
   */
  send(bytes: Uint8Array, callback: WriteCallback): void {
    this.#isDirect = isDirect(bytes)
    const sent = this.#sendSome(bytes)
    if (sent === bytes.byteLength) return this.#left(callback)
    this.#held = bytes.subarray(sent)
    this.#callback = callback
  }

  /** The dispatcher has room for so many more bytes. */
  credit(bytes: number): void {
    this.#window += bytes
    if (this.#held === undefined) return
    const sent = this.#sendSome(this.#held)
    if (sent < this.#held.byteLength) {
      this.#held = this.#held.subarray(sent)
      return
    }
    this.#settle()
  }

  /** Sends nothing more; a callback that waits gets the error. */
  stop(error: Error): void {
    this.#window = 0
    if (this.#held !== undefined) this.#settle(error)
  }

  #sendSome(bytes: Uint8Array): number {
    let at = 0
    while (at < bytes.byteLength && this.#window > 0) {
      const end = Math.min(bytes.byteLength, at + MAX_CHUNK_BYTES, at + this.#window)
      const chunk = bytes.subarray(at, end)
      this.#channel.send({ type: 'body', id: this.#id, chunk: this.#isDirect ? chunk : ownBytes(chunk) })
      this.#window -= end - at
      at = end
    }
    return at
  }

  #settle(error?: Error): void {
    const callback = this.#callback
    this.#held = undefined
    this.#callback = undefined
    if (callback === undefined) return
    if (error === undefined) this.#left(callback)
    else callback(error)
  }

  /** All of it is on its way, or was copied. */
  #left(callback: WriteCallback): void {
    if (this.#isDirect) this.#channel.flush(callback)
    else callback()
  }
}

/** Whether bytes are sent as they are, so that they have to stay so until they were called back. */
export function isDirect(bytes: Uint8Array): boolean {
  return bytes.byteLength >= DIRECT_BYTES
}

/**
 * Bytes that stay as they are when the site writes to its buffer again. A site may do so once its write was called
 * back, which is before the kernel has taken a frame that was only queued.
 */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength < BORROWED_BYTES ? bytes : Buffer.from(bytes)
}

/** Bytes on their way to the site. */
export class ReceiveFlow {
  readonly #channel: Channel
  readonly #id: number
  #owed = 0

  constructor(channel: Channel, id: number) {
    this.#channel = channel
    this.#id = id
  }

  /** So many bytes have come. */
  received(bytes: number): void {
    this.#owed += bytes
  }

  /** What has come was taken, or soon will be: the dispatcher may send as much again. */
  grant(): void {
    if (this.#owed < CREDIT_PORTION_BYTES) return
    this.#channel.send({ type: 'credit', id: this.#id, bytes: this.#owed })
    this.#owed = 0
  }
}
