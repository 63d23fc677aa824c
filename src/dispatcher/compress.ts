/**
 * Compresses answers on their way to the client (`[site] compress`). What is compressed is decided by compress-head.ts,
 * with what by content-coding.ts.
 *
 * Limits: a body that comes whole is compressed at once up to `WHOLE_BYTES`, else by a stream. What a stream holds is bounded
 * by its buffers: whoever writes waits for `drain`, as it would without it.
 * Invariant: what a site has written by the end of a turn of the event loop is on its way to the client in the next one.
 */
import type { Transform } from 'node:stream'
import { codeHead, isSmall, weakenConfirmed } from './compress-head.ts'
import type { Accepted, Coding, Compressor } from './content-coding.ts'
import { acceptedCoding, compressWhole, openCompressor } from './content-coding.ts'
import type { AnswerFilter, AnswerHead, BodyFilter, BodySink, FrontResponse } from './front-response.ts'
import type { Answerer, Visit } from './visit.ts'

/**
 * Up to this size one call takes less time of this thread than to feed a stream (8 KB, zstd: 0.10 ms against 0.32 ms, both
 * threads counted), and never more than 0.5 ms.
 */
const WHOLE_BYTES = 32 * 1024

/** The step that lets the answers of a site be compressed. */
export function compressing(visit: Visit, next: Answerer): void {
  if (visit.upgrade === undefined) visit.res.addFilter(COMPRESSION)
  next(visit)
}

/** One for all: everything about an answer is in its head and its response. */
export const COMPRESSION: AnswerFilter = { isFor, onHead }

/** Most answers of programs are small: those are told by their length alone, but for parts, of what may be large. */
function isFor(status: number, headers: readonly unknown[], response: FrontResponse): boolean {
  if (status === 304 || status === 206 || !isSmall(headers)) return true
  return acceptedCoding(response.req.rawHeaders).needsCoding
}

function onHead(head: AnswerHead, response: FrontResponse): BodyFilter | undefined {
  const { req } = response
  if (head.status === 304) {
    const known = req.headers['if-none-match']
    if (known !== undefined) weakenConfirmed(head, known)
    return undefined
  }
  const accepted: Accepted = acceptedCoding(req.rawHeaders)
  const coding = codeHead(head, accepted)
  if (coding === undefined || req.method === 'HEAD') return undefined
  return (next) => new CompressingSink(coding, next, response)
}

/** Compresses one body. */
class CompressingSink implements BodySink {
  readonly #coding: Coding
  readonly #next: BodySink
  readonly #response: FrontResponse
  /** The first part, as long as it may turn out to be all. */
  #first: Uint8Array | undefined
  #compressor: Compressor | undefined
  #isEnded = false
  #flushSet = false

  constructor(coding: Coding, next: BodySink, response: FrontResponse) {
    this.#coding = coding
    this.#next = next
    this.#response = response
  }

  write(chunk: Uint8Array): boolean {
    if (chunk.byteLength === 0) return true
    if (this.#compressor === undefined && this.#first === undefined) {
      this.#first = chunk
      this.#flushSoon()
      return true
    }
    const { stream } = this.#open()
    this.#flushSoon()
    return stream.write(chunk)
  }

  end(): void {
    this.#isEnded = true
    const first = this.#first
    if (this.#compressor === undefined && (first === undefined || first.byteLength <= WHOLE_BYTES)) {
      this.#first = undefined
      this.#sendWhole(first ?? NOTHING)
    } else this.#open().stream.end()
  }

  #sendWhole(body: Uint8Array): void {
    let coded: Buffer
    try {
      coded = compressWhole(this.#coding, body)
    } catch {
      this.#response.destroy() // zlib gets no memory; the head is out
      return
    }
    this.#next.write(coded)
    this.#next.end()
  }

  /** The stream, with what was held back in it. */
  #open(): Compressor {
    if (this.#compressor !== undefined) return this.#compressor
    const compressor = openCompressor(this.#coding)
    this.#compressor = compressor
    const { stream } = compressor
    const response = this.#response
    stream.on('data', (part: Buffer) => {
      if (!this.#next.write(part)) stream.pause()
    })
    response.on('drain', () => stream.resume())
    this.#guardDrain(stream)
    stream.on('end', () => this.#next.end())
    stream.on('error', () => response.destroy())
    response.once('close', () => stream.destroy())
    if (this.#first !== undefined) stream.write(this.#first)
    this.#first = undefined
    return compressor
  }

  /**
   * Whoever waits for the response's `drain` waits for the stream: the client's own are kept from it while the stream is
   * full, or a body that is taken slowly would gather here.
   */
  #guardDrain(stream: Transform): void {
    const response = this.#response
    const emit = response.emit
    response.emit = (event: string | symbol, ...given: unknown[]): boolean => {
      if (event !== 'drain' || !stream.writableNeedDrain) return emit.call(response, event as 'drain', ...(given as []))
      stream.resume()
      return true
    }
    stream.on('drain', () => {
      if (!response.writableNeedDrain) response.emit('drain')
    })
  }

  #flushSoon(): void {
    if (this.#flushSet) return
    this.#flushSet = true
    setImmediate(() => {
      this.#flushSet = false
      if (!this.#isEnded && !this.#response.destroyed) this.#open().flush()
    })
  }
}

const NOTHING = Buffer.alloc(0)
