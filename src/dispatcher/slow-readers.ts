/**
 * Clients that do not take their answers: such a one must not keep its place in a thread from others, nor, together with
 * many like it, the thread's memory. After `YIELD_MS` its place is given away; of more than `MAX_SLOW` the one that took
 * nothing for longest is cut off.
 *
 * Invariant: in here are exactly the answers whose client has bytes to take, in the order in which they began to wait.
 */
import type { Exchange } from '../pool/exchange.ts'
import type { FrontResponse } from './front-response.ts'

const YIELD_MS = 1_000
const MAX_SLOW = 256

interface SlowReader {
  res: FrontResponse
  since: number
}

export class SlowReaders {
  readonly #readers = new Map<Exchange, SlowReader>()
  readonly #yieldPlace: (exchange: Exchange) => void
  #timer: NodeJS.Timeout | undefined

  /** @param yieldPlace gives the place of an exchange to others; may be called more than once */
  constructor(yieldPlace: (exchange: Exchange) => void) {
    this.#yieldPlace = yieldPlace
  }

  /** The client of this answer has bytes to take from now on. */
  add(exchange: Exchange, res: FrontResponse): void {
    this.#readers.set(exchange, { res, since: performance.now() })
    this.#timer ??= setInterval(() => this.#look(performance.now()), YIELD_MS).unref()
    if (this.#readers.size <= MAX_SLOW) return
    const [oldest, { res: held }] = this.#readers.entries().next().value as [Exchange, SlowReader]
    this.#readers.delete(oldest)
    // Of an answer that the site has done with, no more than a window is left.
    if (oldest.state === 'answering') held.destroy()
  }

  /** It has taken them, or is gone. */
  delete(exchange: Exchange): void {
    this.#readers.delete(exchange)
  }

  #look(now: number): void {
    for (const [exchange, { since }] of this.#readers) {
      if (now - since < YIELD_MS) return
      this.#yieldPlace(exchange)
    }
    if (this.#readers.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
