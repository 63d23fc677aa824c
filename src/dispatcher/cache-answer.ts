/**
 * What a client gets of a stored answer: all of it, a part (Range), the head alone, or that it has it already (304).
 *
 * Limits: one range at a time, of a body that is sent as it is; several ranges get the whole, as RFC 9110 §14.2 allows.
 */
import { readHttpDate } from './cache-directives.ts'
import type { CacheRequest } from './cache-request.ts'
import { weakTag } from './compress-head.ts'
import type { Accepted } from './content-coding.ts'
import type { FrontResponse } from './front-response.ts'
import { entityTags, withoutFields } from './header-fields.ts'
import type { Form, StoredAnswer } from './stored-answer.ts'

/** An answer, ready to be sent. */
export interface ReadyAnswer {
  status: number
  reason: string | undefined
  headers: string[]
  body: Buffer | undefined
  /** The body as latin1, where it is small. */
  text: string | undefined
}

/** What of the cache's work shows in an answer's head. */
export interface Shown {
  /** Seconds. */
  age: number
  /** A member of Cache-Status (RFC 9211). */
  status: string
}

/** @param accepted what the client takes; undefined where the site's answers are not compressed */
export function readyAnswer(
  stored: StoredAnswer,
  request: CacheRequest,
  accepted: Accepted | undefined,
  shown: Shown,
): ReadyAnswer {
  if (stored.status === 200 && isKnown(stored, request)) return notModified(stored.form(accepted), shown)
  const part = stored.status === 200 && request.range !== undefined ? rangeOf(stored, request) : undefined
  if (part !== undefined) return partOf(stored, part, shown)
  const form = stored.form(accepted)
  const { status, reason } = stored
  return { status, reason, headers: shownHead(form, shown), body: form.body, text: form.text }
}

/** Sends it. @param isHead whether the request was HEAD */
export function sendReady(res: FrontResponse, answer: ReadyAnswer, isHead: boolean): void {
  res.sendDate = false
  // The types do not know the flat list that Node takes.
  if (answer.reason === undefined) res.writeHead(answer.status, answer.headers)
  else res.writeHead(answer.status, answer.reason, answer.headers)
  if (isHead || answer.body === undefined) res.end()
  else if (answer.text !== undefined) res.end(answer.text, 'latin1')
  else res.end(answer.body)
}

/** The head for this moment. Made once a second, or rather for each age. */
function shownHead(form: Form, { age, status }: Shown): string[] {
  const { sent } = form
  if (form.sentAge === age && sent.at(-1) === status) return sent
  form.sentAge = age
  form.sent = [...form.headers, 'Age', String(age), 'Cache-Status', status]
  return form.sent
}

// ---- conditions ------------------------------------------------------------------------------------------------

/** Whether the client has this answer already (RFC 9110 §13.1.2, §13.1.3; weak comparison). */
function isKnown(stored: StoredAnswer, { ifNoneMatch, ifModifiedSince }: CacheRequest): boolean {
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() === '*') return true
    const { etag } = stored
    return etag !== undefined && entityTags(ifNoneMatch).map(weakTag).includes(weakTag(etag))
  }
  if (ifModifiedSince === undefined || stored.modifiedAt === undefined) return false
  const since = readHttpDate(ifModifiedSince)
  return since !== undefined && stored.modifiedAt <= since
}

/** RFC 9110 §15.4.5: what the 200 would have had of these. */
const CONFIRMED = new Set(['cache-control', 'content-location', 'date', 'etag', 'expires', 'vary', 'last-modified'])

function notModified(form: Form, { age, status }: Shown): ReadyAnswer {
  const headers = withoutFields(form.headers, (name) => !CONFIRMED.has(name))
  headers.push('Age', String(age), 'Cache-Status', status)
  return { status: 304, reason: undefined, headers, body: undefined, text: undefined }
}

// ---- ranges ----------------------------------------------------------------------------------------------------

/** First and last byte; undefined where the whole is to be sent; 'none' where the range is not in the body. */
function rangeOf(stored: StoredAnswer, { range, ifRange }: CacheRequest): [number, number] | 'none' | undefined {
  if (range === undefined || (ifRange !== undefined && !isSame(stored, ifRange))) return undefined
  const found = /^bytes=(?:(\d{1,15})-(\d{0,15})|-(\d{1,15}))$/i.exec(range.trim())
  if (found === null) return undefined
  const size = stored.body.byteLength
  const [, first, last, tail] = found
  if (tail !== undefined) {
    return tail === '0' || size === 0 ? 'none' : [Math.max(0, size - Number(tail)), size - 1]
  }
  const start = Number(first)
  const end = last === '' || last === undefined ? size - 1 : Math.min(Number(last), size - 1)
  if (last !== '' && Number(last) < start) return undefined
  return start >= size ? 'none' : [start, end]
}

/** RFC 9110 §13.1.5: the same strong tag, or exactly the same date. */
function isSame({ etag, lastModified }: StoredAnswer, ifRange: string): boolean {
  const text = ifRange.trim()
  if (text.startsWith('"')) return text === etag
  return !text.startsWith('W/') && lastModified !== undefined && text === lastModified
}

function partOf(stored: StoredAnswer, part: [number, number] | 'none', { age, status }: Shown): ReadyAnswer {
  const size = stored.body.byteLength
  const headers = withoutFields(stored.headers, (name) => name === 'content-length')
  headers.push('Age', String(age), 'Cache-Status', status)
  if (part === 'none') {
    headers.push('Content-Range', `bytes */${size}`, 'Content-Length', '0')
    return { status: 416, reason: undefined, headers, body: undefined, text: undefined }
  }
  const body = stored.body.subarray(part[0], part[1] + 1)
  headers.push('Content-Range', `bytes ${part[0]}-${part[1]}/${size}`, 'Content-Length', String(body.byteLength))
  return { status: 206, reason: undefined, headers, body, text: undefined }
}
