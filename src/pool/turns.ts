/**
 * Whose turn it is where several sites wait for one thread: each has as many, but for shares, and but for those that keep the
 * thread for long in theirs, who have the fewer. Pure. It is weighted fair queueing (by start tags, kept by site).
 *
 * Limit: what a turn costs is known only of sites that keep threads (watch.ts); of all others it counts as the same. To work
 * it out from samples of the threads, as advice/costs.ts does for hours, fails where it matters: sites that have as many turns
 * cannot be told apart. Invariant: whoever keeps waiting has a turn, whatever others cost.
 */

/** One that takes turns. */
export interface Taker {
  /** Part of the turns that it has when others wait too, 0 to 1; beyond that all are alike. */
  share: number
  /** Turns it had, weighted: who has the least is next. */
  turns: number
}

/** What shares leave to those without one, all together. */
const LEAST_REST = 0.02

/** The one that had the fewest turns for its weight. @param hungry at least one */
export function nextInTurn<T extends Taker>(hungry: ReadonlySet<T>): T {
  let next = hungry.values().next().value as T
  for (const taker of hungry) if (taker.turns < next.turns) next = taker
  return next
}

/** One whose turns are worth several usual ones. */
export interface Heavy<T> {
  taker: T
  /** How many, 1 or more. */
  weight: number
}

/**
 * It has had a turn. Each has its share, and all have the same part of what no share takes: a turn costs the less, the more one
 * may have. One that did not wait for long has saved up as much as the dearest turn and no more.
 *
 * @param hungry those that waited, `taker` among them
 */
export function countTurn<T extends Taker>(taker: T, hungry: ReadonlySet<T>, heavy: Heavy<T> | undefined): void {
  if (hungry.size === 1) return
  let [shares, leastShare, mostTurns] = [0, 1, 0]
  for (const one of hungry) {
    shares += one.share
    leastShare = Math.min(leastShare, one.share)
    mostTurns = Math.max(mostTurns, one.turns)
  }
  // Shares that come to all there is leave a little for those without one.
  const rest = Math.max(LEAST_REST, 1 - shares) / hungry.size
  const usual = (share: number): number => 1 / (hungry.size * (share + rest))
  const ofHeavy = heavy !== undefined && hungry.has(heavy.taker) ? heavy.weight * usual(heavy.taker.share) : 0
  const dearest = Math.max(usual(leastShare), ofHeavy)
  const price = heavy?.taker === taker ? ofHeavy : usual(taker.share)
  taker.turns = Math.max(taker.turns, mostTurns - dearest) + price
}
