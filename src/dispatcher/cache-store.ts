/**
 * Where answers are stored: by site, by URL, by what they vary by. Knows nothing of HTTP's rules.
 *
 * Invariant: each site's answers are in a store of its own, so no key of one can ever lead to an answer of another. The
 * stores together take at most what the server allows, each at most what its site allows; the site that takes most gives
 * way first.
 */
import { LRUCache } from 'lru-cache'
import type { CacheStatus } from '../admin/reports.ts'
import type { CacheSettings } from '../config/site-cache.ts'
import type { StoredAnswer } from './stored-answer.ts'

/** All answers of one URL. */
interface Resource {
  /** The names that the newest of them varies by. */
  vary: string[]
  variants: Map<string, StoredAnswer>
}

const MAX_VARIANTS = 32
const RESOURCE_BYTES = 512
const MAX_CHANGES = 10_000
/** Characters of their keys together. */
const MAX_CHANGES_LENGTH = 1024 * 1024

/** What a site's visitors got from the cache since its start. */
type CacheCounters = Omit<CacheStatus, 'urls' | 'bytes'>

/** One site's answers. */
export class SiteStore {
  readonly counters: CacheCounters = {
    hits: 0,
    revalidated: 0,
    misses: 0,
    passed: 0,
    collapsed: 0,
    stored: 0,
    hitBytes: 0,
  }
  readonly #server: ServerCache
  #resources: LRUCache<string, Resource>
  #settings: CacheSettings
  /** When a URL's answers were last made invalid, as numbers of `#now`. */
  readonly #changes = new LRUCache<string, number>({
    max: MAX_CHANGES,
    maxSize: MAX_CHANGES_LENGTH,
    sizeCalculation: (_, key) => key.length,
  })
  #lastPurge = 0
  #now = 0
  #isClosed = false

  constructor(server: ServerCache, settings: CacheSettings) {
    this.#server = server
    this.#settings = settings
    this.#resources = newResources(settings)
  }

  get settings(): CacheSettings {
    return this.#settings
  }

  get bytes(): number {
    return this.#resources.calculatedSize
  }

  get urls(): number {
    return this.#resources.size
  }

  /** Takes over other settings; what is stored stays as far as it fits. */
  adopt(settings: CacheSettings): void {
    const before = this.#resources
    const isSmaller = settings.memoryBytes !== this.#settings.memoryBytes
    this.#settings = settings
    if (!isSmaller) return
    const entries = before.dump()
    this.#server.measure(this, () => {
      this.#resources = newResources(settings)
      for (const [key, { value }] of entries) this.#keep(key, value)
    })
  }

  /** What the answers of a URL vary by; undefined where none is stored. */
  vary(key: string): readonly string[] | undefined {
    return this.#resources.get(key)?.vary
  }

  find(key: string, variant: string): StoredAnswer | undefined {
    return this.#resources.get(key)?.variants.get(variant)
  }

  /** A moment, for `put`. */
  mark(): number {
    return this.#now
  }

  /** Stores an answer, unless its URL was changed since it was asked for. @returns whether it did */
  put(key: string, answer: StoredAnswer, mark: number): boolean {
    if (this.#isClosed || this.#lastPurge > mark || (this.#changes.get(key) ?? 0) > mark) return false
    const { vary } = answer.terms
    const resource = this.#resources.peek(key) ?? { vary, variants: new Map<string, StoredAnswer>() }
    resource.vary = vary
    resource.variants.delete(answer.variant)
    resource.variants.set(answer.variant, answer)
    const [oldest] = resource.variants.keys()
    if (resource.variants.size > MAX_VARIANTS && oldest !== undefined) resource.variants.delete(oldest)
    this.#server.measure(this, () => this.#keep(key, resource))
    const isKept = this.#resources.peek(key) === resource
    if (isKept) this.counters.stored++
    return isKept
  }

  /** A stored answer got another form: it takes more now. */
  resize(key: string): void {
    const resource = this.#resources.peek(key)
    if (resource !== undefined) this.#server.measure(this, () => this.#keep(key, resource))
  }

  /** Forgets one variant. */
  drop(key: string, answer: StoredAnswer): void {
    const resource = this.#resources.peek(key)
    if (resource?.variants.get(answer.variant) !== answer) return
    resource.variants.delete(answer.variant)
    this.#server.measure(this, () => {
      if (resource.variants.size === 0) this.#resources.delete(key)
      else this.#keep(key, resource)
    })
  }

  /** Forgets a URL, and what is on its way for it (RFC 9111 §4.4). */
  invalidate(key: string): void {
    this.#changes.set(key, ++this.#now)
    this.#server.measure(this, () => this.#resources.delete(key))
  }

  /** Forgets all that `isMeant` says yes to, or everything, with what is on its way. @returns how many URLs */
  purge(isMeant?: (key: string) => boolean): number {
    this.#lastPurge = ++this.#now
    const keys = [...this.#resources.keys()].filter((key) => isMeant === undefined || isMeant(key))
    this.#server.measure(this, () => {
      for (const key of keys) this.#resources.delete(key)
    })
    return keys.length
  }

  /** Forgets everything, and stores nothing any more. */
  close(): void {
    this.#isClosed = true
    this.purge()
  }

  /** New code of the site is in service. */
  renewed(): void {
    if (!this.#settings.keep) this.purge()
  }

  /** Gives up what was not asked for longest. */
  shrink(): void {
    this.#resources.pop()
  }

  #keep(key: string, resource: Resource): void {
    let size = RESOURCE_BYTES + key.length
    for (const answer of resource.variants.values()) size += answer.bytes
    // To set what is there already would not change its size.
    this.#resources.delete(key)
    this.#resources.set(key, resource, { size })
  }
}

function newResources(settings: CacheSettings): LRUCache<string, Resource> {
  return new LRUCache({ maxSize: Math.max(settings.memoryBytes, 1) })
}

/** The answers of all sites. */
export class ServerCache {
  readonly #maxBytes: number
  readonly #sites = new Map<string, SiteStore>()
  #bytes = 0
  #arriving = 0

  /** @param maxBytes for all sites together */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** What is stored, in bytes. */
  get bytes(): number {
    return this.#bytes
  }

  /** The store of a site, with these settings from now on. */
  open(site: string, settings: CacheSettings): SiteStore {
    let store = this.#sites.get(site)
    if (store === undefined) {
      store = new SiteStore(this, settings)
      this.#sites.set(site, store)
    } else store.adopt(settings)
    return store
  }

  /** A site's store; undefined where it has none. */
  find(site: string): SiteStore | undefined {
    return this.#sites.get(site)
  }

  /** Forgets a site that was removed, or stores nothing any more. */
  close(site: string): void {
    const store = this.#sites.get(site)
    if (store === undefined) return
    store.close()
    this.#sites.delete(site)
  }

  /** Runs what changes the size of a store, then makes room where it is needed. */
  measure(store: SiteStore, change: () => void): void {
    const before = store.bytes
    change()
    this.#bytes += store.bytes - before
    while (this.#bytes > this.#maxBytes) {
      const largest = this.#largest()
      if (largest === undefined) return
      const held = largest.bytes
      largest.shrink()
      this.#bytes += largest.bytes - held
    }
  }

  /** Bytes of answers that arrive and may be stored: no more than could be. @returns whether there is room */
  reserve(bytes: number): boolean {
    if (this.#arriving + bytes > this.#maxBytes) return false
    this.#arriving += bytes
    return true
  }

  release(bytes: number): void {
    this.#arriving -= bytes
  }

  #largest(): SiteStore | undefined {
    let largest: SiteStore | undefined
    for (const store of this.#sites.values()) {
      if (store.bytes > (largest?.bytes ?? 0)) largest = store
    }
    return largest
  }
}
