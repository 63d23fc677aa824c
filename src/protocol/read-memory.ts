/**
 * The memory of one large read from a socket or a file, given back as soon as the last body in it has been passed on.
 *
 * Why: each read is 64 KiB outside of V8's heap, which knows of it and collects the whole heap for it. A download of 1 GB
 * through the dispatcher was 25 full collections, of up to 80 ms each, in which everybody waited (docs/performance.md).
 *
 * Limits: whoever does not say that it is done with a body leaves the memory to the garbage collector, with all that was read
 * with it. Invariant: nothing is given back while a part of it is held, or before all of the read is decoded.
 */

/** From this size of a read on it is worth the while. */
export const LARGE_READ_BYTES = 16 * 1024

export class ReadMemory {
  #buffer: ArrayBuffer | undefined
  /** Parts that are held, and the decoder. */
  #holders = 1

  /** @param bytes all that is in their buffer; nobody else has any of it */
  constructor(bytes: Uint8Array) {
    this.#buffer = bytes.buffer as ArrayBuffer
  }

  /** Somebody has a part of it from here on. */
  hold(): void {
    this.#holders++
  }

  /** As `hold`, for somebody who will not say when that is over. */
  keep(): void {
    this.#buffer = undefined
  }

  /** Who held a part, or decoded it, needs it no more: its bytes must not be looked at again. */
  release(): void {
    if (--this.#holders > 0) return
    // That is how memory outside of the heap is let go of at once.
    this.#buffer?.transfer(0)
    this.#buffer = undefined
  }

  /** For `write` to call when the kernel has a part: as `release`. After an error it may still be on its way there. */
  readonly onWritten = (error?: Error | null): void => {
    if (error === undefined || error === null) this.release()
  }
}
