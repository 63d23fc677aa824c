/**
 * Finds sites that keep their threads most of the time in turns that are too short to be an offence each (a page that takes
 * 60 ms to make): once is nothing, all the time it is what their neighbours wait for.
 *
 * What a site is known to make its threads late for fills its bucket, which leaks. From `OFTEN_MS` on its neighbours are told to
 * go elsewhere; when the bucket is full, the site is told of. Where it is not known whose code it was, the bucket is that of the
 * thread: when that is full, the thread is looked at for a while, and the site is told of whose code was found at work most of
 * the time. Limit: turns below the lateness of the watch (40 ms) are not seen. Invariant: whoever makes threads late for less
 * than `ALLOWED` of the time is never told of.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { ThreadLook } from '../core/worker-orders.ts'
import type { PoolSite } from './pool-site.ts'
import type { PoolThread } from './pool-thread.ts'
import { ownerOf } from './stack-owner.ts'

export interface ShortTurnsHandlers {
  /** What runs in a thread now; undefined when that cannot be told. */
  lookAt(thread: PoolThread): Promise<ThreadLook | undefined>
  /** The site kept the thread several times in short succession. @param forMs the last time */
  onOften(thread: PoolThread, site: PoolSite, forMs: number): void
  /** The site keeps the thread most of the time. */
  onKept(thread: PoolThread, site: PoolSite): void
}

/** Share of the time for which a thread may be late in short turns, or a site may make its threads late. */
const ALLOWED = 0.15
/** From here on a site's neighbours are better off elsewhere, in ms: two or three turns in a row. */
const OFTEN_MS = 120
/** From here on a thread is looked at, in ms; a site, of which it is known, has had two seconds. */
const FULL_MS = 700
const FULL_OF_SITE_MS = 1_500
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

  /** @returns what is in it now, in ms */
  add(ms: number, now: number): number {
    this.#ms = Math.max(0, this.#ms - (now - this.#at) * ALLOWED) + ms
    this.#at = now
    return this.#ms
  }
}

export class ShortTurns {
  readonly #handlers: ShortTurnsHandlers
  readonly #buckets = new WeakMap<PoolThread, LeakyBucket>()
  readonly #ofSites = new WeakMap<PoolSite, LeakyBucket>()
  readonly #followed = new WeakSet<PoolThread>()

  constructor(handlers: ShortTurnsHandlers) {
    this.#handlers = handlers
  }

  /**
   * A thread was late for `forMs` of its own time, and is not any more.
   *
   * @param culprit whose code it was, where that is known
   * @param now any clock in ms, always the same
   */
  add(thread: PoolThread, culprit: PoolSite | undefined, forMs: number, now: number): void {
    const bucket = this.#buckets.get(thread) ?? new LeakyBucket(now)
    this.#buckets.set(thread, bucket)
    const ms = bucket.add(forMs, now)
    if (culprit !== undefined) return this.#addTo(culprit, thread, forMs, now)
    if (ms < FULL_MS || this.#followed.has(thread)) return
    this.#buckets.delete(thread)
    this.#followed.add(thread)
    void this.#follow(thread, forMs).finally(() => this.#followed.delete(thread))
  }

  #addTo(site: PoolSite, thread: PoolThread, forMs: number, now: number): void {
    const bucket = this.#ofSites.get(site) ?? new LeakyBucket(now)
    this.#ofSites.set(site, bucket)
    const ms = bucket.add(forMs, now)
    if (ms >= OFTEN_MS) this.#handlers.onOften(thread, site, forMs)
    if (ms < FULL_OF_SITE_MS) return
    this.#ofSites.delete(site)
    this.#handlers.onKept(thread, site)
  }

  async #follow(thread: PoolThread, forMs: number): Promise<void> {
    const found = new Map<PoolSite, number>()
    let all = 0
    for (let turn = 0; turn < LOOKS; turn++) {
      const look = await this.#handlers.lookAt(thread)
      const site = look && ownerOf(look, thread)
      if (site !== undefined) {
        all++
        const times = (found.get(site) ?? 0) + 1
        found.set(site, times)
        if (times === LEAST_FOUND && times === all) this.#handlers.onOften(thread, site, forMs)
      }
      await delay(EVERY_MS, undefined, { ref: false })
    }
    for (const [site, times] of found) {
      if (times >= LEAST_FOUND && times >= all * MOST) this.#handlers.onKept(thread, site)
    }
  }
}
