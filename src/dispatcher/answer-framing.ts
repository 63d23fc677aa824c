/**
 * What a site's head says about the length of its answer, held to: the front frames answers itself, and a client's
 * connection must mean the same to client, front and every proxy between them. Pure.
 *
 * Invariant: a head that comes out of here has at most one Content-Length, a number, none where it is a 204, and no
 * Transfer-Encoding.
 */
import type { ResponseHead } from '../protocol/frames.ts'
import { withoutFields } from './header-fields.ts'

const LENGTH_NAME = 'content-length'
const ENCODING_NAME = 'transfer-encoding'
const TYPE_NAME = 'content-type'
const EVENT_STREAM = /^text\/event-stream(?:$|[\s;])/i
const DIGITS = /^\d{1,15}$/

/** An answer that cannot be sent as its site sent it. Answered as 502 while nothing of it was sent. */
export class AnswerInvalid extends Error {
  override readonly name = 'AnswerInvalid'
  readonly statusCode = 502
}

export interface AnswerFraming {
  headers: readonly string[]
  /** Bytes of body that have to follow; undefined when any number may, or when none goes to the client. */
  length: number | undefined
  /** Whether it is a stream of events (server-sent events), which has no end of its own. */
  isEventStream: boolean
}

/**
 * @param method of the request
 * @throws AnswerInvalid for a head that two readers could take for two lengths
 */
export function answerFraming(method: string | undefined, head: ResponseHead): AnswerFraming {
  const framing = framingOf(head)
  return isBodyless(method, head.status) ? { ...framing, length: undefined } : framing
}

/** RFC 9110 §6.4.1: these have no body, whatever their head says of the length it would have. @param method of the request */
export function isBodyless(method: string | undefined, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304
}

/**
 * As `answerFraming`, of the head alone, whatever was asked.
 *
 * @returns a length wherever one is announced
 */
export function framingOf({ status, headers }: ResponseHead): AnswerFraming {
  // An answer that is no answer yet: its client would take the next one for it.
  if (status < 200) throw new AnswerInvalid(`the site answered with status ${status}, which is not final`)
  let length: number | undefined
  let hasEncoding = false
  let isEventStream = false
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string
    if (name.length === LENGTH_NAME.length && name.toLowerCase() === LENGTH_NAME) {
      const value = headers[at + 1] as string
      if (length !== undefined || !DIGITS.test(value)) throw invalidLength(value, length)
      length = Number(value)
    } else if (name.length === ENCODING_NAME.length && name.toLowerCase() === ENCODING_NAME) {
      if (!/^(chunked|identity)$/i.test(headers[at + 1] as string)) throw invalidEncoding(headers[at + 1] as string)
      hasEncoding = true
    } else if (name.length === TYPE_NAME.length && name.toLowerCase() === TYPE_NAME) {
      isEventStream = EVENT_STREAM.test(headers[at + 1] as string)
    }
  }
  // RFC 9110 §8.6: a 204 says nothing of a length; who believes it waits for a body that does not come.
  const isUntrue = status === 204 && length !== undefined
  // Framing is the front's: what the site sent is the body itself.
  const isLeftOut = (name: string): boolean => name === ENCODING_NAME || (isUntrue && name === LENGTH_NAME)
  const framed = hasEncoding || isUntrue ? withoutFields(headers, isLeftOut) : headers
  return { headers: framed, length: isUntrue ? undefined : length, isEventStream }
}

function invalidLength(value: string, before: number | undefined): AnswerInvalid {
  const what = before === undefined ? `Content-Length: ${JSON.stringify(value)}` : 'two Content-Length headers'
  return new AnswerInvalid(`the site answered with ${what}`)
}

function invalidEncoding(value: string): AnswerInvalid {
  return new AnswerInvalid(`the site answered with Transfer-Encoding: ${JSON.stringify(value)}`)
}
