/**
 * What a client gets of a stored answer: all of it, parts (Range), the head alone, or that it has it already (304).
 *
 * Limits: parts are of a body that is sent as it is; those of byte-ranges.ts.
 */
import type { ByteRange } from './byte-ranges.ts'
import { multipart, readRanges } from './byte-ranges.ts'
import { readHttpDate } from './cache-directives.ts'
import type { CacheRequest } from './cache-request.ts'
import { weakTag } from './compress-head.ts'
import type { Accepted } from './content-coding.ts'
import type { AnswerHead, FrontResponse } from './front-response.ts'
import { entityTags, fieldOf, withoutFields } from './header-fields.ts'
import { RepeatedHead } from './repeated-head.ts'
import type { Form, StoredAnswer } from './stored-answer.ts'

/** An answer, ready to be sent. */
export interface ReadyAnswer {
  head: RepeatedHead
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
  const { range } = request
  const isOfParts = range !== undefined && stored.status === 200 && mayHaveParts(stored, request)
  const wish = isOfParts ? readRanges(range, stored.body.byteLength) : 'whole'
  if (wish === 'none') return noPart(stored, shown)
  if (wish !== 'whole') return partOf(stored, wish, accepted, shown)
  const form = stored.form(accepted)
  return { head: shownHead(stored, form, shown), body: form.body, text: form.text }
}

/** Sends it. @param isHead whether the request was HEAD */
export function sendReady(res: FrontResponse, answer: ReadyAnswer, isHead: boolean): void {
  res.sendDate = false
  res.writeRepeated(answer.head)
  if (isHead || answer.body === undefined) res.end()
  else if (answer.text !== undefined) res.end(answer.text, 'latin1')
  else res.end(answer.body)
}

/** The head for this moment. Made once a second, or rather for each age. */
function shownHead({ status, reason }: StoredAnswer, form: Form, shown: Shown): RepeatedHead {
  if (form.sentAge === shown.age && form.sent?.cacheStatus === shown.status) return form.sent
  const headers = [...form.headers, 'Age', String(shown.age), 'Cache-Status', shown.status]
  form.sentAge = shown.age
  form.sent = new RepeatedHead(status, reason, headers)
  return form.sent
}

// ---- conditions ------------------------------------------------------------------------------------------------

/** Whether the client has this answer already (RFC 9110 §13.1.2, §13.1.3; weak comparison). */
function isKnown(
  { etag, modifiedAt }: Pick<StoredAnswer, 'etag' | 'modifiedAt'>,
  { ifNoneMatch, ifModifiedSince }: CacheRequest,
): boolean {
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() === '*') return true
    return etag !== undefined && entityTags(ifNoneMatch).map(weakTag).includes(weakTag(etag))
  }
  if (ifModifiedSince === undefined || modifiedAt === undefined) return false
  const since = readHttpDate(ifModifiedSince)
  return since !== undefined && modifiedAt <= since
}

/** Whether the client has already what the site answers now. */
export function knows(request: CacheRequest, { status, headers }: AnswerHead): boolean {
  if (status !== 200) return false
  // Its Date says nothing: what it says may have changed within this second.
  const modifiedAt = readHttpDate(fieldOf(headers, 'last-modified'))
  return isKnown({ etag: fieldOf(headers, 'etag'), modifiedAt }, request)
}

/** RFC 9110 §15.4.5: they are about a body that is not sent. */
const OF_BODY = new Set([
  'accept-ranges',
  'content-encoding',
  'content-language',
  'content-length',
  'content-type',
  'trailer',
  'transfer-encoding',
])

/** What the site answers now, for a client that has it already: all that it says but what is about the body. */
export function knownHead({ headers }: AnswerHead): AnswerHead {
  return { status: 304, reason: undefined, headers: withoutFields(headers, (name) => OF_BODY.has(name)) }
}

/** RFC 9110 §15.4.5: what the 200 would have had of these. */
const CONFIRMED = new Set(['cache-control', 'content-location', 'date', 'etag', 'expires', 'vary', 'last-modified'])

function notModified(form: Form, { age, status }: Shown): ReadyAnswer {
  const headers = withoutFields(form.headers, (name) => !CONFIRMED.has(name))
  headers.push('Age', String(age), 'Cache-Status', status)
  return { head: new RepeatedHead(304, undefined, headers), body: undefined, text: undefined }
}

// ---- ranges ----------------------------------------------------------------------------------------------------

/** RFC 9110 §13.1.5: parts go with the same strong tag, or exactly the same date. */
function mayHaveParts({ etag, lastModified }: StoredAnswer, { ifRange }: CacheRequest): boolean {
  if (ifRange === undefined) return true
  const text = ifRange.trim()
  if (text.startsWith('"')) return text === etag
  return !text.startsWith('W/') && lastModified !== undefined && text === lastModified
}

/** Nothing of the stored answer goes with it, least of all for how long it may be kept. */
function noPart({ body }: StoredAnswer, { status }: Shown): ReadyAnswer {
  const headers = ['Content-Range', `bytes */${body.byteLength}`, 'Content-Length', '0', 'Cache-Control', 'no-store']
  headers.push('Cache-Status', status)
  return { head: new RepeatedHead(416, undefined, headers), body: undefined, text: undefined }
}

const UNCODED: Accepted = { coding: undefined, needsCoding: false }

function partOf(
  stored: StoredAnswer,
  ranges: readonly ByteRange[],
  accepted: Accepted | undefined,
  { age, status }: Shown,
): ReadyAnswer {
  // Where the whole could be coded, its parts say so too.
  const whole = stored.form(accepted && UNCODED)
  const { headers, body } = ranges.length === 1 ? onePart(whole, ranges) : parts(whole, ranges)
  headers.push('Content-Length', String(body.byteLength), 'Age', String(age), 'Cache-Status', status)
  return { head: new RepeatedHead(206, undefined, headers), body, text: undefined }
}

function onePart({ headers, body }: Form, [range]: readonly ByteRange[]): Pick<Form, 'headers' | 'body'> {
  const { start, end } = range as ByteRange
  const kept = withoutFields(headers, (name) => name === 'content-length')
  kept.push('Content-Range', `bytes ${start}-${end}/${body.byteLength}`)
  return { headers: kept, body: body.subarray(start, end + 1) }
}

function parts({ headers, body }: Form, ranges: readonly ByteRange[]): Pick<Form, 'headers' | 'body'> {
  const plain = fieldOf(headers, 'content-type') ?? 'application/octet-stream'
  const { type, parts, tail } = multipart(ranges, plain, body.byteLength)
  const kept = withoutFields(headers, (name) => name === 'content-length' || name === 'content-type')
  const bytes = parts.flatMap(({ head, range: { start, end } }) => [head, body.subarray(start, end + 1)])
  return { headers: [...kept, 'Content-Type', type], body: Buffer.concat([...bytes, tail]) }
}
