/**
 * Files that were compressed beforehand and lie beside the original (`app.js.br`): which there are, and which of them a
 * client gets. They count as they are, whatever their date, as in nginx.
 */
import { LRUCache } from 'lru-cache'
import Negotiator from 'negotiator'
import { look } from './find-file.ts'

/** A form in which a file can be sent. */
export interface Coding {
  /** As in `Content-Encoding`. */
  name: string
  /** At the end of the file's name. */
  suffix: string
}

/** The best first. */
const CODINGS: readonly Coding[] = [
  { name: 'br', suffix: '.br' },
  { name: 'zstd', suffix: '.zst' },
  { name: 'gzip', suffix: '.gz' },
]
/** As negotiator 1.1 has it; its types are of an older one, without the second parameter. */
type Encodings = (available: string[], options: { preferred: string[] }) => string[]

const NONE: readonly Coding[] = []
const IDENTITY = 'identity'
const PREFERRED = [...CODINGS.map(({ name }) => name), IDENTITY]
/** Nobody compresses these a second time, so three looks at the disk are saved. */
const COMPRESSED_ALREADY = /^(?:image\/(?!svg|bmp|x-icon|vnd)|video\/|audio\/|font\/woff)/

/** The codings in which a file is there. @param type its Content-Type */
export async function codingsOf(file: string, type: string): Promise<readonly Coding[]> {
  if (COMPRESSED_ALREADY.test(type)) return NONE
  const there = await Promise.all(CODINGS.map(async ({ suffix }) => (await look(file + suffix))?.isFile() === true))
  return there.includes(true) ? CODINGS.filter((_, at) => there[at]) : NONE
}

/**
 * What a client gets (RFC 9110 §12.5.3): of what it likes best, our best.
 *
 * @param accept its Accept-Encoding
 * @returns undefined for the file as it is
 */
export function chooseCoding(accept: string | undefined, codings: readonly Coding[]): Coding | undefined {
  if (accept === undefined || codings.length === 0) return undefined
  for (const name of likings(accept)) {
    if (name === IDENTITY) return undefined
    const coding = codings.find((one) => one.name === name)
    if (coding !== undefined) return coding
  }
  return undefined
}

/** What a client takes, the best first; browsers send the same few headers again and again. */
const known = new LRUCache<string, readonly string[]>({ max: 100 })
const MAX_KNOWN_LENGTH = 100

function likings(accept: string): readonly string[] {
  const before = known.get(accept)
  if (before !== undefined) return before
  const request = new Negotiator({ headers: { 'accept-encoding': accept } })
  const names = (request.encodings as Encodings).call(request, PREFERRED, { preferred: PREFERRED })
  if (accept.length <= MAX_KNOWN_LENGTH) known.set(accept, names)
  return names
}
