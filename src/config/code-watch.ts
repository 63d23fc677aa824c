/**
 * Watches the code of sites, for `[site] watch = yes`: the very files that a thread has loaded for a site, and nothing
 * else in their folders, so that a site may write beside its code.
 */
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { WatchLog } from './folder-watch.ts'
import { FolderWatch, WATCH_TROUBLE } from './folder-watch.ts'
import { isUninstalled } from './install-marks.ts'
import type { SettleLimits, Settler } from './settle.ts'
import { createSettler, SETTLE_LIMITS } from './settle.ts'
import type { WatchedPaths } from './watched-paths.ts'
import { realPlaces } from './watched-paths.ts'

export interface CodeWatchOptions {
  /** @default SETTLE_LIMITS */
  settle?: SettleLimits
  /** Most folders watched; those of packages come last, because nobody edits there. @default 4096 */
  maxFolders?: number
  /** Time between two comparisons of folders' inodes. @default 5000 */
  compareMs?: number
}

const MAX_FOLDERS = 4096

/** After a folder is said to be watched: when its files are looked at once more. */
const CATCH_UP_MS = [0, 200, 1_000]

interface WatchedSite {
  paths: WatchedPaths
  settler: Settler
  /** When it began to load its files, Unix time in ms. */
  loadedAt: number
}

export class CodeWatch implements AsyncDisposable {
  readonly #sites = new Map<string, WatchedSite>()
  /** When a change of each site was last heard of, Unix time in ms. */
  readonly #touchedAt = new Map<string, number>()
  readonly #sitesByFile = new Map<string, Set<WatchedSite>>()
  readonly #onChange: (site: string) => void
  readonly #settle: SettleLimits
  readonly #folders: FolderWatch
  readonly #log: WatchLog
  #isUpdateDue = false

  /**
   * Starts with no file.
   *
   * @param onChange called with a site's name once its files have been quiet after a change
   */
  constructor(onChange: (site: string) => void, log: WatchLog, options: CodeWatchOptions = {}) {
    this.#onChange = onChange
    this.#settle = options.settle ?? SETTLE_LIMITS
    this.#log = log
    this.#folders = new FolderWatch({
      onEvent: (path) => this.#touch(path),
      onWatchedLate: (folders) => this.#lookInto(folders),
      isWanted: (path) => this.#sitesByFile.has(path),
      maxFolders: options.maxFolders ?? MAX_FOLDERS,
      log,
      compareMs: options.compareMs,
    })
  }

  /**
   * Watches these files for a site, and no others any more. A path below a link is watched at both: where the file is,
   * and the link, so that making `current` lead to another release is a change.
   *
   * @param files absolute; none: the site is forgotten
   * @param loadedAt when the site began to load them, Unix time in ms: what was written since, before it was watched, is a
   *   change too
   */
  set(site: string, files: readonly string[], loadedAt = Date.now()): void {
    const before = this.#sites.get(site)
    if (before !== undefined) this.#forget(before)
    this.#sites.delete(site)
    if (files.length === 0) {
      before?.settler.close()
      this.#touchedAt.delete(site)
    } else {
      const settler = before?.settler ?? createSettler(() => this.#onChange(site), this.#settle)
      this.#remember(site, files, settler, loadedAt)
      const known = new Set(before?.paths.files)
      const fresh = [...(this.#sites.get(site)?.paths.files ?? [])].filter((file) => !known.has(file))
      this.#catchUp(site, fresh, settler, loadedAt).catch((error: unknown) => this.#warn(error))
    }
    if (this.#isUpdateDue) return
    this.#isUpdateDue = true
    setImmediate(() => this.#update())
  }

  /** Resolves once all files set so far are watched for certain. */
  async whenReady(): Promise<void> {
    if (this.#isUpdateDue) this.#update()
    await this.#folders.ready
  }

  async close(): Promise<void> {
    for (const { settler } of this.#sites.values()) settler.close()
    await this.#folders.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #touch(path: string): void {
    // What is being installed is not to be loaded yet.
    if (isUninstalled(path)) return
    for (const [name, site] of this.#sites) {
      if (!this.#sitesByFile.get(path)?.has(site) && !site.paths.folders.has(path)) continue
      this.#touchedAt.set(name, Date.now())
      site.settler.touch()
    }
  }

  #remember(name: string, files: readonly string[], settler: Settler, loadedAt: number): void {
    const site: WatchedSite = { paths: realPlaces(files), settler, loadedAt }
    this.#sites.set(name, site)
    for (const file of site.paths.files) {
      const sites = this.#sitesByFile.get(file)
      if (sites === undefined) this.#sitesByFile.set(file, new Set([site]))
      else sites.add(site)
    }
  }

  #forget(site: WatchedSite): void {
    for (const file of site.paths.files) {
      const sites = this.#sitesByFile.get(file)
      sites?.delete(site)
      if (sites?.size === 0) this.#sitesByFile.delete(file)
    }
  }

  /**
   * Takes note of files that were written between the load and the moment from which their folder is watched for certain:
   * chokidar is ready before the kernel tells of everything (one edit in four was lost right after a first load, 6.0.0).
   */
  async #catchUp(name: string, files: readonly string[], settler: Settler, loadedAt: number): Promise<void> {
    if (files.length === 0) return
    await this.whenReady()
    for (const waitMs of CATCH_UP_MS) {
      await delay(waitMs, undefined, { ref: false })
      const times = await Promise.all(files.map(writtenAt))
      const newest = times.reduce((latest, time) => Math.max(latest, time), 0)
      if (newest <= loadedAt || (this.#touchedAt.get(name) ?? 0) >= newest) continue
      this.#touchedAt.set(name, Date.now())
      return settler.touch()
    }
  }

  /** Finds what was written in these folders since the sites that have them were loaded. */
  #lookInto(folders: readonly string[]): void {
    const late = new Set(folders)
    for (const [name, { paths, settler, loadedAt }] of this.#sites) {
      const files = [...paths.files].filter((file) => late.has(dirname(file)))
      this.#catchUp(name, files, settler, loadedAt).catch((error: unknown) => this.#warn(error))
    }
  }

  /** Once for all sites that were set in this turn of the event loop. */
  #update(): void {
    this.#isUpdateDue = false
    const own = new Set<string>()
    const packages = new Set<string>()
    for (const { paths } of this.#sites.values()) {
      for (const folder of paths.folders) (`${folder}/`.includes('/node_modules/') ? packages : own).add(folder)
    }
    try {
      this.#folders.setFolders([...own, ...packages])
    } catch (error) {
      this.#warn(error)
    }
  }

  #warn(error: unknown): void {
    this.#log.warn({ err: error }, WATCH_TROUBLE)
  }
}

/** Unix time in ms; 0 for a file that is not there. Not the time of its content, which `rsync` and `mv` bring along. */
async function writtenAt(file: string): Promise<number> {
  try {
    return (await stat(file)).ctimeMs
  } catch {
    return 0
  }
}
