/**
 * Which host a request is for (RFC 9112 §3.2, §3.3), from what Node's parser hands over: it lets two Host headers, a
 * malformed one, none, and a target that names another host pass.
 *
 * Runs for every request: one pass over the raw headers, no copy of a name that is not looked at.
 */
import { normaliseHost } from '../config/domains.ts'

export interface RequestHost {
  /** Normalised; '' where an HTTP/1.0 client named none: that is for the default site. */
  host: string
  /** The target in origin form (`/path?query`), or `*`. */
  target: string
  /**
   * Only for a target in absolute form: the authority as the client wrote it, which has to take the place of the Host
   * header for whoever is given the request (RFC 9112 §3.2.2).
   */
  authority: string | undefined
}

/** A request that says no host, or more than one. `reason` is a constant sentence, without anything the client sent. */
export interface BadRequestHost {
  status: 400
  reason: string
}

/**
 * Finds the host of a request.
 *
 * @param rawHeaders as in `IncomingMessage.rawHeaders`: name, value, name, value, …
 * @param url the request target as received, in any of its forms
 * @param httpMinor minor version of HTTP/1.x
 */
export function hostOfRequest(rawHeaders: string[], url: string, httpMinor: number): RequestHost | BadRequestHost {
  let header: string | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]
    if (name === undefined || name.length !== 4 || !isHostName(name)) continue
    if (header !== undefined) return bad('the request has more than one Host header')
    header = rawHeaders[i + 1]
  }
  const host = hostOfHeader(header, httpMinor)
  if (typeof host !== 'string') return host
  if (url.charCodeAt(0) === SLASH || url === '*') return { host, target: url, authority: undefined }
  return hostOfTarget(url)
}

const SLASH = 47

/** Whether a name of four characters is `host` in any case, without making a lower-case copy of it. */
function isHostName(name: string): boolean {
  return name === 'Host' || name === 'host' || name.toLowerCase() === 'host'
}

function hostOfHeader(header: string | undefined, httpMinor: number): string | BadRequestHost {
  if (!header && httpMinor === 0) return ''
  if (header === undefined) return bad('the request has no Host header')
  return normaliseBytes(header) ?? bad('the Host header is not the name of a host')
}

/** Takes an absolute target apart. The Host header had to be good, and no longer counts. */
function hostOfTarget(url: string): RequestHost | BadRequestHost {
  const parts = /^https?:\/\/([^/?#]*)([^#]*)$/i.exec(url)
  if (parts === null) return bad('the target of the request is neither a path nor a URL of http or https')
  const [, authority = '', rest = ''] = parts
  const host = normaliseBytes(authority)
  if (host === undefined) return bad('the target of the request does not name a host')
  return { host, target: rest.startsWith('/') ? rest : `/${rest}`, authority }
}

/**
 * Normalises a host as it came over the wire. Node makes a character of each byte; a client that sends the letters of an
 * IDN as they are sends UTF-8, and means the same as its ASCII form.
 */
function normaliseBytes(text: string): string | undefined {
  if (!/[\x80-\xff]/.test(text)) return normaliseHost(text)
  const letters = Buffer.from(text, 'latin1').toString('utf8')
  return letters.includes('\ufffd') ? undefined : normaliseHost(letters)
}

function bad(reason: string): BadRequestHost {
  return { status: 400, reason }
}
