/**
 * Finds out whose code a thread does not come back from, and has nothing of that site begun in threads that it shares meanwhile.
 *
 * Three things tell it, in this order: the mark on the thread's board, a look at what runs there, and that only one site has
 * anything to do there. Limit: code that makes no mark is looked for early only once in `EARLY_LOOK_EVERY_MS`. Invariant: a late
 * thread has one culprit at the most, the first that was found, until it is late no more.
 */
import type { Running } from '../core/thread-board.ts'
import type { Exchange } from './exchange.ts'
import type { PoolSite } from './pool-site.ts'
import type { Lateness, PoolThread } from './pool-thread.ts'
import { ownerOf } from './stack-owner.ts'
import type { ThreadQuestions } from './thread-questions.ts'
import type { WatchedPool } from './watch.ts'

/** A thread that is often still for a moment is looked at so early only this often. */
const EARLY_LOOK_EVERY_MS = 1_000

export class Culprits {
  readonly #pool: WatchedPool
  readonly #questions: ThreadQuestions

  constructor(pool: WatchedPool, questions: ThreadQuestions) {
    this.#pool = pool
    this.#questions = questions
  }

  /** What the thread's board says of the code that it is in. */
  marked(thread: PoolThread, { id, generation }: Running): void {
    const exchange = thread.link?.open.get(id)
    const site = exchange?.site ?? thread.siteOf(generation)
    if (site !== undefined) this.blame(thread, site, exchange)
  }

  /** Takes down whose code it is. @param exchange the request that it runs for, where that is known */
  blame(thread: PoolThread, site: PoolSite, exchange: Exchange | undefined): void {
    const { late, slot } = thread
    if (late === undefined || late.culprit !== undefined) return
    const { scheduler, workforce } = this.#pool
    late.culprit = site
    late.isLoad = thread.loading.has(site)
    late.exchange = exchange
    thread.blamed = site
    thread.wasFull = workforce.isFull(thread)
    // In its own process a site may keep as many threads as it likes.
    const isShared = site.lane.group === thread.group && !workforce.isOwn(thread)
    if (slot !== undefined && isShared && site.lane.heldBy === undefined) scheduler.hold(site.lane, slot)
  }

  /** Blames the only site that has a request there or is being loaded there, where neither mark nor stack says more. */
  blameOnly(thread: PoolThread): void {
    const exchanges = [...(thread.link?.open.values() ?? [])]
    const sites = new Set([...thread.loading, ...exchanges.map((exchange) => exchange.site)])
    const [only] = sites
    if (sites.size === 1 && only !== undefined) this.blame(thread, only, exchanges[0])
  }

  /** As `seek`, but not where the supervisor has not said yet what is marked: the next step asks then. */
  seekEarly(thread: PoolThread): void {
    const isRecent = performance.now() - thread.lookedAt < EARLY_LOOK_EVERY_MS
    if (thread.late?.askedAt !== 0 || isRecent || this.#pool.workforce.isFull(thread)) return
    this.seek(thread, thread.late)
  }

  /** Begins to ask, where nothing has told it; `late.whose` is settled once that is over. */
  seek(thread: PoolThread, late: Lateness): void {
    if (late.culprit === undefined) late.whose ??= this.ask(thread)
  }

  /** Finds the culprit by what runs in the thread. @returns the stack; undefined where it cannot be told */
  async ask(thread: PoolThread): Promise<string | undefined> {
    const { late } = thread
    thread.lookedAt = performance.now()
    const look = await this.#questions.look(thread)
    const site = look && ownerOf(look, thread)
    // It may have come round and be late again, because of another.
    if (site !== undefined && thread.late === late) this.blame(thread, site, undefined)
    return look?.stack
  }

  /** The thread is late no more: its culprit may go on, unless it keeps another. */
  release(thread: PoolThread, culprit: PoolSite): void {
    if (culprit.lane.heldBy !== thread.slot) return
    const other = [...this.#pool.workforce.threads.values()].find((one) => one.late?.culprit === culprit)
    if (other?.slot !== undefined) return this.#pool.scheduler.hold(culprit.lane, other.slot)
    this.#pool.scheduler.release(culprit.lane)
    this.#pool.drainSite(culprit)
  }
}
