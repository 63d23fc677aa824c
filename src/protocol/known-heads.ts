/**
 * The heads of answers that came lately: one that comes again is the same object, so that what its reader has worked out of it
 * need not be worked out again. Most answers of a site have one of few heads; to take one apart, check it and write it as
 * HTTP took 4 of the 22 µs that a request takes of the dispatcher (docs/architecture.md).
 *
 * A table without chains: a `Map` whose content changes with every request keeps what was in it (docs/architecture.md).
 * Limits: `SLOTS` heads of at most `MAX_TEXT` characters; of two that fall into one place the later one has it. Invariant: what is
 * given back is equal to what was asked for, whoever asked before.
 */
import type { ResponseHead } from './frames.ts'

/** A power of two. */
const SLOTS = 256
const MAX_TEXT = 2048

interface Known {
  status: number
  text: string
  head: ResponseHead
}

/** Takes a head apart. */
export type ReadHead = (status: number, text: string) => ResponseHead

export class KnownHeads {
  readonly #read: ReadHead
  readonly #slots = new Array<Known | undefined>(SLOTS).fill(undefined)

  constructor(read: ReadHead) {
    this.#read = read
  }

  /**
   * The head that these are, made by `read` where it is not known. Throws what that throws.
   *
   * @param status what the text alone does not say
   */
  head(status: number, text: string): ResponseHead {
    if (text.length > MAX_TEXT) return this.#read(status, text)
    const place = placeOf(status, text)
    const known = this.#slots[place]
    if (known !== undefined && known.status === status && known.text === text) return known.head
    const head = this.#read(status, text)
    this.#slots[place] = { status, text, head }
    return head
  }
}

/** By what heads differ in: their length, their status and letters at some places, of which the end is often a date's. */
function placeOf(status: number, text: string): number {
  const { length } = text
  let hash = length * 31 + status
  for (let at = length & 15; at < length; at += 16) hash = (hash * 33 + text.charCodeAt(at)) | 0
  return (hash ^ (hash >>> 8)) & (SLOTS - 1)
}
