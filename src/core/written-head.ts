/**
 * What Node's `ServerResponse` makes of a head, kept for the next answer with the same head: it checks each field, joins them
 * and says how the connection goes on, all with the same outcome.
 *
 * Limits: answers of a known length, or without a body, on connections of HTTP/1.1 that go on; all others are Node's to write
 * each time. Invariant: what is sent is, to the byte, what Node would have written in that second.
 */
import type { ServerResponse } from 'node:http'

const SECOND_MS = 1000

/** What `ServerResponse` has beside what is declared (Node 24). */
interface Inner {
  _header: string | null
  _headerSent: boolean
  _contentLength: number | null
  _last: boolean
  _hasBody: boolean
  _keepAliveTimeout: number
  _removedConnection: boolean
  _expect_continue: boolean
}

/** A head as Node has written it. */
export interface WrittenHead {
  readonly status: number
  readonly reason: string
  /** Status line, fields and the empty line. */
  readonly text: string
  readonly contentLength: number | null
  readonly keepAliveTimeout: number
  /** The second of Unix time whose date Node has put in; undefined where it put none in. */
  readonly second: number | undefined
}

/** Whether nothing about a response, whose head is not written yet, makes its head another than that of most. */
export function isPlain(response: ServerResponse): boolean {
  const inner = response as unknown as Inner
  return (
    inner._header === null &&
    response.shouldKeepAlive &&
    response.useChunkedEncodingByDefault &&
    !inner._expect_continue &&
    !inner._removedConnection
  )
}

/**
 * What was written for a response that was plain before.
 *
 * @param hasDate whether the head that was given had a date
 * @returns undefined where it may not be sent again
 */
export function writtenHead(response: ServerResponse, hasDate: boolean): WrittenHead | undefined {
  const { _header, _contentLength: contentLength, _last, _keepAliveTimeout } = response as unknown as Inner
  const { statusCode: status, statusMessage: reason } = response
  if (_header === null || _last || response.chunkedEncoding) return undefined
  if (contentLength === null && !isBodyless(status)) return undefined
  if (!hasDate && !response.sendDate) return undefined
  // In one piece: as Node leaves it, it is a tree of all that it was joined from, which each write would have to go through.
  const text = Buffer.from(_header, 'latin1').toString('latin1')
  const second = hasDate ? undefined : secondNow()
  return { status, reason, text, contentLength, keepAliveTimeout: _keepAliveTimeout, second }
}

/**
 * Gives a plain response a head that was written before, as `writeHead` would.
 *
 * @returns false where that would not be the same; then nothing was done
 */
export function writeAgain(response: ServerResponse, head: WrittenHead): boolean {
  const inner = response as unknown as Inner
  if (inner._keepAliveTimeout !== head.keepAliveTimeout) return false
  if (head.second !== undefined && (!response.sendDate || head.second !== secondNow())) return false
  response.statusCode = head.status
  response.statusMessage = head.reason
  if (isBodyless(head.status)) inner._hasBody = false
  inner._contentLength = head.contentLength
  inner._header = head.text
  inner._headerSent = false
  return true
}

/** Not only a later one is another: clocks are set back. */
function secondNow(): number {
  return Math.floor(Date.now() / SECOND_MS)
}

/** RFC 9110 §6.4.1. */
function isBodyless(status: number): boolean {
  return status === 204 || status === 304
}
