/**
 * Splits a stream of bytes into lines, whatever is in it.
 *
 * Limit: a line is given out up to `MAX_LINE` characters; what is longer is cut there, so a file without line ends costs no
 * more memory than any other.
 */
import type { Readable } from 'node:stream'

/** Longer than any URL that a server takes. */
const MAX_LINE = 65_536

/** @yields each line without its end; bytes as latin1, so that nothing can be malformed */
export async function* textLines(stream: Readable): AsyncGenerator<string> {
  let begun = ''
  for await (const chunk of stream.setEncoding('latin1') as AsyncIterable<string>) {
    let from = 0
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', from)) {
      yield joined(begun, chunk.slice(from, end)).replace(/\r$/, '')
      begun = ''
      from = end + 1
    }
    begun = joined(begun, chunk.slice(from))
  }
  if (begun !== '') yield begun
}

function joined(begun: string, more: string): string {
  return begun.length >= MAX_LINE ? begun : (begun + more).slice(0, MAX_LINE)
}
