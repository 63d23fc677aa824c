/**
 * The head of an answer that may be sent many times, with what was worked out of it.
 *
 * Invariant: its fields never change.
 */
import type { ServerResponse } from '../core/node-http.ts'
import type { WrittenHead } from '../core/written-head.ts'
import { writtenHead } from '../core/written-head.ts'
import { fieldOf, lastFieldOf } from './header-fields.ts'

export class RepeatedHead {
  readonly status: number
  /** Undefined for the usual one. */
  readonly reason: string | undefined
  /** Name, value, name, value, … */
  readonly headers: readonly string[]
  /** As it was sent the last time, where it may be sent so again. */
  written: WrittenHead | undefined
  #cacheStatus: string | undefined
  #wasSent = false

  constructor(status: number, reason: string | undefined, headers: readonly string[]) {
    this.status = status
    this.reason = reason
    this.headers = headers
  }

  /** RFC 9211; '' where it has none. */
  get cacheStatus(): string {
    this.#cacheStatus ??= lastFieldOf(this.headers, 'cache-status') ?? ''
    return this.#cacheStatus
  }

  /** It was written for a response that was plain before. Kept from the second time on: many come only once. */
  sent(response: ServerResponse): void {
    if (this.#wasSent) this.written = writtenHead(response, fieldOf(this.headers, 'date') !== undefined)
    this.#wasSent = true
  }
}
