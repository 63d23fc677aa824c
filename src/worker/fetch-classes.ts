/**
 * Puts the light classes in the place of the global `Request` and `Response`, once a thread, and makes the functions
 * that need real ones accept them.
 */
import { LightRequest, NativeRequest } from './light-request.ts'
import { LightResponse } from './light-response.ts'

type RequestInput = ConstructorParameters<typeof NativeRequest>[0]
type FetchInput = Parameters<typeof fetch>[0]

/** `Request` for a site's code: Node's own, which takes a light one as well. */
class SiteRequest extends NativeRequest {
  constructor(input: RequestInput, init?: RequestInit) {
    super(toNative(input) as RequestInput, init)
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof NativeRequest
  }
}

export function installFetchClasses(): void {
  define(SiteRequest, 'Request')
  define(LightResponse, 'Response')
  Object.defineProperty(LightRequest.prototype, 'constructor', {
    value: SiteRequest,
    configurable: true,
    writable: true,
  })
  const nativeFetch = globalThis.fetch
  globalThis.fetch = function fetch(input: FetchInput, init?: RequestInit) {
    return nativeFetch(toNative(input) as FetchInput, init)
  } as typeof nativeFetch
}

function toNative(input: unknown): unknown {
  return LightRequest.isLight(input) ? input.native() : input
}

function define(replacement: object, name: 'Request' | 'Response'): void {
  Object.defineProperty(replacement, 'name', { value: name, configurable: true })
  Object.defineProperty(globalThis, name, { value: replacement, configurable: true, writable: true, enumerable: false })
}
