/**
 * What of a request matters to the cache, read in one pass over its raw headers. Pure.
 */
import type { IncomingMessage } from 'node:http'
import { LRUCache } from 'lru-cache'
import Negotiator from 'negotiator'

export interface CacheRequest {
  /** As the site is told it; what stands in a page may depend on each letter of it. */
  host: string
  ifNoneMatch: string | undefined
  ifModifiedSince: string | undefined
  range: string | undefined
  ifRange: string | undefined
  cacheControl: string | undefined
  pragma: string | undefined
  isAuthorized: boolean
  /** Whether it has If-Match or If-Unmodified-Since, which only the site can judge. */
  hasPrecondition: boolean
  /** Whether it may have a body, which an answer may depend on and no key can hold. */
  hasBody: boolean
  /** What a proxy before vhostel, or a client, says of the URL, as a part of the key; sites make links of it. */
  forwarded: string
}

const NAMES = [
  'host',
  'range',
  'pragma',
  'if-match',
  'if-range',
  'authorization',
  'content-length',
  'transfer-encoding',
  'cache-control',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
]
/** Fields that frameworks take for a part of the URL or the method, without a site that says so in Vary. */
const URL_FIELDS = new Set([
  'forwarded',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-prefix',
  'x-forwarded-proto',
  'x-forwarded-scheme',
  'x-forwarded-server',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-host',
  'x-original-url',
  'x-rewrite-url',
])
const NAME_LENGTHS = new Set([...NAMES, ...URL_FIELDS].map((name) => name.length))

export function cacheRequestOf({ method, rawHeaders }: Pick<IncomingMessage, 'method' | 'rawHeaders'>): CacheRequest {
  const read: CacheRequest = {
    host: '',
    ifNoneMatch: undefined,
    ifModifiedSince: undefined,
    range: undefined,
    ifRange: undefined,
    cacheControl: undefined,
    pragma: undefined,
    isAuthorized: false,
    hasPrecondition: false,
    hasBody: false,
    forwarded: '',
  }
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (NAME_LENGTHS.has(name.length)) note(read, name.toLowerCase(), rawHeaders[at + 1] as string)
  }
  // RFC 9110 §14.2: a range is defined for GET only.
  if (method !== 'GET') read.range = undefined
  return read
}

function note(read: CacheRequest, name: string, value: string): void {
  const and = (before: string | undefined): string => (before === undefined ? value : `${before}, ${value}`)
  switch (name) {
    case 'host':
      read.host = value.toLowerCase()
      break
    case 'range':
      read.range = and(read.range)
      break
    case 'if-range':
      read.ifRange = value
      break
    case 'pragma':
      read.pragma = and(read.pragma)
      break
    case 'cache-control':
      read.cacheControl = and(read.cacheControl)
      break
    case 'if-none-match':
      read.ifNoneMatch = and(read.ifNoneMatch)
      break
    case 'if-modified-since':
      read.ifModifiedSince = value
      break
    case 'authorization':
      read.isAuthorized = true
      break
    case 'content-length':
      read.hasBody ||= value !== '0'
      break
    case 'transfer-encoding':
      read.hasBody = true
      break
    case 'if-match':
    case 'if-unmodified-since':
      read.hasPrecondition = true
      break
    default:
      if (URL_FIELDS.has(name)) read.forwarded += `\n${name}: ${urlPartOf(name, value)}`
  }
}

/** Forwarded (RFC 7239) names the client too, which must not make a key of its own for each. */
function urlPartOf(name: string, value: string): string {
  if (name !== 'forwarded') return value
  return (value.match(/\b(?:host|proto)="?[^",;]*/gi) ?? []).join(';')
}

/** What a request has in the fields that an answer varies by, as a text to compare. @param vary lower case */
export function variantOf(req: IncomingMessage, vary: readonly string[]): string {
  if (vary.length === 0) return ''
  // JSON tells a field that is not there from one that is empty, and no value can end early. The names belong to it: what
  // a URL's answers vary by may change while some are stored.
  return JSON.stringify(
    vary.map((name) => [name, name === 'accept-encoding' ? codingsOf(req) : (fieldValue(req, name) ?? null)]),
  )
}

function fieldValue(req: IncomingMessage, name: string): string | undefined {
  const values = req.headersDistinct[name]
  return values?.join(',').replace(/\s*,\s*/g, ',')
}

const MAX_REMEMBERED = 500
const remembered = new LRUCache<string, string>({ max: MAX_REMEMBERED })
const CODINGS = ['zstd', 'br', 'gzip', 'deflate', 'identity']

/** Accept-Encoding as far as a site can tell clients apart by it: there are hundreds of ways to write the same. */
function codingsOf(req: IncomingMessage): string {
  const text = String(req.headers['accept-encoding'] ?? '')
  let codings = remembered.get(text)
  if (codings === undefined) {
    codings = new Negotiator({ headers: { 'accept-encoding': text } }).encodings(CODINGS).join()
    if (text.length <= 200) remembered.set(text, codings)
  }
  return codings
}
