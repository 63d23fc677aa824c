/**
 * The parts of a file that a client asks for (RFC 9110 §14), and how several of them are put in one answer. Pure.
 *
 * Where the RFC leaves it open, it is as in nginx: parts come in the order asked for and are not joined; whoever asks for
 * more bytes in parts than there are gets the whole, which ends the attack of many overlapping ranges, and so does whoever
 * asks for more than `MAX_RANGES`; what is no list of ranges is answered with 416.
 */
import { randomBytes } from 'node:crypto'

/** Offsets in bytes; the last byte is part of it. */
export interface ByteRange {
  start: number
  end: number
}

/** `whole`: as if no range had been asked for. `none`: nothing of what was asked for is there. */
export type RangeWish = 'whole' | 'none' | ByteRange[]

/** Most parts of one answer. Programs that read PDF files ask for some 20 at once. */
const MAX_RANGES = 100
/** Longer headers are not read: so many ranges are no good. */
const MAX_HEADER_LENGTH = 4096

const SPEC = /^[\t ]*(\d{0,15})-(\d{0,15})[\t ]*$/

/**
 * Reads a Range header.
 *
 * @param size of the file, in bytes
 */
export function readRanges(header: string, size: number): RangeWish {
  const unit = /^[\t ]*bytes=/i.exec(header)?.[0]
  if (unit === undefined || size === 0 || header.length > MAX_HEADER_LENGTH) return 'whole'
  const ranges: ByteRange[] = []
  let bytes = 0
  for (const spec of header.slice(unit.length).split(',')) {
    if (spec.trim() === '') continue // RFC 9110 §5.6.1.2: empty elements of a list do not count
    const range = readRange(spec, size)
    if (range === 'malformed') return 'none'
    if (range === undefined) continue
    bytes += range.end - range.start + 1
    if (ranges.push(range) > MAX_RANGES) return 'whole'
  }
  if (ranges.length === 0) return 'none'
  return bytes > size ? 'whole' : ranges
}

/** @returns undefined for what lies behind the end, or begins behind its own end */
function readRange(spec: string, size: number): ByteRange | 'malformed' | undefined {
  const [, first, last] = SPEC.exec(spec) ?? []
  if (first === undefined || last === undefined || (first === '' && last === '')) return 'malformed'
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  return start <= end ? { start, end } : undefined
}

/** An answer of several parts, each with a head of its own (RFC 9110 §14.6). */
export interface Multipart {
  /** Its Content-Type. */
  type: string
  /** Of the whole body, in bytes. */
  length: number
  parts: { head: Buffer; range: ByteRange }[]
  tail: Buffer
}

/** @param type Content-Type of the file @param size of the file, in bytes */
export function multipart(ranges: readonly ByteRange[], type: string, size: number): Multipart {
  const boundary = randomBytes(15).toString('hex') // is in no file but by chance of 1 in 2^120
  const parts = ranges.map((range) => {
    const contentRange = `bytes ${range.start}-${range.end}/${size}`
    const lines = [`\r\n--${boundary}`, `Content-Type: ${type}`, `Content-Range: ${contentRange}`, '\r\n']
    return { head: Buffer.from(lines.join('\r\n'), 'latin1'), range }
  })
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1')
  const bytes = parts.map(({ head, range }) => head.byteLength + range.end - range.start + 1)
  const length = bytes.reduce((sum, one) => sum + one, tail.byteLength)
  return { type: `multipart/byteranges; boundary=${boundary}`, length, parts, tail }
}
