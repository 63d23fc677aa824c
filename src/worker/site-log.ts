/**
 * Lines for the logs of sites, as frames. Each is written at once, so that the last line before an endless loop is not
 * lost.
 *
 * Limits: what a site writes beyond its budget of lines and characters a second, and while more than `MAX_BACKLOG_BYTES` wait
 * for the dispatcher, is dropped and counted; how much is told as soon as there is room. A text is cut at
 * `MAX_TEXT_LENGTH`. Invariant: a flood of one site's lines costs the others no more than its budget does.
 */
import { StringDecoder } from 'node:string_decoder'
import type { Channel } from '../protocol/channel.ts'
import type { LogLevel } from '../protocol/frames.ts'
import { cutText } from './cut-text.ts'
import { withoutMarks } from './graph-mark.ts'
import { currentRequestId } from './request-context.ts'

const MAX_BACKLOG_BYTES = 1024 * 1024
/** In UTF-16 units: three bytes each at most, so a frame of it is always small enough. */
const MAX_TEXT_LENGTH = 256 * 1024
/** How often it is tried to tell what was dropped, in ms. */
const RETRY_MS = 500

/**
 * What a site may write in one thread, a second for long and at once. Each text is a write of the thread and a line of the
 * dispatcher, some 30 µs together: 100,000 a second made the neighbours wait for seconds (`npm run chaos log-flood`).
 */
const TEXTS: Allowance = { perSecond: 2_000, burst: 10_000 }
const CHARACTERS: Allowance = { perSecond: 2 * 1024 ** 2, burst: 8 * 1024 ** 2 }

export class SiteLog {
  readonly #channel: Channel
  readonly #generation: number
  readonly #texts = new Budget(TEXTS)
  readonly #characters = new Budget(CHARACTERS)
  #dropped = 0
  #retry: NodeJS.Timeout | undefined

  /** @param generation 0 for what belongs to no site */
  constructor(channel: Channel, generation: number) {
    this.#channel = channel
    this.#generation = generation
  }

  /** @param written one line, or several that belong together, without the last line feed */
  write(level: LogLevel, written: string): void {
    if (!this.#hasRoom()) {
      this.#dropped++
      this.#retry ??= setTimeout(() => this.#tellDropped(), RETRY_MS).unref()
      return
    }
    if (this.#dropped > 0) this.#tellDropped()
    this.#send(level, cutText(withoutMarks(written), MAX_TEXT_LENGTH), currentRequestId())
  }

  #tellDropped(): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
    if (!this.#hasRoom()) {
      this.#retry = setTimeout(() => this.#tellDropped(), RETRY_MS).unref()
      return
    }
    const dropped = this.#dropped
    this.#dropped = 0
    this.#send('warn', `${dropped} lines of this log were dropped: they came faster than they could be written`)
  }

  #hasRoom(): boolean {
    if (this.#channel.unsentBytes > MAX_BACKLOG_BYTES) return false
    const now = performance.now()
    return this.#texts.left(now) >= 1 && this.#characters.left(now) > 0
  }

  #send(level: LogLevel, text: string, request?: string): void {
    this.#texts.take(1)
    this.#characters.take(text.length)
    const line = { type: 'log', id: this.#generation, level, text } as const
    this.#channel.send(request === undefined ? line : { ...line, request })
    this.#channel.flush()
  }
}

interface Allowance {
  perSecond: number
  burst: number
}

/** A token bucket; may be overdrawn by what is taken last. */
class Budget {
  readonly #allowance: Allowance
  #left: number
  #at = 0

  constructor(allowance: Allowance) {
    this.#allowance = allowance
    this.#left = allowance.burst
  }

  /** @param now of `performance.now()` */
  left(now: number): number {
    const { perSecond, burst } = this.#allowance
    this.#left = Math.min(burst, this.#left + ((now - this.#at) / 1_000) * perSecond)
    this.#at = now
    return this.#left
  }

  take(amount: number): void {
    this.#left -= amount
  }
}

/** Longest part of a line that is kept for its line feed, in UTF-16 units. */
const MAX_PARTIAL_LENGTH = 64 * 1024
/** How long a part of a line waits for its line feed, in ms. */
const PARTIAL_WAIT_MS = 200

/** Makes lines of what a site writes to its standard output or error. */
export class LineBuffer {
  readonly #onText: (level: LogLevel, text: string) => void
  #partial = ''
  #level: LogLevel = 'out'
  #decoder: StringDecoder | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(onText: (level: LogLevel, text: string) => void) {
    this.#onText = onText
  }

  /**
   * Takes what is written; gives on all that ends in a line feed as one text.
   *
   * @param written text, or bytes of UTF-8, which may be cut within a character
   */
  write(level: LogLevel, written: string | Uint8Array): void {
    const text = typeof written === 'string' ? written : this.#decode(written)
    const end = text.lastIndexOf('\n')
    this.#level = level
    if (end === -1) this.#partial += text
    else this.#giveLines(this.#partial + text.slice(0, end), text.slice(end + 1))
    if (this.#partial.length > MAX_PARTIAL_LENGTH) this.flush()
    else if (this.#partial !== '') this.#timer ??= setTimeout(() => this.flush(), PARTIAL_WAIT_MS).unref()
  }

  /** Gives on what has no line feed yet. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const partial = this.#partial
    this.#partial = ''
    if (partial !== '') this.#onText(this.#level, partial)
  }

  #giveLines(lines: string, partial: string): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#partial = partial
    this.#onText(this.#level, lines)
  }

  #decode(bytes: Uint8Array): string {
    this.#decoder ??= new StringDecoder('utf8')
    return this.#decoder.write(bytes)
  }
}
