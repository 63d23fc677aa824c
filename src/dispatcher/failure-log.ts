/**
 * Log lines of requests that got no answer from their site. The first of a kind are written one by one; of a flood only
 * how many there were: a site that fails 5,000 times a second must not cost the others more than its answers do.
 *
 * Limit: `MAX_LINES` a site and kind of error in `WINDOW_MS`. Invariant: every failure is in a line or counted in one.
 */
import type { Log } from '../core/log.ts'

const MAX_LINES = 5
const WINDOW_MS = 1_000

/** What is said of a request in its line; an `Exchange` is one. */
export interface FailedRequest {
  readonly site: { readonly name: string }
  readonly head: { readonly method: string; readonly url: string }
}

export class FailureLog {
  readonly #log: Log
  /** Failures by site and code since the first of them, while that is not long ago. */
  readonly #counts = new Map<string, number>()

  constructor(log: Log) {
    this.#log = log
  }

  write({ site, head }: FailedRequest, error: Error): void {
    const { statusCode, code = error.name } = error as { statusCode?: number; code?: string }
    const kind = `${site.name} ${code}`
    const count = (this.#counts.get(kind) ?? 0) + 1
    this.#counts.set(kind, count)
    if (count === 1) setTimeout(() => this.#sum(kind, site.name, code), WINDOW_MS).unref()
    if (count > MAX_LINES) return
    const fields = { site: site.name, method: head.method, url: head.url, status: statusCode }
    this.#log.warn({ ...fields, reason: error.message }, 'request failed')
  }

  #sum(kind: string, site: string, code: string): void {
    const more = (this.#counts.get(kind) ?? 0) - MAX_LINES
    this.#counts.delete(kind)
    if (more > 0) this.#log.warn({ site, code, more }, 'more requests failed in the same second')
  }
}
