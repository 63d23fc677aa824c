/**
 * The head of the answer to an upgrade, where a site's own code writes it to the connection: read out of its first bytes, so
 * that what holds for each answer of the site (its own headers, the status in the access log) holds for this one.
 *
 * Limits: a head of `MAX_HEAD_BYTES`. What is longer, or no head of HTTP/1, goes to the client as it is. Invariant: what comes
 * out is what went in, in its order, but for a whole head that somebody changed.
 */
import type { AnswerHead } from './front-response.ts'

/** What can leave of the bytes that were taken so far. */
export interface SwitchParts {
  head: Buffer
  /** What came behind the head, or in its place. */
  rest: Buffer
}

/** @returns the head that is sent in its place; undefined for the one that was written */
export type SwitchListener = (head: AnswerHead) => AnswerHead | undefined

/** What Node takes of a head. */
const MAX_HEAD_BYTES = 16 * 1024
const PROTOCOL = 'HTTP/1.'
const HEAD_END = /\r?\n\r?\n/
/** RFC 9112 §4. */
const STATUS_LINE = /^HTTP\/1\.[01] ([1-5]\d\d)(?: (.*))?$/
/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~\w]+$/

export class SwitchHead {
  readonly #listener: SwitchListener
  #held = ''
  #isOver = false

  /** @param listener hears of the head that ends the handshake: 101, or another final answer */
  constructor(listener: SwitchListener) {
    this.#listener = listener
  }

  /** Whether nothing that comes has to be looked at any more. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Takes the next bytes of the site. */
  take(chunk: Uint8Array): SwitchParts {
    this.#held += Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1')
    let left = ''
    while (!this.#isOver) {
      const next = this.#next()
      if (next === undefined) return { head: bytesOf(left), rest: bytesOf('') }
      left += next
    }
    return { head: bytesOf(left), rest: this.rest() }
  }

  /** What was taken and has not left: nothing more comes. */
  rest(): Buffer {
    const rest = this.#held
    this.#held = ''
    return bytesOf(rest)
  }

  /** @returns the next head; undefined where it is not whole yet, '' where there is none */
  #next(): string | undefined {
    const end = HEAD_END.exec(this.#held)
    if (end === null && this.#mayBecomeHead()) return undefined
    const head = end === null ? undefined : readHead(this.#held.slice(0, end.index))
    // 100 and 103 only go ahead of it.
    this.#isOver = head === undefined || head.status === 101 || head.status >= 200
    if (end === null || head === undefined) return ''
    const text = this.#held.slice(0, end.index + end[0].length)
    this.#held = this.#held.slice(text.length)
    const changed = this.#isOver ? this.#listener(head) : undefined
    return changed === undefined ? text : writtenHead(changed)
  }

  #mayBecomeHead(): boolean {
    return this.#held.length <= MAX_HEAD_BYTES && PROTOCOL.startsWith(this.#held.slice(0, PROTOCOL.length))
  }
}

/** A head as it is sent. */
export function writtenHead({ status, reason, headers }: AnswerHead): string {
  let text = `HTTP/1.1 ${status} ${reason ?? ''}\r\n`
  for (let at = 0; at + 1 < headers.length; at += 2) text += `${headers[at]}: ${headers[at + 1]}\r\n`
  return `${text}\r\n`
}

/** @returns undefined where it is none, or not written as RFC 9112 says */
function readHead(text: string): AnswerHead | undefined {
  const [first = '', ...lines] = text.split(/\r?\n/)
  const [, status, reason] = STATUS_LINE.exec(first) ?? []
  if (status === undefined) return undefined
  const headers: string[] = []
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(colon, 0))
    if (!TOKEN.test(name)) return undefined
    headers.push(name, line.slice(colon + 1).trim())
  }
  return { status: Number(status), reason, headers }
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}
