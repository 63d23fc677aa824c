/**
 * A `Request` that costs next to nothing until more is asked of it than its method, URL, headers and body: making a real
 * one costs 3 µs and a stream for its body 20 µs, more than all the rest of a small request.
 *
 * It is an instance of `Request`. Where a real one is needed (`new Request(request)`, `fetch(request)`, `clone()`), it
 * is made then; fetch-classes.ts sees to it. Invariant: the body is read once, here or by the real one.
 */
import { inspect } from 'node:util'
import type { IncomingBody } from './fetch-body.ts'

/** The class as Node made it, before anything replaced the global one. */
export const NativeRequest = globalThis.Request

/** Where a request comes from. */
export interface RequestSource {
  readonly method: string
  readonly url: string
  /** Flat: name, value, … */
  readonly headers: readonly string[]
  /** Undefined for a method without one. */
  readonly body: IncomingBody | undefined
  /** Aborts when nobody waits for the answer any more; made when asked for. */
  signal(): AbortSignal
}

const utf8 = new TextDecoder()

export class LightRequest {
  readonly #source: RequestSource
  #headers: Headers | undefined
  #native: Request | undefined
  #isRead = false

  constructor(source: RequestSource) {
    this.#source = source
  }

  static isLight(value: unknown): value is LightRequest {
    return typeof value === 'object' && value !== null && #source in value
  }

  /** The real request; the body is its own from here on. */
  native(): Request {
    this.#native ??= this.#makeNative()
    return this.#native
  }

  get method(): string {
    return this.#source.method
  }

  get url(): string {
    return this.#source.url
  }

  get headers(): Headers {
    this.#headers ??= headersOf(this.#source.headers)
    return this.#headers
  }

  get signal(): AbortSignal {
    return this.#source.signal()
  }

  get duplex(): 'half' {
    return 'half'
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (this.#source.body === undefined) return null
    return this.native().body
  }

  get bodyUsed(): boolean {
    return this.#native?.bodyUsed ?? this.#isRead
  }

  async text(): Promise<string> {
    return this.#native ? this.#native.text() : utf8.decode(await this.#whole())
  }

  async json(): Promise<unknown> {
    return this.#native ? this.#native.json() : JSON.parse(utf8.decode(await this.#whole()))
  }

  async bytes(): Promise<Uint8Array> {
    return this.#native ? this.#native.bytes() : new Uint8Array(await this.#whole())
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).buffer as ArrayBuffer
  }

  async blob(): Promise<Blob> {
    return this.native().blob()
  }

  async formData(): Promise<FormData> {
    return this.native().formData() as Promise<FormData>
  }

  clone(): Request {
    return this.native().clone()
  }

  [inspect.custom](_depth: number, options: object): string {
    const { method, url, headers } = this
    return `Request ${inspect({ method, url, headers }, options)}`
  }

  async #whole(): Promise<Uint8Array> {
    if (this.#isRead) throw new TypeError('Body is unusable: Body has already been read')
    if (this.#source.body === undefined) return new Uint8Array()
    this.#isRead = true
    return this.#source.body.whole()
  }

  #makeNative(): Request {
    const { method, url, body } = this.#source
    const init: RequestInit = { method, headers: this.headers, signal: this.signal }
    if (body === undefined) return new NativeRequest(url, init)
    // What is read here, or was, stays here: the real one gets a body that is used up.
    const stream = this.#isRead ? new ReadableStream() : body.stream()
    const native = new NativeRequest(url, { ...init, body: stream as RequestInit['body'] & {}, duplex: 'half' })
    if (this.#isRead) void native.body?.cancel()
    return native
  }
}

/** What is rarely asked comes from the real one. */
const RARE = [
  'cache',
  'credentials',
  'destination',
  'integrity',
  'isHistoryNavigation',
  'isReloadNavigation',
  'keepalive',
  'mode',
  'redirect',
  'referrer',
  'referrerPolicy',
] as const

for (const name of RARE) {
  Object.defineProperty(LightRequest.prototype, name, {
    configurable: true,
    enumerable: true,
    get(this: LightRequest) {
      return (this.native() as unknown as Record<string, unknown>)[name]
    },
  })
}
Object.setPrototypeOf(LightRequest.prototype, NativeRequest.prototype)

function headersOf(flat: readonly string[]): Headers {
  const headers = new Headers()
  for (let at = 0; at < flat.length; at += 2) {
    const [name, value] = [flat[at] as string, flat[at + 1] as string]
    // RFC 9113 §8.2.3: cookies may come in several fields, and belong together with a semicolon.
    if (name.length === 6 && name.toLowerCase() === 'cookie' && headers.has('cookie')) {
      headers.set('cookie', `${headers.get('cookie')}; ${value}`)
    } else headers.append(name, value)
  }
  return headers
}
