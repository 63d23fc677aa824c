/**
 * Watches the code of sites, for `[site] watch = yes`: the very files that a thread has loaded for a site, and nothing
 * else in their folders, so that a site may write beside its code.
 */
import type { WatchLog } from './folder-watch.ts'
import { FolderWatch } from './folder-watch.ts'
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

/**
 * Starts with no file.
 *
 * @param onChange called with a site's name once its files have been quiet after a change
 */
export function watchCode(onChange: (site: string) => void, log: WatchLog, options: CodeWatchOptions = {}): CodeWatch {
  return new CodeWatch(onChange, log, options)
}

interface WatchedSite {
  paths: WatchedPaths
  settler: Settler
}

export class CodeWatch implements AsyncDisposable {
  readonly #sites = new Map<string, WatchedSite>()
  readonly #sitesByFile = new Map<string, Set<WatchedSite>>()
  readonly #onChange: (site: string) => void
  readonly #settle: SettleLimits
  readonly #folders: FolderWatch
  #isUpdateDue = false

  constructor(onChange: (site: string) => void, log: WatchLog, options: CodeWatchOptions) {
    this.#onChange = onChange
    this.#settle = options.settle ?? SETTLE_LIMITS
    this.#folders = new FolderWatch({
      onEvent: (path) => this.#touch(path),
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
   */
  set(site: string, files: readonly string[]): void {
    const before = this.#sites.get(site)
    if (before !== undefined) this.#forget(before)
    this.#sites.delete(site)
    if (files.length === 0) before?.settler.close()
    else this.#remember(site, files, before?.settler ?? createSettler(() => this.#onChange(site), this.#settle))
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
    for (const site of this.#sitesByFile.get(path) ?? []) site.settler.touch()
    for (const site of this.#sites.values()) {
      if (site.paths.folders.has(path)) site.settler.touch()
    }
  }

  #remember(name: string, files: readonly string[], settler: Settler): void {
    const site: WatchedSite = { paths: realPlaces(files), settler }
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

  /** Once for all sites that were set in this turn of the event loop. */
  #update(): void {
    this.#isUpdateDue = false
    const own = new Set<string>()
    const packages = new Set<string>()
    for (const { paths } of this.#sites.values()) {
      for (const folder of paths.folders) (folder.includes('/node_modules/') ? packages : own).add(folder)
    }
    this.#folders.setFolders([...own, ...packages])
  }
}
