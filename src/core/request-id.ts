/**
 * The id of a request, which stands in the access log, in the lines that a site writes for that request, and in what the
 * site is sent: `X-Request-Id`.
 *
 * Invariant: an id that is used has at most `MAX_LENGTH` characters, none of which needs quoting anywhere.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

const REQUEST_ID_HEADER = 'X-Request-Id'

const MAX_LENGTH = 128
const GOOD = /^[A-Za-z0-9._:/+=@-]+$/
const LOWER_CASE = REQUEST_ID_HEADER.toLowerCase()

/** @param rawHeaders name, value, name, value, … @returns the first one's value, where that can be used as it is */
export function findRequestId(rawHeaders: readonly string[]): string | undefined {
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    if (!isRequestIdHeader(rawHeaders[at] as string)) continue
    const value = rawHeaders[at + 1] as string
    return value.length <= MAX_LENGTH && GOOD.test(value) ? value : undefined
  }
  return undefined
}

/**
 * Gives a request an id: its own, where it came with one that can be used, else a new one.
 *
 * @param request changed so that it has exactly one such header, with that id
 */
export function giveRequestId(request: Pick<IncomingMessage, 'headers' | 'rawHeaders'>): string {
  // First: Node makes them of as many raw headers as came, when they are first asked for.
  const { headers, rawHeaders } = request
  const id = findRequestId(rawHeaders) ?? newId()
  let isThere = false
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    if (!isRequestIdHeader(rawHeaders[at] as string)) continue
    if (isThere) {
      rawHeaders.splice(at, 2)
      at -= 2
    } else {
      rawHeaders[at + 1] = id
      isThere = true
    }
  }
  if (!isThere) rawHeaders.push(REQUEST_ID_HEADER, id)
  headers[LOWER_CASE] = id
  return id
}

/**
 * As `giveRequestId`, for requests that nobody here needs the id of: what is sent on has it, `headers` need not be made.
 *
 * @param request its raw headers are changed
 */
export function addRequestId(request: Pick<IncomingMessage, 'headers' | 'rawHeaders'>): void {
  const { rawHeaders } = request
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    if (!isRequestIdHeader(rawHeaders[at] as string)) continue
    giveRequestId(request)
    return
  }
  // At the end: Node makes `headers` of as many raw ones as came.
  rawHeaders.push(REQUEST_ID_HEADER, newId())
}

/** Of this process; a random number for each request would cost more than all the rest of its line. */
const PREFIX = randomBytes(8).toString('hex')
let lastNumber = 0

function newId(): string {
  return `${PREFIX}-${(++lastNumber).toString(36)}`
}

/** The length first: nearly all names differ in it. */
function isRequestIdHeader(name: string): boolean {
  return name.length === LOWER_CASE.length && (name === REQUEST_ID_HEADER || name.toLowerCase() === LOWER_CASE)
}
