/**
 * How long to wait before a program that ended is started again: not at all the first time, if it had been up; then 1 s,
 * doubling to 3 min, until one has lived for a minute. Pure: no clock, no process.
 */
import { backOffMs } from '../../core/back-off.ts'

const FIRST_MS = 1_000
const LAST_MS = 180_000
const HEALTHY_MS = 60_000

export class RestartBrake {
  #quickEnds = 0

  /** @param wasUp whether it had come up, @param livedMs since its start. @returns the wait in ms */
  ended(wasUp: boolean, livedMs: number): number {
    if (wasUp && livedMs >= HEALTHY_MS) this.#quickEnds = 0
    this.#quickEnds++
    // One that was up may have been ended from outside, once.
    const free = wasUp ? 1 : 0
    if (this.#quickEnds <= free) return 0
    return backOffMs(this.#quickEnds - free, FIRST_MS, LAST_MS)
  }

  /** Whether one that is up, and ended now, would be started again at once. @param livedMs since its start */
  isFree(livedMs: number): boolean {
    return this.#quickEnds === 0 || livedMs >= HEALTHY_MS
  }

  /** It is another program now, or a person wants to see it run. */
  reset(): void {
    this.#quickEnds = 0
  }
}
