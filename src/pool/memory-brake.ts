/**
 * How often a group's threads are replaced for their memory. A site that needs more than `thread_memory` has as much again as soon
 * as it is loaded: its thread would be replaced every few seconds for good, and what it keeps in memory lost each time. Pure: no clock.
 *
 * Each thread that was full soon after its start doubles the time until the next; one that took long releases the brake.
 * Limit: what takes `MORE` times as much is replaced all the same, for that may be a quick leak. Invariant: the first two are
 * never braked.
 */
import { backOffMs } from '../core/back-off.ts'

/** A thread that was full before this age was not filled by a slow leak, in ms. */
const YOUNG_MS = 120_000
const FIRST_MS = 10_000
const LAST_MS = 600_000
/** Beyond so many times its limit no brake helps. A thread that does not come round is ended there, too. */
const MORE = 2

export class MemoryBrake {
  #inARow = 0
  #until = 0

  /**
   * A thread of this age is replaced for its memory. @param now any clock in ms, always the same
   *
   * @returns for how long the next is let alone, in ms; 0 while it is not
   */
  replaced(ageMs: number, now: number): number {
    this.#inARow = ageMs < YOUNG_MS ? this.#inARow + 1 : 1
    const waitMs = this.#inARow < 2 ? 0 : backOffMs(this.#inARow - 1, FIRST_MS, LAST_MS)
    this.#until = now + waitMs
    return waitMs
  }

  /** From how many bytes on a thread is replaced now. @param bytes `thread_memory` */
  limit(bytes: number, now: number): number {
    return now < this.#until ? bytes * MORE : bytes
  }
}
