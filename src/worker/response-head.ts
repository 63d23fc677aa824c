/**
 * Turns the head that Node's `ServerResponse` has written as text into a frame's head. Pure, but for heads that it knows.
 *
 * Framing is the front's: `Transfer-Encoding: chunked`, `Keep-Alive` and `Connection: keep-alive` are left out. A
 * `Connection` header that says anything else stays, so that a site can have its client's connection closed.
 */
import { responseText } from '../protocol/codec.ts'
import type { ResponseHead } from '../protocol/frames.ts'
import { KnownHeads } from '../protocol/known-heads.ts'

/** `HTTP/1.1 ` */
const STATUS_AT = 9
const REASON_AT = STATUS_AT + 4
const CARRIAGE_RETURN = 13

/**
 * Takes the text of a head apart.
 *
 * @param text status line, headers and the empty line, as `ServerResponse.prototype._storeHeader` leaves them
 * @param isUtf8 whether Node would send this text as UTF-8: it does when a body that is not chunked begins with a UTF-8
 *   string, because it sends both in one write, and with `flushHeaders`, an empty one. A header with other letters than ASCII then has other bytes.
 * @throws Error for a text that Node has not written: a site may set the private field that it comes from
 */
export function parseResponseHead(text: string, isUtf8: boolean): ResponseHead {
  const bytes = isUtf8 ? latin1OfUtf8(text) : text
  const lineEnd = endOfLine(bytes, 0)
  return {
    status: Number(bytes.slice(STATUS_AT, REASON_AT - 1)),
    reason: bytes.slice(REASON_AT, lineEnd),
    headers: parseLines(bytes, lineEnd + 2),
  }
}

const KNOWN = new KnownHeads((isUtf8, text) => {
  const head = parseResponseHead(text, isUtf8 === 1)
  return { ...head, text: responseText(head) }
})

/** As `parseResponseHead`, of a text that may come again: most answers of a site have one of few heads. */
export function knownResponseHead(text: string, isUtf8: boolean): ResponseHead {
  return KNOWN.head(isUtf8 ? 1 : 0, text)
}

/** The same head for a body of so many bytes. */
export function withLength({ status, reason, headers }: ResponseHead, bytes: number): ResponseHead {
  return { status, reason, headers: [...headers, 'Content-Length', String(bytes)] }
}

/** Headers of `name: value` lines, such as trailers, without framing headers. @throws Error as `parseResponseHead` */
export function parseHeaderLines(text: string): string[] {
  return text === '' ? [] : parseLines(text, 0)
}

function parseLines(text: string, from: number): string[] {
  const headers: string[] = []
  let at = from
  while (at < text.length) {
    const end = endOfLine(text, at)
    if (end === at) return headers
    const colon = text.indexOf(': ', at)
    if (colon === -1 || colon > end) throw new Error('a line of its head is no header')
    const name = text.slice(at, colon)
    const value = text.slice(colon + 2, end)
    if (!isFraming(name, value)) headers.push(name, value)
    at = end + 2
  }
  return headers
}

/** Where the line that begins at `at` has its CR LF. A LF alone, which some take for the end of a line, is refused. */
function endOfLine(text: string, at: number): number {
  const end = text.indexOf('\n', at) - 1
  if (end < at || text.charCodeAt(end) !== CARRIAGE_RETURN) throw new Error('its head has a line break within a line')
  return end
}

function isFraming(name: string, value: string): boolean {
  if (name.length === 10) {
    if (name === 'Connection') return value === 'keep-alive' || value.toLowerCase() === 'keep-alive'
    const lower = name.toLowerCase()
    return lower === 'keep-alive' || (lower === 'connection' && value.toLowerCase() === 'keep-alive')
  }
  return name.length === 17 && name.toLowerCase() === 'transfer-encoding' && value.toLowerCase() === 'chunked'
}

/** The characters whose latin1 bytes are the UTF-8 bytes of `text`. */
function latin1OfUtf8(text: string): string {
  // Pure ASCII, as nearly all heads are: counting is a third of the cost of a search by regular expression.
  if (Buffer.byteLength(text, 'utf8') === text.length) return text
  return Buffer.from(text, 'utf8').toString('latin1')
}
