/**
 * How long to wait after failures in a row. Pure.
 */

/** Keeps the power within what a number holds. */
const MAX_DOUBLINGS = 30

/**
 * @param failures in a row, from 1
 * @param firstMs the wait after the first, in ms; each next one is twice as long, and none longer than `lastMs`
 */
export function backOffMs(failures: number, firstMs: number, lastMs: number): number {
  return Math.min(lastMs, firstMs * 2 ** Math.min(failures - 1, MAX_DOUBLINGS))
}
