/**
 * Sites that are a fetch handler: `export default { fetch(request, env, ctx) }`, a default function of one `Request`,
 * Hono and the like.
 */
import { reportCrash } from './crash.ts'
import type { Exchange, RequestFrame, Wire } from './exchange.ts'
import { FetchExchange } from './fetch-exchange.ts'
import type { FetchFunction, FoundShape } from './module-shape.ts'
import type { Site, SiteApp } from './site.ts'

/** The third argument of a fetch handler. */
export interface FetchContext {
  /** Keeps a promise in view after the answer: closing waits for it, and what it throws is logged. */
  waitUntil(promise: unknown): void
  passThroughOnException(): void
  /** The client's address. */
  readonly remoteAddress: string
}

export class FetchApp implements SiteApp {
  readonly shape = 'fetch'
  readonly #site: Site
  readonly #fetch: FetchFunction
  readonly #owner: object | undefined
  readonly #waiting = new Set<Promise<unknown>>()

  constructor(site: Site, found: Extract<FoundShape, { kind: 'fetch' }>) {
    this.#site = site
    this.#fetch = found.fetch
    this.#owner = found.owner
  }

  open(site: Site, wire: Wire, frame: RequestFrame): Exchange {
    return new FetchExchange(site, this.#handle, wire, frame)
  }

  async close(): Promise<void> {
    // Requests that are under way may ask for more, and so may what was waited for.
    await new Promise<void>((resolve) => this.#site.whenIdle(resolve))
    while (this.#waiting.size > 0) await Promise.allSettled(this.#waiting)
  }

  #handle = (request: Request, remoteAddress: string): unknown => {
    const context: FetchContext = { waitUntil: this.#waitUntil, passThroughOnException: doNothing, remoteAddress }
    return this.#fetch.call(this.#owner, request, this.#site.env, context)
  }

  #waitUntil = (promise: unknown): void => {
    const waiting: Promise<unknown> = Promise.resolve(promise)
      .catch((error: unknown) => reportCrash({ site: this.#site }, error))
      .finally(() => this.#waiting.delete(waiting))
    this.#waiting.add(waiting)
  }
}

/** Means something on a platform with another origin behind it. */
function doNothing(): void {}
