/**
 * How many threads a group should have now: more when requests wait or every thread is busy, fewer after a calm time. Pure
 * policy: figures and times come in, a number goes out.
 *
 * Damping: after growth nothing shrinks for the calm time; a group that has to grow soon after it shrank waits twice as
 * long the next time, up to `MAX_CALM_MS`. Invariant: the answer is within the group's least and most.
 */

/** What a group did since the last look. */
export interface GroupLoad {
  /** Threads that are wanted now, and that take requests. */
  size: number
  ready: number
  least: number
  most: number
  /** Requests that wait for a thread of the group, and that no thread is late for. */
  waiting: number
  /** Sum of the shares of time in which its threads were busy. */
  busyThreads: number
  /** Whether memory allows one thread more. */
  mayGrow: boolean
}

/** Mean utilisation from which a thread is added; the same on which `vhostel advise` calls a pool too small. */
const BUSY_AT = 0.75
/** Mean utilisation that one thread fewer must not pass. */
const CALM_AT = 0.4
/** Looks in a row that have to agree before a thread is added. */
const GROW_AFTER = 2
const CALM_MS = 60_000
const MAX_CALM_MS = 3_600_000
/** To grow so soon after shrinking is flapping. */
const FLAP_MS = 300_000

export class Elastic {
  #pressure = 0
  #calmMs = CALM_MS
  #calmSince: number | undefined
  /** When it shrank last; undefined when it has grown since. */
  #shrankAt: number | undefined

  /** @param now any clock in ms, always the same. @returns the number of threads wanted from now on, and why */
  look(load: GroupLoad, now: number): { size: number; why: string } {
    const { size, ready, least, most, waiting, busyThreads } = load
    const utilisation = ready === 0 ? 0 : busyThreads / ready
    const isPressed = waiting > 0 || utilisation > BUSY_AT
    this.#pressure = isPressed ? this.#pressure + 1 : 0
    if (this.#pressure >= GROW_AFTER && size < most && ready >= size && load.mayGrow) {
      this.#grown(now)
      const why = waiting > 0 ? `${waiting} requests wait` : `its threads are busy ${percent(utilisation)} of the time`
      return { size: size + 1, why }
    }
    const isCalm = !isPressed && size > least && busyThreads / Math.max(1, size - 1) < CALM_AT
    if (!isCalm) this.#calmSince = undefined
    else this.#calmSince ??= now
    if (this.#calmSince === undefined || now - this.#calmSince < this.#calmMs) return { size, why: '' }
    this.#calmSince = now
    this.#shrankAt = now
    return { size: size - 1, why: `its threads are busy ${percent(utilisation)} of the time` }
  }

  #grown(now: number): void {
    this.#pressure = 0
    this.#calmSince = undefined
    // One mistake counts once, however many threads it takes to make up for it.
    if (this.#shrankAt === undefined) return
    this.#calmMs = now - this.#shrankAt < FLAP_MS ? Math.min(MAX_CALM_MS, this.#calmMs * 2) : CALM_MS
    this.#shrankAt = undefined
  }
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}
