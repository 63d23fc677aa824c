/**
 * Makes one call of many: waits until it has been quiet for a moment, but not for ever while it does not get quiet.
 */

export interface SettleLimits {
  /** How long nothing must happen. */
  quietMs: number
  /** Longest wait after the first event. */
  maxMs: number
}

/** An editor's save is three or four events within a few ms; a `git checkout` keeps on for longer. */
export const SETTLE_LIMITS: SettleLimits = { quietMs: 100, maxMs: 1000 }

export interface Settler {
  /** Something happened. */
  touch(): void
  /** Ends all waiting; nothing is called any more. */
  close(): void
}

/** @param settled called once it has been quiet, or the longest wait is over */
export function createSettler(settled: () => void, limits: SettleLimits = SETTLE_LIMITS): Settler {
  let timer: NodeJS.Timeout | undefined
  let firstAt = 0
  let isClosed = false
  const fire = () => {
    timer = undefined
    settled()
  }
  return {
    touch() {
      if (isClosed) return
      const now = performance.now()
      if (timer === undefined) firstAt = now
      clearTimeout(timer)
      // Rounded up: a timer drops fractions of a millisecond, and would fire before the longest wait is over.
      timer = setTimeout(fire, Math.max(0, Math.min(limits.quietMs, Math.ceil(firstAt + limits.maxMs - now))))
    },
    close() {
      isClosed = true
      clearTimeout(timer)
    },
  }
}
