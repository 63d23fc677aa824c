/**
 * Decides when threads give back memory that they hold and do not need: once after each time of work, when nothing has come
 * for a while; this process as soon as all of them are calm, and it has no visitors of its own.
 *
 * Invariant: a thread that is told to has no open request, and is not told again before it was handed another or has loaded
 * another site. Limit: what comes while a heap is trimmed waits some 20 ms for it.
 */
import { performance } from 'node:perf_hooks'
import { trimHeap } from '../core/trim-heap.ts'
import type { PoolThread } from './pool-thread.ts'

/** How long nothing must have come, in ms; somewhat less than what passes between two looks at a pool without requests. */
const CALM_MS = 8_000
/** Share of the time that this process may have been busy meanwhile. */
const CALM_LOAD = 0.05

/** What was last seen of a thread, or of the whole. */
interface Seen {
  /** Requests and loads so far. */
  work: number
  /** Since when it is the same; `performance.now()`. */
  since: number
  isTrimmed: boolean
}

export class Trimming {
  readonly #threads = new WeakMap<PoolThread, Seen>()
  readonly #here = newlySeen(performance.now())
  #load = performance.eventLoopUtilization()

  /** To be called now and then, with all threads. */
  look(threads: Iterable<PoolThread>, now: number): void {
    let work = 0
    let open = 0
    const due: PoolThread[] = []
    for (const thread of threads) {
      const own = workOf(thread)
      work += own
      open += thread.link?.open.size ?? 0
      if (this.#isDue(thread, own, now)) due.push(thread)
    }
    for (const [process, its] of Map.groupBy(due, (thread) => thread.process)) {
      process.order({ type: 'trim', threads: its.map(({ id }) => id) })
    }
    const load = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(load, this.#load)
    this.#load = load
    const isBusy = open > 0 || utilization > CALM_LOAD
    if (becameCalm(this.#here, isBusy ? -1 : work, now)) void trimHeap()
  }

  #isDue(thread: PoolThread, work: number, now: number): boolean {
    const seen = this.#threads.get(thread) ?? newlySeen(now)
    this.#threads.set(thread, seen)
    const isBusy = thread.state !== 'ready' || thread.loading.size > 0 || thread.link?.open.size !== 0
    return becameCalm(seen, isBusy ? -1 : work, now)
  }
}

function newlySeen(now: number): Seen {
  return { work: -1, since: now, isTrimmed: false }
}

/** Only grows, but for a thread that has dropped a site. */
function workOf(thread: PoolThread): number {
  return thread.requests + thread.live.size + thread.stale.size
}

/** @param work -1 while there is some in progress @returns whether nothing has changed for long enough, once */
function becameCalm(seen: Seen, work: number, now: number): boolean {
  if (work !== seen.work || work === -1) {
    Object.assign(seen, { work, since: now, isTrimmed: false })
    return false
  }
  if (seen.isTrimmed || now - seen.since < CALM_MS) return false
  seen.isTrimmed = true
  return true
}
