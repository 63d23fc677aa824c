/**
 * How a body comes that a client sends: whether it has stopped, and whether it comes more slowly than is allowed, on average.
 *
 * Only time in which somebody waits for the next part counts; what nobody reads is not its client's fault. Pure: whoever looks says
 * what time it is, and how much has come.
 */

/** How long a body may take before its rate counts, in ms. */
const RATE_GRACE_MS = 20_000

export class BodyPace {
  /** Bytes when it was seen first, and last. */
  readonly #from: number
  #bytes: number
  /** When it was looked at last. */
  #at: number
  #awaitedMs = 0
  /** Since when no byte came that was waited for. */
  #cameAt: number

  /** @param bytes that came before @param now in ms, by any clock */
  constructor(bytes: number, now: number) {
    this.#from = bytes
    this.#bytes = bytes
    this.#at = now
    this.#cameAt = now
  }

  /** @param bytes that came so far @param isAwaited whether somebody waits for more */
  look(bytes: number, isAwaited: boolean, now: number): void {
    if (isAwaited) this.#awaitedMs += now - this.#at
    this.#at = now
    if (isAwaited && bytes === this.#bytes) return
    this.#bytes = bytes
    this.#cameAt = now
  }

  /** Whether nothing came for so long, in ms. */
  hasStopped(timeoutMs: number): boolean {
    return this.#at - this.#cameAt >= timeoutMs
  }

  /** Whether it is too slow. @param rate bytes in a second: each so many that came are a second more for the body; 0: never */
  isTooSlow(rate: number): boolean {
    return rate > 0 && this.#awaitedMs > RATE_GRACE_MS + ((this.#bytes - this.#from) / rate) * 1000
  }
}
