/**
 * Keeps what all sites of a thread share as it is, and tells the dispatcher which site changed it, so that the site is
 * given a process of its own, where it may.
 *
 * The most common changes are looked for before and after each call into a site's code (shared-globals.ts says what
 * that costs), so they are that site's for certain. All are looked for after each load, and in a thread that is in use
 * `FULL_EVERY_MS` after its last look. Those belong to the site in whose files the new function was written; where that
 * does not tell, to the one that was being loaded, or to the only one there is.
 *
 * Limits: a neighbour's code may see a change from a timer or a promise until the next call or look. A change whose site
 * is not found is undone and logged, and no site is blamed. Each is told of once for each generation, at most
 * `MAX_TOLD` times.
 */
import type { Channel } from '../protocol/channel.ts'
import { cutText } from './cut-text.ts'
import { placeOfFunction } from './function-place.ts'
import { runOutside } from './request-context.ts'
import { scriptPath } from './script-path.ts'
import type { Change } from './shared-globals.ts'
import { looksIntact, SharedGlobals } from './shared-globals.ts'
import type { Site } from './site.ts'
import type { SiteLog } from './site-log.ts'

/** A full look takes 0.2 ms. */
const FULL_EVERY_MS = 100
const MAX_TOLD = 20
/** Changes that one text names. */
const MAX_NAMED = 5
/** Of each, in UTF-16 units: names are the sites' to choose. */
const MAX_NAME_LENGTH = 200
/** Asking where a function was written holds the thread up, in ms. */
const ASK_EVERY_MS = 1_000

export class GlobalsGuard {
  readonly #channel: Channel
  readonly #sites: ReadonlyMap<number, Site>
  readonly #ownLog: SiteLog
  #globals: SharedGlobals | undefined
  #timer: NodeJS.Timeout | undefined
  /** Sites that are being loaded, or were since the last full look. */
  readonly #loading = new Set<Site>()
  readonly #told = new WeakMap<Site, Set<string>>()
  #askedAt = Number.NEGATIVE_INFINITY

  /** @param sites those in this thread, by generation */
  constructor(channel: Channel, sites: ReadonlyMap<number, Site>, ownLog: SiteLog) {
    this.#channel = channel
    this.#sites = sites
    this.#ownLog = ownLog
  }

  /** Remembers how everything is now. Before any site is loaded; later calls do nothing. */
  begin(): void {
    this.#globals ??= new SharedGlobals()
  }

  /** A site's code is about to be called: what is changed by now was not changed by that call. */
  before(): void {
    if (!looksIntact()) this.#look(undefined)
  }

  /** A site's code was called and has come back. */
  after(site: Site): void {
    if (!looksIntact()) this.#look(site)
    if (this.#timer === undefined) this.#armTimer()
  }

  loads(site: Site): void {
    this.begin()
    this.#loading.add(site)
  }

  loaded(site: Site): void {
    this.#look(undefined)
    this.#loading.delete(site)
  }

  #armTimer(): void {
    runOutside(() => {
      this.#timer = setTimeout(() => {
        this.#timer = undefined
        this.#look(undefined)
      }, FULL_EVERY_MS)
    })
    this.#timer?.unref()
  }

  /** @param called the site whose code has just come back, if that is why */
  #look(called: Site | undefined): void {
    const changes = this.#globals?.repair().filter(({ isQuiet }) => !isQuiet) ?? []
    if (changes.length === 0) return
    const site = called ?? this.#culprit(changes)
    const names = changes.slice(0, MAX_NAMED).map(({ text }) => cutText(text, MAX_NAME_LENGTH))
    const more = changes.length > MAX_NAMED ? ` and ${changes.length - MAX_NAMED} more` : ''
    const text = names.join(', ') + more
    if (site === undefined) this.#ownLog.write('warn', `undone: a site, it is not known which, ${text}`)
    else this.tell(site, text)
  }

  #culprit(changes: readonly Change[]): Site | undefined {
    if (this.#sites.size === 1) return [...this.#sites.values()][0]
    const now = performance.now()
    if (now - this.#askedAt > ASK_EVERY_MS) {
      this.#askedAt = now
      const writers = this.#sitesWith(placeOfFunction(changes.find(isFunction)?.value))
      if (writers.length === 1) return writers[0]
    }
    return this.#loading.size === 1 ? [...this.#loading][0] : undefined
  }

  /** The sites that have this file, or are its packages' only users as far as can be seen. */
  #sitesWith(place: string | undefined): Site[] {
    if (place === undefined) return []
    const path = scriptPath(place)
    return [...this.#sites.values()].filter(({ files }) => files.folders.some((folder) => path.startsWith(folder)))
  }

  /** Has the dispatcher know what a site did that concerns all sites of the thread. */
  tell(site: Site, text: string): void {
    const told = this.#told.get(site) ?? new Set()
    this.#told.set(site, told)
    if (told.has(text) || told.size >= MAX_TOLD) return
    told.add(text)
    this.#channel.send({ type: 'offence', id: site.generation, text })
  }
}

function isFunction({ value }: Change): boolean {
  return typeof value === 'function'
}
