/**
 * Whether an answer is to be compressed, told by its head, and what its head says then. Pure but for `head`.
 *
 * Invariant: nothing is coded twice, no part of a body (206) is coded by itself, and an answer that could have been coded
 * for another client says so with `Vary: Accept-Encoding` (RFC 9110 §12.5.5).
 */
import compressible from 'compressible'
import { LRUCache } from 'lru-cache'
import type { Accepted, Coding } from './content-coding.ts'
import type { AnswerHead } from './front-response.ts'

/** Smaller bodies fit into the packet that their head needs anyway. */
const LEAST_BYTES = 1024
const MAX_REMEMBERED_TYPES = 500

const types = new LRUCache<string, boolean>({ max: MAX_REMEMBERED_TYPES })

/** Places of values in the headers of an answer, as far as they matter here; -1 for none. */
interface Places {
  type: number
  length: number
  etag: number
  vary: number
  range: number
}

/**
 * Makes the head that of a coded answer where it is to be one.
 *
 * @returns the coding that its body has to get; undefined for none
 */
export function codeHead(head: AnswerHead, accepted: Accepted): Coding | undefined {
  const { status } = head
  if (status === 204 || status === 304) return undefined
  const places = placesOf(head.headers)
  if (places === undefined) return undefined
  if (status === 206) return varyPart(head, places)
  if (places.range !== -1 || !isText(head.headers[places.type] as string)) return undefined
  const isTooSmall = places.length !== -1 && Number(head.headers[places.length]) < LEAST_BYTES
  if (isTooSmall && !(accepted.needsCoding && head.headers[places.length] !== '0')) return undefined
  const { coding } = accepted
  if (coding === undefined) head.headers = varied(head.headers, places.vary)
  else head.headers = codedHeaders(head.headers, places, coding)
  return coding
}

/** RFC 9110 §15.3.7: a part says what the whole varies by. Of several parts the head does not tell what they are of. */
function varyPart(head: AnswerHead, { type, vary, range }: Places): undefined {
  const typeOfPart = head.headers[type] as string
  const [, size = LEAST_BYTES] = /\/(\d+)$/.exec(head.headers[range] ?? '') ?? []
  const isOfText = isText(typeOfPart) || typeOfPart.startsWith('multipart/byteranges')
  if (isOfText && Number(size) >= LEAST_BYTES) head.headers = varied(head.headers, vary)
}

const LENGTH_NAME = 'content-length'

/** Whether a body is too small to be coded, as far as its head says. @param headers name, value, name, value, … */
export function isSmall(headers: readonly unknown[]): boolean {
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] as string
    if (name.length !== LENGTH_NAME.length || name.toLowerCase() !== LENGTH_NAME) continue
    return Number(headers[at + 1]) < LEAST_BYTES
  }
  return false
}

/** @returns undefined where the headers forbid to code the body, or do not say what it is */
function placesOf(headers: readonly string[]): Places | undefined {
  const places: Places = { type: -1, length: -1, etag: -1, vary: -1, range: -1 }
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] as string
    // Most names have a length that none of these has.
    if (!NAME_LENGTHS.has(name.length)) continue
    switch (name.toLowerCase()) {
      case 'content-type':
        places.type = at + 1
        break
      case 'content-length':
        places.length = at + 1
        break
      case 'etag':
        places.etag = at + 1
        break
      case 'vary':
        places.vary = at + 1
        break
      case 'cache-control':
        if (/\bno-transform\b/i.test(headers[at + 1] as string)) return undefined
        break
      case 'content-range':
        places.range = at + 1
        break
      case 'content-encoding':
      case 'content-digest': // of what is sent (RFC 9530 §2)
      case 'repr-digest':
      case 'content-md5':
        return undefined
    }
  }
  return places.type === -1 ? undefined : places
}

const NAMES = [
  'content-type',
  'content-length',
  'etag',
  'vary',
  'cache-control',
  'content-encoding',
  'content-range',
  'content-digest',
  'repr-digest',
  'content-md5',
]
const NAME_LENGTHS = new Set(NAMES.map((name) => name.length))

function isText(type: string): boolean {
  let known = types.get(type)
  if (known === undefined) {
    known = compressible(type) === true
    if (type.length <= 200) types.set(type, known)
  }
  return known
}

/** RFC 9110 §8.8.3.3: another coding is another representation, so a strong tag must not stay as it is. */
function codedHeaders(headers: readonly string[], { length, etag, vary }: Places, coding: Coding): string[] {
  const coded: string[] = []
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] as string
    const value = headers[at + 1] as string
    if (at + 1 === length || (name.length === 13 && name.toLowerCase() === 'accept-ranges')) continue
    if (at + 1 === etag) coded.push(name, weakTag(value))
    else if (at + 1 !== vary) coded.push(name, value)
  }
  coded.push('Content-Encoding', coding, 'Vary', withAcceptEncoding(vary === -1 ? undefined : headers[vary]))
  return coded
}

/** `W/"…"` of an entity tag. */
export function weakTag(tag: string): string {
  return tag.startsWith('"') ? `W/${tag}` : tag
}

/** Headers that say that there are other codings of the body. @param headers name, value, name, value, … */
export function varyByCoding(headers: readonly string[]): string[] {
  const vary = headers.findLastIndex((name, place) => place % 2 === 0 && name.toLowerCase() === 'vary')
  return varied(headers, vary === -1 ? -1 : vary + 1)
}

function varied(headers: readonly string[], vary: number): string[] {
  const copy = [...headers]
  if (vary === -1) copy.push('Vary', 'Accept-Encoding')
  else copy[vary] = withAcceptEncoding(copy[vary])
  return copy
}

/** Several `Vary` lines are one list; only the last is added to. */
function withAcceptEncoding(vary: string | undefined): string {
  if (vary === undefined || vary === '') return 'Accept-Encoding'
  return /(^|[\s,])(accept-encoding|\*)($|[\s,])/i.test(vary) ? vary : `${vary}, Accept-Encoding`
}

/**
 * A 304 for a client that knows the coded body: its tag is the weak one, and it varies (RFC 9110 §15.4.5: as the 200 would
 * have it).
 *
 * @param known the request's If-None-Match
 */
export function weakenConfirmed(head: AnswerHead, known: string): void {
  for (let at = 0; at + 1 < head.headers.length; at += 2) {
    const value = head.headers[at + 1] as string
    if ((head.headers[at] as string).toLowerCase() !== 'etag' || !value.startsWith('"')) continue
    if (known.includes(`W/${value}`)) {
      head.headers = varyByCoding(head.headers.with(at + 1, `W/${value}`))
    }
    return
  }
}
