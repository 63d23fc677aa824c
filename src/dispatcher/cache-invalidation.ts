/**
 * What a request that changes something makes invalid: its own URL, and those that its answer names (RFC 9111 §4.4).
 */
import { SAFE_METHODS } from '../protocol/methods.ts'
import type { SiteStore } from './cache-store.ts'
import type { AnswerFilter, AnswerHead } from './front-response.ts'
import { fieldOf } from './header-fields.ts'

/** Whether requests of this method change nothing (RFC 9110 §9.2.1). */
export function isSafe(method: string | undefined): boolean {
  return method !== undefined && (SAFE_METHODS.has(method) || method === 'QUERY')
}

/**
 * For the answer to an unsafe method.
 *
 * @param url that was asked for
 * @param more what keys have behind their URL, for requests that come this way
 */
export function invalidating(store: SiteStore, url: string, more: string): AnswerFilter {
  return {
    onHead: (head) => {
      if (head.status < 400) {
        store.invalidate(url + more)
        for (const name of ['location', 'content-location']) {
          const also = sameOrigin(fieldOf(head.headers, name), url)
          if (also !== undefined && also !== url) store.invalidate(also + more)
        }
      }
      tellMethod(head)
      return undefined
    },
  }
}

/** For the answer to a safe method that is not stored. */
export const PASSING: AnswerFilter = {
  onHead: (head) => {
    tellMethod(head)
    return undefined
  },
}

function tellMethod(head: AnswerHead): void {
  head.headers = [...head.headers, 'Cache-Status', 'vhostel; fwd=method']
}

/** The URL that a reference means, where it is on the same host: others are none of this site's business. */
function sameOrigin(reference: string | undefined, base: string): string | undefined {
  if (reference === undefined || !URL.canParse(reference, base)) return undefined
  const url = new URL(reference, base)
  const own = new URL(base)
  if (url.origin !== own.origin) return undefined
  // As written in the key: the host's port may be the scheme's own.
  const start = base.slice(0, base.indexOf('/', base.indexOf('//') + 2))
  return `${start}${url.pathname}${url.search}`
}
