/**
 * How much of the answers of all upstreams waits for clients that are slower than they.
 *
 * Limit: `MOST_BYTES`; while so much waits, an upstream gets on as fast as its client. Invariant: what was added for an answer is
 * taken away again when its client has it, or is gone.
 */

const MOST_BYTES = 64 * 1024 * 1024

export class AnswerBuffers {
  #bytes = 0

  /** Whether no more is to be taken from upstreams before clients have taken what there is. */
  get isFull(): boolean {
    return this.#bytes >= MOST_BYTES
  }

  /** @param bytes that wait now too, or (below 0) no more */
  add(bytes: number): void {
    this.#bytes += bytes
  }
}
