/**
 * A `Response` that is only what it was made of, for as long as nobody asks more of it: Node's own costs 25 µs, because
 * it makes a stream for every body. Takes the place of the global class (fetch-classes.ts).
 *
 * Bodies of text and bytes, and none, stay as they are; any other is Node's from the start. Invariant: what is refused
 * (a status out of range, a body where there may be none, a bad header) is refused by the constructor, as in Node.
 */
import { inspect } from 'node:util'

/** The class as Node made it, before anything replaced the global one. */
export const NativeResponse = globalThis.Response

type NativeInstance = InstanceType<typeof NativeResponse>
type NativeBody = ConstructorParameters<typeof NativeResponse>[0]

/** A body that needs no stream. */
export type PlainBody = string | Uint8Array | null

/** What can be sent without asking the response for anything. */
export interface PlainResponse {
  status: number
  statusText: string
  /** Flat: name, value, … */
  headers: string[]
  body: PlainBody
}

const NULL_BODY_STATUS = new Set([101, 103, 204, 205, 304])
const TOKEN = /^[\^_`a-zA-Z\-0-9!#$%&'*+.|~]+$/
/** What Headers leaves as it is: no control characters, nothing to trim, nothing beyond a byte. */
const PLAIN_VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/
const REASON = /^[\t\x20-\x7e\x80-\xff]*$/

export class LightResponse {
  /** What it was made of; undefined when it is Node's from the start. */
  readonly #plain: PlainResponse | undefined
  #headers: Headers | undefined
  #native: NativeInstance | undefined

  constructor(body?: NativeBody | null, init?: ResponseInit) {
    this.#plain = plainResponse(body, init)
    if (this.#plain === undefined) this.#native = new NativeResponse(body, init)
  }

  /** Everything of a light one whose body was not touched and of which nobody made a stream; undefined for anything else. */
  static plainOf(value: unknown): PlainResponse | undefined {
    if (typeof value !== 'object' || value === null || !(#plain in value)) return undefined
    if (value.#plain === undefined || value.#native !== undefined) return undefined
    if (value.#headers === undefined) return value.#plain
    return { ...value.#plain, headers: [...value.#headers].flat() }
  }

  static json(data: unknown, init?: ResponseInit): LightResponse {
    const text = JSON.stringify(data)
    if (text === undefined) throw new TypeError('Value is not JSON serializable')
    const headers = new Headers(init?.headers)
    if (!headers.has('content-type')) headers.set('content-type', 'application/json')
    return new LightResponse(text, { ...init, headers })
  }

  static error(): NativeInstance {
    return NativeResponse.error()
  }

  static redirect(url: string | URL, status?: number): NativeInstance {
    return NativeResponse.redirect(url, status as 302)
  }

  get status(): number {
    return this.#plain?.status ?? this.#made().status
  }

  get statusText(): string {
    return this.#plain?.statusText ?? this.#made().statusText
  }

  get ok(): boolean {
    return this.status >= 200 && this.status <= 299
  }

  get headers(): Headers {
    this.#headers ??= this.#plain ? headersOf(this.#plain.headers) : this.#made().headers
    return this.#headers
  }

  get type(): NativeInstance['type'] {
    return 'default'
  }

  get url(): string {
    return ''
  }

  get redirected(): boolean {
    return false
  }

  get body(): ReadableStream | null {
    return this.#made().body
  }

  get bodyUsed(): boolean {
    return this.#native?.bodyUsed ?? false
  }

  text(): Promise<string> {
    return this.#made().text()
  }

  json(): Promise<unknown> {
    return this.#made().json()
  }

  bytes(): Promise<Uint8Array> {
    return this.#made().bytes()
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#made().arrayBuffer()
  }

  blob(): Promise<Blob> {
    return this.#made().blob()
  }

  formData(): Promise<unknown> {
    return this.#made().formData()
  }

  clone(): NativeInstance {
    const { status, statusText, headers } = this
    return new NativeResponse(this.#made().clone().body as NativeBody, { status, statusText, headers })
  }

  [inspect.custom](_depth: number, options: object): string {
    const { status, statusText, headers } = this
    return `Response ${inspect({ status, statusText, headers }, options)}`
  }

  #made(): NativeInstance {
    if (this.#native === undefined) {
      const { body, status, statusText } = this.#plain as PlainResponse
      this.#native = new NativeResponse(body as NativeBody, { status, statusText, headers: this.headers })
    }
    return this.#native
  }
}

Object.setPrototypeOf(LightResponse.prototype, NativeResponse.prototype)
Object.setPrototypeOf(LightResponse, NativeResponse)

/** What a response is made of, if that needs none of Node's help; what is wrong with it is left for Node to say. */
function plainResponse(body: unknown, init: ResponseInit | undefined): PlainResponse | undefined {
  const plainBody = body ?? null
  if (plainBody !== null && typeof plainBody !== 'string' && !(plainBody instanceof Uint8Array)) return undefined
  const { status = 200, statusText = '' } = init ?? {}
  if (!Number.isInteger(status) || status < 200 || status > 599) return undefined
  if (typeof statusText !== 'string' || !REASON.test(statusText)) return undefined
  if (plainBody !== null && NULL_BODY_STATUS.has(status)) return undefined
  const headers = flatHeaders(init?.headers)
  if (headers === undefined) return undefined
  if (typeof plainBody === 'string' && !hasContentType(headers))
    headers.push('content-type', 'text/plain;charset=UTF-8')
  // The site may write to its bytes afterwards: Node copies them too.
  return { status, statusText, headers, body: typeof plainBody === 'object' ? copyOf(plainBody) : plainBody }
}

function copyOf(body: Uint8Array | null): Uint8Array | null {
  return body === null ? null : Buffer.from(body)
}

function flatHeaders(headers: ResponseInit['headers'] | undefined): string[] | undefined {
  if (headers === undefined) return []
  if (headers instanceof Headers) return [...headers].flat()
  if (typeof headers !== 'object' || headers === null || Symbol.iterator in headers) return undefined
  const flat: string[] = []
  for (const name of Object.keys(headers)) {
    const value = (headers as Record<string, unknown>)[name]
    if (typeof value !== 'string' || !TOKEN.test(name) || !PLAIN_VALUE.test(value)) return undefined
    flat.push(name.toLowerCase(), value)
  }
  return flat
}

function hasContentType(flat: readonly string[]): boolean {
  for (let at = 0; at < flat.length; at += 2) if (flat[at] === 'content-type') return true
  return false
}

function headersOf(flat: readonly string[]): Headers {
  const headers = new Headers()
  for (let at = 0; at < flat.length; at += 2) headers.append(flat[at] as string, flat[at + 1] as string)
  return headers
}
