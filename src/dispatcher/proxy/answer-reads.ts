/**
 * The memory of what is read of one upstream's answer (protocol/read-memory.ts). undici hands over parts of its reads and does
 * not say when it is done with one: it is when a part of another read comes, because it parses one read after the other,
 * and what it puts back when it is paused it reads again first, or copies.
 *
 * Invariant: only a read that is the body of this answer from its first byte to its last is given back: not the first one, which
 * may have the head in it, and the end of an answer before that; not the last, which may have trailers in it.
 */
import type { ReadMemory } from '../../protocol/read-memory.ts'
import { readMemory } from '../../protocol/read-memory.ts'

export class AnswerReads {
  #buffer: ArrayBufferLike | undefined
  #memory: ReadMemory | undefined

  /**
   * To be asked once for each part, in order.
   *
   * @returns held for this part, until it is released by who has passed it on; undefined where that is left to the garbage
   *   collector
   */
  memoryOf(part: Uint8Array): ReadMemory | undefined {
    const { buffer } = part
    if (buffer !== this.#buffer) {
      const isFirst = this.#buffer === undefined
      this.#memory?.release()
      this.#memory = isFirst ? undefined : readMemory(part)
      this.#buffer = buffer
    }
    this.#memory?.hold()
    return this.#memory
  }
}
