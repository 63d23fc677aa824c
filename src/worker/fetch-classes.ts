/**
 * Puts the light classes in the place of the global `Request` and `Response`, once a thread, and makes the functions
 * that need real ones accept them.
 */
import { LightRequest, NativeRequest } from './light-request.ts'
import { LightResponse, NativeResponse } from './light-response.ts'

type RequestInput = ConstructorParameters<typeof NativeRequest>[0]
type AnyClass = new (...args: never[]) => object
type FetchInput = Parameters<typeof fetch>[0]

/** `Request` for a site's code: Node's own, which takes a light one as well. */
class SiteRequest extends NativeRequest {
  constructor(input: RequestInput, init?: RequestInit) {
    super(toNative(input) as RequestInput, init)
  }
}

const isInstance = Function.prototype[Symbol.hasInstance]

export function installFetchClasses(): void {
  define(SiteRequest, NativeRequest, 'Request')
  define(LightResponse, NativeResponse, 'Response')
  listMembers(LightRequest.prototype, NativeRequest.prototype)
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

function define(replacement: AnyClass, native: AnyClass, name: 'Request' | 'Response'): void {
  Object.defineProperty(replacement, Symbol.hasInstance, {
    // A class that a site makes of this one inherits the method, and has only instances of its own.
    value(this: unknown, value: unknown): boolean {
      return this === replacement ? value instanceof native : isInstance.call(this as typeof native, value)
    },
  })
  Object.defineProperty(replacement, 'name', { value: name, configurable: true })
  Object.defineProperty(globalThis, name, { value: replacement, configurable: true, writable: true, enumerable: false })
  listMembers(replacement.prototype, native.prototype)
}

/** Code that goes through the members of a class (srvx wraps each of them) finds those of Node's, as own ones, and as enumerable. */
function listMembers(prototype: object, native: object): void {
  for (const key of Reflect.ownKeys(native)) {
    if (key === 'constructor') continue
    const theirs = Object.getOwnPropertyDescriptor(native, key) as PropertyDescriptor
    const ours = Object.getOwnPropertyDescriptor(prototype, key) ?? theirs
    Object.defineProperty(prototype, key, { ...ours, enumerable: theirs.enumerable === true })
  }
}
