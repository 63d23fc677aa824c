/**
 * What an error means for an order: whether the server refused this one, or cannot be asked for any.
 */
import type { Outcome } from './orderer.ts'
import { plain, Refusal } from './refusal.ts'

/** Refusals that are about us or the server and not about the names (RFC 8555 §6.7); `account` is our own word. */
const OF_ALL_ORDERS = [
  'account',
  'accountDoesNotExist',
  'badNonce',
  'externalAccountRequired',
  'invalidContact',
  'serverInternal',
  'unsupportedContact',
  'userActionRequired',
]

/** @param directory for the message */
export function outcomeOf(error: unknown, directory: string): Exclude<Outcome, { kind: 'issued' }> {
  if (!(error instanceof Refusal)) {
    return { kind: 'unavailable', reasons: [plain(`${directory}: ${networkWords(error)}`)], retryAfterMs: 0 }
  }
  const { status, type, reasons, retryAfterMs } = error
  const isRateLimit = type === 'rateLimited' || status === 429
  // A 403 to a request says that the account may not; one that is about a name stands in its challenge, without a status.
  const isForAll = OF_ALL_ORDERS.includes(type) || status >= 500 || (status === 403 && type === 'unauthorized')
  if (isForAll && !isRateLimit) return { kind: 'unavailable', reasons, retryAfterMs }
  if (status >= 300 && type === '' && !isRateLimit) return { kind: 'unavailable', reasons, retryAfterMs }
  return { kind: 'refused', reasons, isRateLimit, retryAfterMs }
}

function networkWords(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
  const words = typeof message === 'string' ? message : String(error)
  if (typeof code !== 'string') return words
  // Errors of several addresses at once have no message.
  return words === '' || words.includes(code) ? words || code : `${words} (${code})`
}
