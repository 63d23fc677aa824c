/**
 * Finds sites that keep their threads most of the time in turns that are too short to be an offence each (a page that takes
 * 60 ms to make): once is nothing, all the time it is what their neighbours wait for.
 *
 * What a thread is late for fills its bucket, which leaks. When it is full, the thread is looked at for a while, and the site
 * whose code was found at work most of the time is told of. Limit: turns below the lateness of the watch (40 ms) are not seen.
 * Invariant: a thread that is late for less than `ALLOWED` of the time is never looked at.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { ThreadLook } from '../core/worker-orders.ts'
import type { PoolSite } from './pool-site.ts'
import type { PoolThread } from './pool-thread.ts'
import { ownerOf } from './stack-owner.ts'

export interface ShortTurnsHandlers {
  /** What runs in a thread now; undefined when that cannot be told. */
  lookAt(thread: PoolThread): Promise<ThreadLook | undefined>
  /** The site keeps the thread most of the time. */
  onKept(thread: PoolThread, site: PoolSite): void
}

/** Share of the time for which a thread may be late in short turns. */
const ALLOWED = 0.15
/** From here on it is looked at, in ms. */
const FULL_MS = 700
/** How often, how long after each other in ms, and what share of those that found something has to have found the same. */
const LOOKS = 16
const EVERY_MS = 90
const MOST = 0.6
const LEAST_FOUND = 4

/** What leaks out as time passes. Pure: no clock. */
export class LeakyBucket {
  #ms = 0
  #at: number

  /** @param now any clock in ms, always the same */
  constructor(now: number) {
    this.#at = now
  }

  /** @returns whether it is full now */
  add(ms: number, now: number): boolean {
    this.#ms = Math.max(0, this.#ms - (now - this.#at) * ALLOWED) + ms
    this.#at = now
    return this.#ms >= FULL_MS
  }
}

export class ShortTurns {
  readonly #handlers: ShortTurnsHandlers
  readonly #buckets = new WeakMap<PoolThread, LeakyBucket>()
  readonly #followed = new WeakSet<PoolThread>()

  constructor(handlers: ShortTurnsHandlers) {
    this.#handlers = handlers
  }

  /** A thread was late for `forMs` of its own time, and is not any more. @param now any clock in ms, always the same */
  add(thread: PoolThread, forMs: number, now: number): void {
    if (this.#followed.has(thread)) return
    const bucket = this.#buckets.get(thread) ?? new LeakyBucket(now)
    this.#buckets.set(thread, bucket)
    if (!bucket.add(forMs, now)) return
    this.#buckets.delete(thread)
    this.#followed.add(thread)
    void this.#follow(thread).finally(() => this.#followed.delete(thread))
  }

  async #follow(thread: PoolThread): Promise<void> {
    const found = new Map<PoolSite, number>()
    let all = 0
    for (let turn = 0; turn < LOOKS; turn++) {
      const look = await this.#handlers.lookAt(thread)
      const site = look && ownerOf(look, thread)
      if (site !== undefined) {
        all++
        found.set(site, (found.get(site) ?? 0) + 1)
      }
      await delay(EVERY_MS, undefined, { ref: false })
    }
    for (const [site, times] of found) {
      if (times >= LEAST_FOUND && times >= all * MOST) this.#handlers.onKept(thread, site)
    }
  }
}
