/**
 * What a program prints, as lines for the log.
 *
 * Limits: `MAX_LINE_LENGTH` characters a line, the rest of it is dropped; `MAX_LINES` in `WINDOW_MS`, beyond it lines are counted, and
 * how many there were is told; `MAX_BYTES` in the same time, beyond it the program waits for the next, because reading takes
 * the time of all sites. Invariant: a program never waits for the log.
 */
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

const MAX_LINE_LENGTH = 8_192
const MAX_LINES = 500
const MAX_BYTES = 4 * 1024 * 1024
const WINDOW_MS = 1_000

/** The share of one program, both its outputs together. */
export class LineRate {
  readonly #onDropped: (count: number) => void
  #count = 0
  #bytes = 0
  readonly #waiting = new Set<Readable>()
  #timer: NodeJS.Timeout | undefined

  /** @param onDropped told at the end of a time in which there were too many */
  constructor(onDropped: (count: number) => void) {
    this.#onDropped = onDropped
  }

  /** Whether one more line may be written now. */
  allows(): boolean {
    this.#open()
    return ++this.#count <= MAX_LINES
  }

  /** So many bytes were read of an output, which stands still from here on where that was too much. */
  noteRead(stream: Readable, bytes: number): void {
    this.#open()
    this.#bytes += bytes
    if (this.#bytes < MAX_BYTES) return
    stream.pause()
    this.#waiting.add(stream)
  }

  #open(): void {
    this.#timer ??= setTimeout(() => this.#end(), WINDOW_MS).unref()
  }

  #end(): void {
    const dropped = this.#count - MAX_LINES
    this.#count = 0
    this.#bytes = 0
    this.#timer = undefined
    for (const stream of this.#waiting) stream.resume()
    this.#waiting.clear()
    if (dropped > 0) this.#onDropped(dropped)
  }
}

/** Reads a program's output to its end. */
export function readLines(stream: Readable, rate: LineRate, onLine: (line: string) => void): void {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  const give = (line: string): void => {
    const text = line.slice(0, MAX_LINE_LENGTH).trimEnd()
    if (text !== '' && rate.allows()) onLine(text)
  }
  stream.on('data', (chunk: Buffer) => {
    rate.noteRead(stream, chunk.byteLength)
    const lines = decoder.write(chunk).split('\n')
    lines[0] = rest + lines[0]
    rest = (lines.pop() ?? '').slice(0, MAX_LINE_LENGTH)
    for (const line of lines) give(line)
  })
  stream.on('end', () => give(rest))
  stream.on('error', () => {})
}
