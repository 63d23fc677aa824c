/**
 * The URL of a request, as a fetch handler sees it. Pure.
 */
import type { RequestHead } from '../protocol/frames.ts'

/**
 * Names and ports that a URL leaves as they are: lower case, no last label that may be a number (`0x7f`), and no port that
 * is its scheme's own.
 */
const PLAIN_HOST = /^(?:[a-z0-9_-]+\.)*[a-z][a-z0-9_-]*\.?(?::(?:[1-9]\d{3}|[1-5]\d{4}))?$/
/** Paths and queries that a URL leaves as they are. */
const PLAIN_TARGET = /^\/[!#$&(-;=?-[\]_a-z~]*$/
const DOT_SEGMENT = /\/\.\.?(?:[/?#]|$)/

/** @returns an absolute URL, normalised as `new URL` does it, which costs more than most handlers */
export function requestUrl(head: RequestHead): string {
  const scheme = head.encrypted ? 'https' : 'http'
  const host = hostOf(head)
  const target = head.url.startsWith('/') ? head.url : `/${head.url}`
  const url = `${scheme}://${host}${target}`
  if (PLAIN_HOST.test(host) && !host.includes('xn--') && PLAIN_TARGET.test(target) && !DOT_SEGMENT.test(target))
    return url
  return URL.parse(url)?.href ?? `${scheme}://localhost/`
}

/** The front has checked it. Without one (HTTP/1.0) the address stands in. */
function hostOf({ headers, localAddress, localPort }: RequestHead): string {
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string
    if (name.length === 4 && name.toLowerCase() === 'host') return headers[at + 1] as string
  }
  if (localAddress === '') return 'localhost'
  return `${localAddress.includes(':') ? `[${localAddress}]` : localAddress}:${localPort}`
}
