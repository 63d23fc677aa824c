/**
 * One load after the other: a module is evaluated in one go, and several at once would keep the thread from its requests until
 * the last of them is done. A load that waits (for a database, say) keeps nobody, and the next one begins meanwhile.
 *
 * Invariant: every load is begun once, in the order in which they came.
 */
import { setTimeout as delay } from 'node:timers/promises'

/**
 * A load that does not keep the thread keeps others from beginning for so many steps, each in ms. A step takes as long as the
 * thread is kept in it, so that one that has just been evaluated comes to its end before the next one begins.
 */
const STEPS = 10
const STEP_MS = 50
/** Requests have as long between two loads as the first one took, but no longer than this, in ms: then a thread that was late is punctual. */
const MOST_PAUSE_MS = 60

export class LoadTurns {
  #last: Promise<void> | undefined
  /** Of the last load that is over. */
  #tookMs = 0

  /** Begins a load when it is its turn. @returns what comes of it */
  async run<T>(load: () => Promise<T>): Promise<T> {
    const before = this.#last
    const { promise: over, resolve: end } = Promise.withResolvers<void>()
    this.#last = over
    let beganAt = performance.now()
    try {
      if (before !== undefined) {
        await before
        await delay(Math.min(MOST_PAUSE_MS, this.#tookMs))
      }
      beganAt = performance.now()
      const loading = load()
      void turn().then(end)
      return await loading
    } finally {
      this.#tookMs = performance.now() - beganAt
      end()
      if (this.#last === over) this.#last = undefined
    }
  }
}

async function turn(): Promise<void> {
  for (let step = 0; step < STEPS; step++) await delay(STEP_MS)
}
