/**
 * What becomes of an answer that the site gives to a request that the cache let through: it is stored where that is allowed,
 * or confirms what is stored (304), or what is stored takes its place (`stale-if-error`).
 *
 * Invariant: only what was written to its end is stored, with exactly as many bytes as its head announced. Whatever happens,
 * the fetch is settled once.
 */

import type { ReadyAnswer } from './cache-answer.ts'
import { knownHead, knows } from './cache-answer.ts'
import type { Terms } from './cache-policy.ts'
import { ageMsOf, termsOf } from './cache-policy.ts'
import type { CacheRequest } from './cache-request.ts'
import type { ServerCache, SiteStore } from './cache-store.ts'
import type { AnswerFilter, AnswerHead, BodyFilter, BodySink, FrontResponse } from './front-response.ts'
import { fieldOf } from './header-fields.ts'
import { StoredAnswer, storedHead, updatedHead } from './stored-answer.ts'

/** Why a request went to the site: a value of `fwd` (RFC 9211 §2.2). */
export type ForwardReason = 'uri-miss' | 'vary-miss' | 'stale' | 'request' | 'bypass' | 'method' | 'partial'

/**
 * What the site is asked: what the client asked, with the client's own conditions; whether what is stored still holds; or for
 * the answer whatever the client has of it, which is judged here then.
 */
export type Question = 'as-asked' | 'whether-it-holds' | 'whole'

/** What a fetch is for. */
export interface FetchOrder {
  server: ServerCache
  store: SiteStore
  key: string
  reason: ForwardReason
  /** The client's. */
  request: CacheRequest
  question: Question
  /** Whether its answer may be stored at all. */
  mayStore: boolean
  /** What is stored, to be confirmed, or for when the site fails. */
  stored: StoredAnswer | undefined
  /** What the request has in the fields that an answer varies by. */
  variantOf(vary: readonly string[]): string
  /** Makes the answer of what is stored for the client that waits. */
  ready(stored: StoredAnswer, status: string): ReadyAnswer
  /** @param isStorable whether the site's answer may be stored, or confirmed what is */
  onSettled(isStorable: boolean, status: number): void
}

const EMPTY = Buffer.alloc(0)

/** Sees the site's answer first, before anything is made of it. */
export class CacheFetch implements AnswerFilter {
  readonly #order: FetchOrder
  readonly #askedAt = Date.now()
  readonly #mark: number
  #isSettled = false

  constructor(order: FetchOrder) {
    this.#order = order
    this.#mark = order.store.mark()
  }

  onHead(head: AnswerHead, response: FrontResponse): BodyFilter | undefined {
    const { stored, mayStore, question, request } = this.#order
    const timing = { askedAt: this.#askedAt, cameAt: Date.now() }
    if (stored !== undefined && question === 'whether-it-holds' && head.status === 304) {
      return this.#confirmed(stored, head, timing)
    }
    if (stored !== undefined && head.status >= 500 && isUsableOnError(stored)) {
      return this.#instead(head, stored, '; detail=stale-if-error', false)
    }
    this.#order.store.counters.misses++
    const terms = mayStore ? termsOf(head, request.isAuthorized, timing) : undefined
    const length = Number(fieldOf(head.headers, 'content-length') ?? 0)
    const isStorable =
      terms !== undefined && length <= this.#order.store.settings.largestBytes && !hasTrailers(head.headers)
    const kept: AnswerHead = { ...head, headers: [...head.headers] }
    const isKnown = question !== 'as-asked' && knows(request, head)
    if (isKnown) Object.assign(head, knownHead(head))
    const how = `${isKnown ? `; fwd-status=${kept.status}` : ''}${isStorable ? '; stored' : ''}`
    head.headers = [...head.headers, 'Cache-Status', this.#told(how)]
    response.holdsHead = isKnown
    if (!isStorable) this.#settle(false, kept.status)
    return this.#bodyFilter(isKnown, isStorable ? this.#capture(kept, terms, timing.cameAt) : undefined)
  }

  /** @param isKnown whether the body goes nowhere but into the capture */
  #bodyFilter(isKnown: boolean, capture: Capture | undefined): BodyFilter | undefined {
    if (!isKnown && capture === undefined) return undefined
    const { largestBytes } = this.#order.store.settings
    return (client) => {
      const next = isKnown ? new DroppingSink(client, largestBytes) : client
      return capture === undefined ? next : new CapturingSink(next, capture)
    }
  }

  /** The answer did not come, or not to its end. */
  gone(): void {
    this.#settle(false, 0)
  }

  #told(more: string): string {
    return `vhostel; fwd=${this.#order.reason}${more}`
  }

  /** The site says that what is stored holds. */
  #confirmed(
    stored: StoredAnswer,
    head: AnswerHead,
    timing: { askedAt: number; cameAt: number },
  ): BodyFilter | undefined {
    const { store, key } = this.#order
    const updated = updatedHead(stored, head, timing.cameAt)
    const tag = fieldOf(head.headers, 'etag')
    const isSame =
      tag === undefined || stored.etag === undefined || tag.replace(/^W\//, '') === stored.etag.replace(/^W\//, '')
    const terms = isSame ? termsOf(updated, this.#order.request.isAuthorized, timing) : undefined
    const fresh = new StoredAnswer(updated, stored.body, terms ?? stored.terms, stored.variant)
    if (terms === undefined || terms.vary.join() !== stored.terms.vary.join()) store.drop(key, stored)
    else store.put(key, fresh, this.#mark)
    return this.#instead(head, fresh, '', terms !== undefined)
  }

  /** What is stored takes the place of what the site sent. */
  #instead(head: AnswerHead, stored: StoredAnswer, detail: string, isStorable: boolean): BodyFilter {
    this.#order.store.counters.revalidated++
    const answer = this.#order.ready(stored, this.#told(`; fwd-status=${head.status}${detail}`))
    const { status, reason, headers } = answer.head
    // A copy: what comes next may change it.
    Object.assign(head, { status, reason, headers: [...headers] })
    this.#settle(isStorable, head.status)
    return (next) => ({
      write: () => true,
      end: () => {
        if (answer.body !== undefined) next.write(answer.body)
        next.end()
      },
    })
  }

  #capture(head: AnswerHead, terms: Terms, cameAt: number): Capture {
    const { server, store, key, variantOf } = this.#order
    const announced = fieldOf(head.headers, 'content-length')
    return {
      largest: store.settings.largestBytes,
      reserve: (bytes) => server.reserve(bytes),
      release: (bytes) => server.release(bytes),
      give: (body) => {
        const isWhole = announced === undefined || Number(announced) === body.byteLength
        if (isWhole) {
          const whole = storedHead(head, body.byteLength, cameAt)
          store.put(key, new StoredAnswer(whole, body, terms, variantOf(terms.vary)), this.#mark)
        }
        this.#settle(isWhole, head.status)
      },
      drop: () => this.#settle(false, head.status),
      onGone: (listener) => {
        this.#onGone = listener
      },
    }
  }

  #onGone: (() => void) | undefined

  #settle(isStorable: boolean, status: number): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#onGone?.()
    this.#order.onSettled(isStorable, status)
  }
}

function isUsableOnError({ terms }: StoredAnswer): boolean {
  return ageMsOf(terms) < terms.lifetimeMs + terms.ifErrorMs
}

function hasTrailers(headers: readonly string[]): boolean {
  return fieldOf(headers, 'trailer') !== undefined
}

/** Where a body goes that is gathered. */
interface Capture {
  /** In bytes. */
  largest: number
  reserve(bytes: number): boolean
  release(bytes: number): void
  /** It is whole. */
  give(body: Buffer): void
  /** It is too large. */
  drop(): void
  /** @param listener called when nothing more is to come */
  onGone(listener: () => void): void
}

/** Lets nothing through but the end: of a body that cannot be stored any more, there is nothing to be waited for. */
class DroppingSink implements BodySink {
  readonly #next: BodySink
  readonly #largest: number
  #bytes = 0
  #isEnded = false

  /** @param largest bytes of a body that may be stored */
  constructor(next: BodySink, largest: number) {
    this.#next = next
    this.#largest = largest
  }

  write(chunk: Uint8Array): boolean {
    this.#bytes += chunk.byteLength
    if (this.#bytes > this.#largest) this.end()
    return true
  }

  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#next.end()
  }
}

/** Lets a body through, and keeps a copy. */
class CapturingSink implements BodySink {
  readonly #next: BodySink
  readonly #capture: Capture
  #parts: Uint8Array[] | undefined = []
  #bytes = 0

  constructor(next: BodySink, capture: Capture) {
    this.#next = next
    this.#capture = capture
    capture.onGone(() => this.#forget())
  }

  write(chunk: Uint8Array): boolean {
    if (this.#parts !== undefined) this.#keep(this.#parts, chunk)
    return this.#next.write(chunk)
  }

  end(): void {
    const parts = this.#parts
    this.#next.end()
    if (parts === undefined) return
    const body = parts.length === 0 ? EMPTY : Buffer.concat(parts)
    this.#forget()
    this.#capture.give(body)
  }

  #keep(parts: Uint8Array[], chunk: Uint8Array): void {
    const isTooMuch = this.#bytes + chunk.byteLength > this.#capture.largest
    if (isTooMuch || !this.#capture.reserve(chunk.byteLength)) {
      this.#forget()
      this.#capture.drop()
      return
    }
    this.#bytes += chunk.byteLength
    parts.push(chunk)
  }

  #forget(): void {
    if (this.#parts === undefined) return
    this.#parts = undefined
    this.#capture.release(this.#bytes)
  }
}
