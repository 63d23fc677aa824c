/**
 * Finds sites that keep a thread busy without being asked to: timers that pile up, endless work cut into small pieces. No
 * turn of such a thread is long enough for it to be late (watch.ts), but everything else in it is slow for good.
 *
 * A thread that wants much of a processor is looked at every `EVERY_MS`. When two looks found the code of the same site at work for no
 * open request, its neighbours are told to go elsewhere; it is convicted when the looks mostly did so for as long as its `slow`, and
 * found no other's. Limits: of code that has no async context nobody
 * knows what it is for, so it counts only while the site has no request; a thread is looked at again after `PAUSE_MS` at the
 * earliest. Invariant: nothing of this runs while no thread is busy.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { ThreadLook } from '../core/worker-orders.ts'
import type { PoolSite } from './pool-site.ts'
import type { PoolThread } from './pool-thread.ts'
import type { Offence } from './quarantine.ts'
import { ownerOf } from './stack-owner.ts'

/** What this asks and tells. */
export interface BackgroundHandlers {
  /** What runs in a thread now; undefined when that cannot be told. */
  lookAt(thread: PoolThread): Promise<ThreadLook | undefined>
  /** Whether sites share the thread, and nothing explains that it is busy. */
  isSuspicious(thread: PoolThread): boolean
  /** The site works in the thread, and may go on. */
  onOften(thread: PoolThread, site: PoolSite): void
  offence(site: PoolSite, offence: Offence): void
}

/** Share of a processor from which a thread is looked at. */
const BUSY = 0.5
const EVERY_MS = 150
/** What was found once is soon found again, if it goes on. */
const AGAIN_MS = 40
/** So many looks that found the same may be an accident, but to be elsewhere does no neighbour any harm. */
const OFTEN_FOUND = 2
/** Fewer looks that found the same may be accidents, however long they took. */
const LEAST_FOUND = 4
/** More looks than found something may have found none: a neighbour with a request, or a thread that gets no processor just then. */
const MOST_MISSED = 2
/** For so long a thread is followed at most, and so long it is let alone then, in ms. */
const MOST_MS = 10_000
const PAUSE_MS = 3_000

/** How long a thread had wanted a processor when it was last seen: on a busy machine it gets less. */
interface Seen {
  wantedMs: number
  at: number
  /** From when on it may be looked at. */
  lookAt: number
}

export class BackgroundWork {
  readonly #handlers: BackgroundHandlers
  readonly #seen = new WeakMap<PoolThread, Seen>()

  constructor(handlers: BackgroundHandlers) {
    this.#handlers = handlers
  }

  /** To be called now and then, once threads were measured. @param now `performance.now()` */
  look(threads: Iterable<PoolThread>, now: number): void {
    for (const thread of threads) {
      const before = this.#seen.get(thread)
      const isBusy = before !== undefined && thread.wantedMs - before.wantedMs > (now - before.at) * BUSY
      const seen = { wantedMs: thread.wantedMs, at: now, lookAt: before?.lookAt ?? 0 }
      this.#seen.set(thread, seen)
      if (isBusy && now >= seen.lookAt && this.#handlers.isSuspicious(thread)) {
        seen.lookAt = Number.POSITIVE_INFINITY
        void this.#follow(thread).finally(() => this.#letAlone(thread))
      }
    }
  }

  #letAlone(thread: PoolThread): void {
    const seen = this.#seen.get(thread)
    if (seen !== undefined) seen.lookAt = performance.now() + PAUSE_MS
  }

  /** Looks until the site is found, or it turns out that there is none. */
  async #follow(thread: PoolThread): Promise<void> {
    const since = performance.now()
    let suspect: PoolSite | undefined
    let [found, missed] = [0, 0]
    for (
      let forMs = 0;
      forMs < MOST_MS && missed <= found + MOST_MISSED;
      forMs = Math.round(performance.now() - since)
    ) {
      if (!this.#handlers.isSuspicious(thread)) return
      if (suspect !== undefined && found >= LEAST_FOUND && forMs >= suspect.limits.slowMs) {
        return this.#handlers.offence(suspect, offence(forMs))
      }
      // One that is late is the watch's, until it comes round.
      if (thread.late === undefined) {
        const site = await this.#atWork(thread)
        if (site === undefined) missed++
        else if (site !== (suspect ?? site)) return
        else if (++found >= OFTEN_FOUND) this.#handlers.onOften(thread, site)
        suspect ??= site
      }
      await delay(found === 1 ? AGAIN_MS : EVERY_MS, undefined, { ref: false })
    }
  }

  /** The site whose code runs there without a request; undefined where nothing says so, or it may be for one. */
  async #atWork(thread: PoolThread): Promise<PoolSite | undefined> {
    const look = await this.#handlers.lookAt(thread)
    const site = look && ownerOf(look, thread)
    if (look === undefined || site === undefined || look.forRequest) return undefined
    // Without a context nobody knows what it is for.
    return look.generation === 0 && thread.isServing(site) ? undefined : site
  }
}

function offence(forMs: number): Offence {
  const text = `kept its thread busy for ${forMs} ms without a request`
  return { kind: 'blocked', text, severe: true, goesOn: true }
}
