/**
 * What Node's parser lets through and this server does not: requests that another server on the way could read otherwise
 * than this one does (RFC 9112 §11.2), and what nobody here can answer. What the parser refuses itself is bad-request.ts's.
 *
 * Runs for every request: one pass over the names, no copy of one that is not looked at.
 */
import type { IncomingMessage } from 'node:http'
import { METHODS } from '../core/node-http.ts'

export interface RequestLimits {
  /** Characters of the target. */
  maxTarget: number
  maxHeaders: number
}

const KNOWN_METHODS = new Set(METHODS)
/** All methods that are for the server itself and not for a site. */
const REFUSED_METHODS = new Set(['CONNECT', 'TRACE'])
const ENCODING_NAME = 'transfer-encoding'
/** Programs that get headers as variables of an environment cannot tell them from those with a hyphen. */
const LOOKALIKES = new Set(['transfer_encoding', 'content_length'])
const LENGTH_CHARACTERS = 'content_length'.length

/** @returns the status with which the request has to be refused and its connection closed; undefined where it is good */
export function requestFault(req: IncomingMessage, limits: RequestLimits): number | undefined {
  // The parser also takes HTTP/0.9 and 2.0, which nobody speaks in this form.
  if (req.httpVersionMajor !== 1 || req.httpVersionMinor > 1) return 505
  return targetFault(req, limits) ?? codingFault(req.rawHeaders, req.httpVersionMinor)
}

/**
 * As `requestFault`, for a request of HTTP/2: what the parser of HTTP/1 refuses is refused here, so that no site is asked in
 * one version what it cannot be asked in the other.
 */
export function streamFault(req: IncomingMessage, limits: RequestLimits): number | undefined {
  const { url = '', method = '' } = req
  if (!KNOWN_METHODS.has(method) || /[^\x21-\x7e]/.test(url)) return 400
  return targetFault(req, limits) ?? codingFault(req.rawHeaders, 1)
}

function targetFault(req: IncomingMessage, { maxTarget, maxHeaders }: RequestLimits): number | undefined {
  const { rawHeaders, url = '', method = '' } = req
  if (url.length > maxTarget) return 414
  if (rawHeaders.length > maxHeaders * 2) return 431
  if (REFUSED_METHODS.has(method)) return 405
  if ((url === '*' && method !== 'OPTIONS') || url.includes('#')) return 400
  return undefined
}

/** Only one coding is known: the one that frames the body (RFC 9112 §6.1). */
function codingFault(rawHeaders: readonly string[], httpMinor: number): number | undefined {
  let found: string | undefined
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.length !== ENCODING_NAME.length && name.length !== LENGTH_CHARACTERS) continue
    const lower = name.toLowerCase()
    if (LOOKALIKES.has(lower)) return 400
    if (lower !== ENCODING_NAME) continue
    const value = (rawHeaders[at + 1] as string).toLowerCase()
    found = found === undefined ? value : `${found}, ${value}`
  }
  if (found === undefined || (found === 'chunked' && httpMinor === 1)) return undefined
  // HTTP/1.0 knows no codings; a server on the way that does not either takes the body for the next request.
  if (httpMinor === 0) return 400
  return /^[\w!#$%&'*+.^`|~-]+(?:\s*,\s*[\w!#$%&'*+.^`|~-]+)*$/.test(found) ? 501 : 400
}
