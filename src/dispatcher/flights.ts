/**
 * Requests for the same thing that is not stored: one goes to the site, the others wait for what it brings.
 *
 * Limits: nobody waits longer than `WAIT_MS`, nor more than `MAX_WAITING` for one answer. Invariant: whoever waits is called
 * once, or has left.
 */
import { LRUCache } from 'lru-cache'

const WAIT_MS = 10_000
const MAX_WAITING = 10_000
/** How long nobody waits for an answer that turned out not to be storable. */
const PASS_MS = 60_000
const MAX_PASSED = 10_000
/** Characters of their keys together: a client may make one as long as the head of a request. */
const MAX_PASSED_LENGTH = 1024 * 1024

/** One request that is on its way to the site. */
export interface Flight {
  /** It has brought what it could bring, or failed. */
  land(): void
}

interface Waiting {
  readonly callers: Set<() => void>
  readonly late: NodeJS.Timeout
}

/** What is on its way for one site. */
export class Flights {
  readonly #open = new Map<string, Waiting>()
  readonly #passed = new LRUCache<string, true>({
    max: MAX_PASSED,
    maxSize: MAX_PASSED_LENGTH,
    sizeCalculation: (_, key) => key.length,
    ttl: PASS_MS,
  })

  /** Whether the answers of late could not be stored, so that there is nothing to wait for. */
  isPassed(key: string): boolean {
    return this.#passed.has(key)
  }

  /** For the next seconds each request for it goes to the site by itself. */
  pass(key: string): void {
    this.#passed.set(key, true)
  }

  /** An answer was stored: the next ones may be waited for again. */
  unpass(key: string): void {
    this.#passed.delete(key)
  }

  isOpen(key: string): boolean {
    return this.#open.has(key)
  }

  start(key: string): Flight {
    const waiting: Waiting = {
      callers: new Set(),
      late: setTimeout(() => {
        // What takes so long is not worth to be waited for by the next ones.
        this.pass(key)
        this.#land(key, waiting)
      }, WAIT_MS).unref(),
    }
    this.#open.set(key, waiting)
    return { land: () => this.#land(key, waiting) }
  }

  /**
   * Waits for a flight that is open.
   *
   * @returns how to leave; undefined where too many wait already
   */
  wait(key: string, onLanded: () => void): (() => void) | undefined {
    const waiting = this.#open.get(key)
    if (waiting === undefined || waiting.callers.size >= MAX_WAITING) return undefined
    waiting.callers.add(onLanded)
    return () => void waiting.callers.delete(onLanded)
  }

  #land(key: string, waiting: Waiting): void {
    clearTimeout(waiting.late)
    if (this.#open.get(key) === waiting) this.#open.delete(key)
    for (const caller of waiting.callers) {
      waiting.callers.delete(caller)
      caller()
    }
  }
}
