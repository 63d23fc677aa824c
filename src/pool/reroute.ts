/**
 * Takes requests from one thread to another: those that a late thread has not begun, and those that it has begun and that
 * may be begun again. Loads sites elsewhere whose only thread is kept.
 *
 * Invariant: an exchange that comes here has left its thread for good (`takeBack`, `abort`, or the thread is gone), so it is
 * never with two threads.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Exchange } from './exchange.ts'
import type { PoolSite } from './pool-site.ts'
import type { PoolThread } from './pool-thread.ts'
import type { Offence } from './quarantine.ts'
import type { Scheduler, Slot } from './scheduler.ts'
import type { WatchedPool } from './watch.ts'
import type { Workforce } from './workforce.ts'

/** How often it is seen whether sites that are loaded elsewhere are there. */
const LOOK_EVERY_MS = 10

/** What the pool does for it. */
export interface RerouteHandlers {
  /** Hands free places of a thread to those who wait. */
  drain(slot: Slot<Exchange>): void
  /** Gives a site that waits and has no thread one. */
  seekThread(site: PoolSite): void
  loadInto(site: PoolSite, slot: Slot<Exchange>): void
  /** Begins to count the time that it waits for a thread. */
  waits(exchange: Exchange): void
  onOffence(site: PoolSite, offence: Offence): void
  /** A site's code kept a thread for so long. */
  onBlocked(site: PoolSite, forMs: number): void
  /** It was taken back from its thread. */
  onReturned(exchange: Exchange, thread: PoolThread | undefined): void
  /** Its site is there no more: nothing will run it. */
  gone(exchange: Exchange): void
}

export class Reroute implements WatchedPool {
  readonly scheduler: Scheduler<Exchange>
  readonly workforce: Workforce
  readonly #handlers: RerouteHandlers

  constructor(scheduler: Scheduler<Exchange>, workforce: Workforce, handlers: RerouteHandlers) {
    this.scheduler = scheduler
    this.workforce = workforce
    this.#handlers = handlers
  }

  /** Requests that came back from a thread wait again, in front of all others, for any thread of their site. */
  returned(exchanges: Exchange[]): void {
    const bySite = Map.groupBy(exchanges, (exchange) => exchange.site)
    for (const [site, returned] of bySite) {
      for (const exchange of returned) {
        const slot = exchange.leaveSlot()
        if (slot === undefined) continue
        this.#handlers.onReturned(exchange, this.workforce.threads.get(slot.thread))
        this.scheduler.unassign(site.lane, slot)
        exchange.revoked()
      }
      if (site.removed) {
        for (const exchange of returned) this.#handlers.gone(exchange)
        continue
      }
      this.scheduler.putBack(site.lane, returned)
      for (const exchange of returned) this.#handlers.waits(exchange)
      this.drainSite(site)
    }
  }

  moveStarted(thread: PoolThread, except: PoolSite | undefined): void {
    const moved: Exchange[] = []
    for (const exchange of [...(thread.link?.open.values() ?? [])]) {
      const { site, state, mayRunAgain } = exchange
      // The code of a site that was taken away is nowhere else.
      if (state !== 'started' || site === except || site.removed || !mayRunAgain) continue
      thread.link?.abort(exchange, 'its thread is kept by another site')
      const slot = exchange.leaveSlot()
      if (slot !== undefined) this.scheduler.unassign(site.lane, slot)
      this.#handlers.onReturned(exchange, thread)
      exchange.takenBack()
      moved.push(exchange)
    }
    this.returned(moved)
  }

  seekElsewhere(thread: PoolThread): void {
    for (const site of thread.sites()) {
      const isWaiting = site.lane.waiting.size > 0 && this.scheduler.needsThread(site.lane)
      const slot = isWaiting ? this.scheduler.loadTarget(site.lane) : undefined
      if (slot !== undefined) this.#handlers.loadInto(site, slot)
    }
  }

  async loadElsewhere(threads: readonly PoolThread[], graceMs: number): Promise<void> {
    const slots = new Set(threads.map(({ slot }) => slot))
    const isOut = (slot: Slot<Exchange>): boolean => slots.has(slot)
    const sites = new Set(threads.flatMap((thread) => [...thread.sites()]))
    const deadline = performance.now() + graceMs
    for (;;) {
      const left = [...sites].filter(({ lane }) => lane.warm.size > 0 && [...lane.warm].every(isOut))
      for (const site of left) {
        const slot = this.scheduler.loadTarget(site.lane, isOut)
        if (slot !== undefined) this.#handlers.loadInto(site, slot)
      }
      if (!left.some(({ lane }) => lane.loading !== undefined) || performance.now() > deadline) return
      await delay(LOOK_EVERY_MS, undefined, { ref: false })
    }
  }

  drain(thread: PoolThread): void {
    if (thread.slot !== undefined) this.#handlers.drain(thread.slot)
  }

  drainSite(site: PoolSite): void {
    for (const slot of site.lane.warm) this.#handlers.drain(slot)
    this.#handlers.seekThread(site)
  }

  blocked(site: PoolSite, forMs: number): void {
    this.#handlers.onBlocked(site, forMs)
  }

  offence(site: PoolSite, offence: Offence): void {
    this.#handlers.onOffence(site, offence)
  }
}
