/**
 * Whether the ACME server can be asked at all: while it is gone, or says that it is asked too often, nobody asks.
 *
 * Invariant: failures of orders that had begun when the last one was noted are the same outage, and do not make it longer.
 */
import { outageOverAt } from './schedule.ts'
import type { Attempts } from './state-folder.ts'
import { NO_ATTEMPTS } from './state-folder.ts'

/** So many different orders refused for being too many, one after the other, and it is not about one site any more. */
const LIMITS_IN_A_ROW = 3

export class Outage {
  readonly #clock: { now(): number; random(): number }
  #attempts: Attempts = NO_ATTEMPTS
  #restsUntil = 0
  #limited = 0

  constructor(clock: { now(): number; random(): number }) {
    this.#clock = clock
  }

  /** To be written down. */
  get attempts(): Attempts {
    return this.#attempts
  }

  /** Whether the server answered last time. */
  get isOver(): boolean {
    return this.#attempts.failures === 0
  }

  /** Before that nothing is asked for, Unix time in ms; 0: now. */
  get restsUntil(): number {
    return this.#restsUntil
  }

  get reasons(): readonly string[] {
    return this.#attempts.reasons
  }

  /** Takes over what was written down. */
  restore(attempts: Attempts): void {
    this.#attempts = attempts
    this.#restsUntil = attempts.failures === 0 ? 0 : outageOverAt(attempts, this.#clock.random())
  }

  /** An order found nobody. @param startedAt when it began. @returns whether that is new */
  note(reasons: readonly string[], retryAfterMs: number, startedAt: number): boolean {
    const { failures, lastAt } = this.#attempts
    // In the same millisecond too: several begin at once, and a refused connection takes less.
    if (failures > 0 && startedAt <= lastAt) return false
    const now = this.#clock.now()
    const notBefore = retryAfterMs > 0 ? now + retryAfterMs : 0
    this.restore({ failures: failures + 1, lastAt: now, notBefore, reasons, names: [] })
    return true
  }

  /**
   * An order was answered.
   *
   * @param limitedUntil set where it was refused because there were too many, Unix time in ms
   * @returns whether `attempts` changed
   */
  answered(limitedUntil: number): boolean {
    this.#limited = limitedUntil > 0 ? this.#limited + 1 : 0
    if (this.#limited >= LIMITS_IN_A_ROW) {
      const reasons = ['the ACME server says to every order that there were too many']
      this.restore({ failures: 1, lastAt: this.#clock.now(), notBefore: limitedUntil, reasons, names: [] })
      return true
    }
    if (this.isOver) return false
    this.restore(NO_ATTEMPTS)
    return true
  }

  /** Somebody says that the server is back: one order may find out now, unless the server itself said when. */
  hasten(): void {
    const { notBefore } = this.#attempts
    this.#restsUntil = Math.min(this.#restsUntil, notBefore)
  }
}
