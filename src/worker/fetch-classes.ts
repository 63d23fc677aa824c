/**
 * Puts the light classes in the place of the global `Request` and `Response`, once a thread, and makes the functions
 * that need real ones accept them. `fetch` is each site's own to replace.
 */
import { LightRequest, NativeRequest } from './light-request.ts'
import { LightResponse, NativeResponse } from './light-response.ts'
import { currentSite } from './request-context.ts'
import type { Site } from './site.ts'

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
  installSiteFetch(function fetch(input: FetchInput, init?: RequestInit) {
    return nativeFetch(toNative(input) as FetchInput, init)
  } as typeof nativeFetch)
}

/** What a site sets is its own: frameworks put a `fetch` there that answers their own routes (Nitro), or that caches. */
function installSiteFetch(fetch: typeof globalThis.fetch): void {
  const own = new WeakMap<Site, { value: typeof fetch }>()
  Object.defineProperty(globalThis, 'fetch', {
    configurable: true,
    enumerable: true,
    get: () => {
      const site = currentSite()
      const set = site === undefined ? undefined : own.get(site)
      return set === undefined ? fetch : set.value
    },
    set: (value: typeof fetch) => {
      const site = currentSite()
      if (site !== undefined) own.set(site, { value })
    },
  })
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
