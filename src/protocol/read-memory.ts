/**
 * The memory of one large read from a socket or a file, given back as soon as the last body in it has been passed on.
 *
 * Why: each read is 64 KiB outside of V8's heap, which knows of it and collects the whole heap for it. A download of 1 GB
 * through the dispatcher was 25 full collections, of up to 80 ms each, in which everybody waited (docs/performance.md).
 *
 * Limits: whoever does not say that it is done with a body leaves the memory to the garbage collector, with all that was read
 * with it. Invariant: nothing is given back while a part of it is held, or before all of the read is decoded.
 */

import { isMarkedAsUntransferable } from 'node:worker_threads'

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

/**
 * The memory of a part that is the whole of its buffer, so that nobody can have another part of it: of what Node's parser or
 * a socket hands over once. Whoever asks is the only one who has the part.
 *
 * @returns undefined where it is not worth the while, or somebody may have something else in that buffer
 */
export function ownMemory(part: Uint8Array): ReadMemory | undefined {
  return part.byteLength === part.buffer.byteLength ? readMemory(part) : undefined
}

/**
 * The memory of a read that a part is of.
 *
 * @returns undefined where it is not worth the while, or is Node's pool, of which anybody may have a part
 */
export function readMemory({ buffer }: Uint8Array): ReadMemory | undefined {
  if (buffer.byteLength < LARGE_READ_BYTES || isMarkedAsUntransferable(buffer)) return undefined
  return new ReadMemory(new Uint8Array(buffer))
}
