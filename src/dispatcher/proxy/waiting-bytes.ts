/**
 * How much is kept here of what goes through all upstreams: bodies that were collected for them, and answers that wait for
 * clients slower than they.
 *
 * Limit: `MOST_BYTES`; while so much is kept, nothing more is collected, and an upstream gets on as fast as its client.
 * Invariant: what was added for a request is taken away again when it is over.
 */

const MOST_BYTES = 128 * 1024 * 1024

export class WaitingBytes {
  #bytes = 0

  get isFull(): boolean {
    return this.#bytes >= MOST_BYTES
  }

  /** @param bytes that are kept now too, or (below 0) no more */
  add(bytes: number): void {
    this.#bytes += bytes
  }
}
