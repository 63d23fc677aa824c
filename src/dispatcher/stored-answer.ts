/**
 * One answer as it is stored: its head, its body, and the forms in which clients get it (as it is, or compressed), each made
 * once, when the first client wants it.
 *
 * Invariant: nothing of a stored answer changes but its forms; one that the site has confirmed is another.
 */
import { readHttpDate } from './cache-directives.ts'
import type { Terms } from './cache-policy.ts'
import { codeHead } from './compress-head.ts'
import type { Accepted, Coding } from './content-coding.ts'
import { compressAside, compressWhole } from './content-coding.ts'
import type { AnswerHead } from './front-response.ts'
import { fieldNames, fieldOf, withoutFields } from './header-fields.ts'
import type { RepeatedHead } from './repeated-head.ts'

/** Head and body as a client gets them. */
export interface Form {
  /** Without Age and Cache-Status. */
  headers: string[]
  body: Buffer
  /** The body once more as latin1, where it is small: Node joins it to the head for one write. */
  text: string | undefined
  /** The head as last sent, and for which age, in seconds. */
  sent: RepeatedHead | undefined
  sentAge: number
}

/** As in client-exchange.ts. */
const JOIN_BYTES = 16 * 1024
/** What a stored answer takes beside its bytes, roughly. */
const OVERHEAD_BYTES = 1024
/** Larger bodies are not compressed on this thread: 0.1 s for 4 MB of text. */
const AT_ONCE_BYTES = 64 * 1024

/** Fields that are about one connection (RFC 9110 §7.6.1), or made anew for each use. */
const NOT_STORED = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'age',
])

/** Fields of a 304 that do not change what is stored (RFC 9111 §3.2), because its body stays. */
const NOT_UPDATED = new Set(['content-length', 'content-encoding', 'content-range', 'content-md5', 'etag'])

export class StoredAnswer {
  readonly status: number
  readonly reason: string | undefined
  readonly terms: Terms
  /** What the request had in the fields that the answer varies by; see `variantOf`. */
  readonly variant: string
  readonly body: Buffer
  readonly headers: readonly string[]
  readonly etag: string | undefined
  readonly lastModified: string | undefined
  /** When it was changed last, or made, where that is not said (RFC 9111 §4.3.2); Unix time in ms. */
  readonly modifiedAt: number | undefined
  readonly #forms = new Map<Coding | 'identity' | 'varied', Form>()
  /** Forms that are being made aside. */
  readonly #coming = new Set<Coding>()
  readonly #headBytes: number

  constructor(head: AnswerHead, body: Buffer, terms: Terms, variant: string) {
    this.status = head.status
    this.reason = head.reason
    this.terms = terms
    this.variant = variant
    this.body = body
    this.headers = head.headers
    this.etag = fieldOf(head.headers, 'etag')
    this.lastModified = fieldOf(head.headers, 'last-modified')
    this.modifiedAt = readHttpDate(this.lastModified ?? fieldOf(head.headers, 'date'))
    this.#headBytes = head.headers.reduce((sum, text) => sum + text.length, 0)
  }

  /** How many forms of it there are. */
  get forms(): number {
    return this.#forms.size
  }

  /** What it takes, in bytes. */
  get bytes(): number {
    let bytes = OVERHEAD_BYTES + this.#headBytes + this.body.byteLength + this.variant.length
    for (const form of this.#forms.values()) {
      bytes += this.#headBytes + (form.text?.length ?? 0) + (form.body === this.body ? 0 : form.body.byteLength)
    }
    return bytes
  }

  /** @param accepted what the client takes; undefined where the site's answers are not compressed */
  form(accepted: Accepted | undefined): Form {
    const name = accepted === undefined ? 'identity' : (accepted.coding ?? 'varied')
    const known = this.#forms.get(name)
    if (known !== undefined && accepted?.needsCoding !== true) return known
    const form = this.#make(accepted)
    if (accepted?.needsCoding !== true) this.#forms.set(name, form)
    return form
  }

  /**
   * Whether its form for such a client is there, or is made in no time; else it is made aside, once.
   *
   * @param onMade called when it is there
   */
  isReady(accepted: Accepted | undefined, onMade: () => void): boolean {
    const coding = accepted?.coding
    if (coding === undefined || this.body.byteLength <= AT_ONCE_BYTES || this.#forms.has(coding)) return true
    const head: AnswerHead = { status: this.status, reason: this.reason, headers: [...this.headers] }
    if (codeHead(head, { coding, needsCoding: false }) === undefined) return true
    if (this.#coming.has(coding)) return false
    this.#coming.add(coding)
    const made = (body: Buffer): void => {
      head.headers.push('Content-Length', String(body.byteLength))
      this.#forms.set(coding, { headers: head.headers, body, text: undefined, sent: undefined, sentAge: -1 })
      onMade()
    }
    // Without memory for it, clients get it compressed one by one.
    compressAside(coding, this.body).then(made, () => {})
    return false
  }

  #make(accepted: Accepted | undefined): Form {
    const head: AnswerHead = { status: this.status, reason: this.reason, headers: [...this.headers] }
    const coding = accepted === undefined ? undefined : codeHead(head, accepted)
    const body = coding === undefined ? this.body : compressWhole(coding, this.body)
    if (coding !== undefined) head.headers.push('Content-Length', String(body.byteLength))
    const text = body.byteLength <= JOIN_BYTES ? body.toString('latin1') : undefined
    return { headers: head.headers, body, text, sent: undefined, sentAge: -1 }
  }
}

/** The head as it is to be stored: without what is of the connection alone, with a Date and a length. */
export function storedHead(head: AnswerHead, bodyBytes: number, cameAt: number): AnswerHead {
  const named = (fieldOf(head.headers, 'connection') ?? '').toLowerCase().split(/[\s,]+/)
  const headers = withoutFields(head.headers, (name) => NOT_STORED.has(name) || named.includes(name))
  if (fieldOf(headers, 'date') === undefined) headers.push('Date', new Date(cameAt).toUTCString())
  const hasBody = head.status !== 204
  if (hasBody && fieldOf(headers, 'content-length') === undefined) headers.push('Content-Length', String(bodyBytes))
  return { status: head.status, reason: head.reason, headers }
}

/** What is stored, with what a 304 says of it (RFC 9111 §3.2). */
export function updatedHead(stored: StoredAnswer, confirmed: AnswerHead, cameAt: number): AnswerHead {
  const fresh = withoutFields(confirmed.headers, (name) => NOT_UPDATED.has(name) || NOT_STORED.has(name))
  if (fieldOf(fresh, 'date') === undefined) fresh.push('Date', new Date(cameAt).toUTCString())
  const names = fieldNames(fresh)
  const kept = withoutFields(stored.headers, (name) => names.has(name))
  return { status: stored.status, reason: stored.reason, headers: [...kept, ...fresh] }
}
