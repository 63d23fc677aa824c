/**
 * Watches chosen files in chosen folders, whatever becomes of the folders: missing at first, taken away, swapped for
 * another one, made again. An event says only that there is something to look at, never what happened.
 *
 * Two things that chokidar 6.0.0 does not see are looked after here (both tried). With `depth: 0` it loses a folder that
 * is made again, so what is to be watched is said by its `ignored` function alone. And a folder that another one is
 * renamed over, or that moves with a folder above it, is watched on at its old place, so each folder's inode is compared
 * now and then, and at once when the kernel says that a folder moved.
 */
import { statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { FSWatcher } from 'chokidar'
import { watch } from 'chokidar'
import { isDenied, ownUser } from '../core/denied.ts'
import { createSettler } from './settle.ts'

/** Where to say that something cannot be watched. */
export interface WatchLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface FolderWatchOptions {
  /** @param path of the file, or of a watched folder or a folder above one */
  onEvent(path: string): void
  /** Folders that could not be watched for a while are, and what changed in them meanwhile was not told. */
  onWatchedLate(folders: readonly string[]): void
  /** Whether a file or a folder in a watched folder is of interest; asked often. */
  isWanted(path: string): boolean
  /** Most folders watched at a time: the kernel's watches are few on some machines. */
  maxFolders: number
  log: WatchLog
  /** Time between two comparisons of inodes. @default 5000 */
  compareMs?: number | undefined
}

const COMPARE_MS = 5000
/** After the kernel said that a folder moved: `rm -r` says it for every folder. */
const MOVED_FOLDERS = { quietMs: 20, maxMs: 500 }
/** By then a folder that is watched anew is. */
const WATCHED_AGAIN_MS = 300
/** Folders that are of interest no more are let go together, once there are this many and as many again are in use. */
const MAX_STALE_FOLDERS = 64
/** What has run out, by the error of inotify(7). */
const EXHAUSTED: Record<string, string> = {
  ENOSPC: 'fs.inotify.max_user_watches (sysctl)',
  EMFILE: 'fs.inotify.max_user_instances (sysctl), or the limit of open files',
}
/** What goes wrong with watching costs the change its promptness, and nothing else. */
export const WATCH_TROUBLE =
  'watching files has a problem: changes of the configuration may be seen a minute late, of code only by vhostel reload'
const NOT_WATCHED =
  'the kernel watches no more files: changes of the configuration are seen within a minute, of code by vhostel reload'
const WATCHED_AGAIN = 'all folders are watched again'

export class FolderWatch {
  readonly #options: FolderWatchOptions
  /** What is to be watched, and which folder was there when it was last looked at; `#above`: all folders above those. */
  #folders = new Map<string, string>()
  #above: ReadonlySet<string> = new Set()
  /** What chokidar was told, which may be more. */
  #told = new Set<string>()
  #watcher: FSWatcher | undefined
  #ready: Promise<void> = Promise.resolve()
  #saidTooMany = false
  /** What was said of folders that are not watched: each try says it anew. */
  readonly #said = new Set<string>()
  readonly #closed = new AbortController()
  readonly #moved = createSettler(() => this.#compare(), MOVED_FOLDERS)
  readonly #comparison: NodeJS.Timeout
  /** Folders in whose place others came a moment ago. */
  readonly #recent = new Set<string>()
  #again: NodeJS.Timeout | undefined
  /** What could not be watched, for want of something of the kernel's or a right to it; tried again at each comparison. */
  readonly #failed = new Set<string>()
  #tried: NodeJS.Timeout | undefined

  constructor(options: FolderWatchOptions) {
    this.#options = options
    const look = (): void => {
      this.#compare()
      this.#tryAgain()
    }
    this.#comparison = setInterval(look, options.compareMs ?? COMPARE_MS).unref()
  }

  /** Resolves once the folders named first are watched, or it is closed: from then on no change is missed. */
  get ready(): Promise<void> {
    return this.#ready
  }

  /**
   * Watches these folders, and only these.
   *
   * @param wanted absolute; the first come first if they are more than the limit
   * @returns whether some were not watched before
   */
  setFolders(wanted: Iterable<string>): boolean {
    if (this.#closed.signal.aborted) return false
    const before = this.#folders
    this.#folders = new Map()
    for (const folder of this.#withinLimit(wanted)) this.#folders.set(folder, before.get(folder) ?? folderPrint(folder))
    this.#above = foldersAbove(this.#folders.keys())
    const added = [...this.#folders.keys()].filter((folder) => !this.#told.has(folder))
    const stale = this.#told.size + added.length - this.#folders.size
    if (this.#watcher === undefined || stale > MAX_STALE_FOLDERS + this.#folders.size) this.#reopen()
    else if (added.length > 0) this.#watcher.add(added)
    for (const folder of added) this.#told.add(folder)
    return added.length > 0
  }

  /** Ends everything; nothing is reported any more. */
  async close(): Promise<void> {
    this.#closed.abort()
    clearInterval(this.#comparison)
    clearTimeout(this.#again)
    clearTimeout(this.#tried)
    this.#moved.close()
    await this.#watcher?.close()
  }

  #withinLimit(wanted: Iterable<string>): Set<string> {
    const folders = new Set(wanted)
    const limit = this.#options.maxFolders
    if (folders.size <= limit) return folders
    if (!this.#saidTooMany) {
      const fields = { folders: folders.size, limit }
      this.#options.log.warn(fields, 'too many folders to watch: changes in the last ones are not seen at once')
    }
    this.#saidTooMany = true
    return new Set([...folders].slice(0, limit))
  }

  /** A new watcher, of these folders alone; the one before goes on until the new one sees everything. */
  #reopen(): void {
    const old = this.#watcher
    this.#told = new Set(this.#folders.keys())
    const watcher = watch([...this.#told], {
      followSymlinks: false,
      ignoreInitial: true,
      // Its own pause before it reports that a file is gone: we wait for quiet ourselves.
      atomic: false,
      ignored: (path) => this.#isIgnored(path),
    })
    this.#watcher = watcher
    this.#listen(watcher)
    this.#ready = new Promise((resolve) => {
      const done = (): void => {
        this.#closed.signal.removeEventListener('abort', done)
        resolve()
      }
      watcher.once('ready', done)
      this.#closed.signal.addEventListener('abort', done)
    })
    if (old === undefined) return
    this.#ready.then(() => old.close()).catch((error: unknown) => this.#warn(error))
  }

  #listen(watcher: FSWatcher): void {
    // Without a listener an error would end the process: no more watches in the kernel, say. Slow rescans go on.
    watcher.on('error', (error: unknown) => this.#warn(error))
    watcher.on('all', (_event, path) => this.#report(path))
    watcher.on('raw', (event: unknown, name: unknown, details: unknown) => {
      const watched = watchedPath(details)
      // A name that is the folder's own: it moved (or there is a file in it by the same name, and nothing is lost).
      if (event === 'rename' && watched !== undefined && name === basename(watched)) this.#moved.touch()
    })
  }

  #report(path: string): void {
    if (!this.#closed.signal.aborted) this.#options.onEvent(path)
  }

  /** Finds folders in whose place another one is, or none any more. */
  #compare(): void {
    const changed: string[] = []
    for (const [folder, before] of this.#folders) {
      const now = folderPrint(folder)
      if (now === before) continue
      this.#folders.set(folder, now)
      changed.push(folder)
    }
    if (changed.length === 0) return
    // Not a new watcher: chokidar's watchers share what they have of the kernel by path, and so the folder that moved.
    this.#watcher?.unwatch(changed).add(changed)
    for (const folder of changed) {
      this.#report(folder)
      this.#recent.add(folder)
    }
    clearTimeout(this.#again)
    this.#again = setTimeout(() => this.#reportAgain(), WATCHED_AGAIN_MS).unref()
  }

  /** Once more, for what changed in the new folders before they were watched. */
  #reportAgain(): void {
    for (const folder of this.#recent) this.#report(folder)
    this.#recent.clear()
  }

  /** What had run out may be there again: one folder is tried, and when that is watched, the others. */
  #tryAgain(): void {
    const [first, ...others] = [...this.#failed].filter((folder) => this.#folders.has(folder))
    if (first === undefined) return
    this.#failed.clear()
    this.#watchAnew([first], () => {
      if (others.length > 0 && this.#failed.size === 0) return this.#watchAnew(others, () => this.#sayWatched())
      for (const folder of others) this.#failed.add(folder)
      this.#sayWatched()
    })
  }

  /** @param then called when it is known which of them failed once more */
  #watchAnew(folders: string[], then: () => void): void {
    this.#watcher?.unwatch(folders).add(folders)
    clearTimeout(this.#tried)
    this.#tried = setTimeout(() => {
      const late = folders.filter((folder) => !this.#failed.has(folder))
      if (late.length > 0) this.#options.onWatchedLate(late)
      then()
    }, WATCHED_AGAIN_MS).unref()
  }

  #sayWatched(): void {
    if (this.#failed.size > 0) return
    this.#said.clear()
    this.#options.log.info({}, WATCHED_AGAIN)
  }

  /** A folder can be of interest like a file: the root of a site that is not there yet. */
  #isIgnored(path: string): boolean {
    if (this.#folders.has(path) || this.#above.has(path)) return false
    if (!this.#folders.has(dirname(path))) return true
    return !this.#options.isWanted(path)
  }

  #warn(error: unknown): void {
    const { code, message, path } = error as NodeJS.ErrnoException
    if (isDenied(code)) {
      const text = 'a folder may not be watched: changes in it are not seen at once'
      return this.#notWatched(path, message, { reason: message, user: ownUser() }, text)
    }
    const cure = code === undefined ? undefined : EXHAUSTED[code]
    if (cure !== undefined) return this.#notWatched(path, cure, { reason: message }, `${NOT_WATCHED}; raise ${cure}`)
    this.#options.log.warn({ err: error }, WATCH_TROUBLE)
  }

  /** @param path of the folder, or of one above it where it is missing */
  #notWatched(path: string | undefined, reason: string, fields: object, text: string): void {
    for (const folder of this.#folders.keys())
      if (folder === path || folder.startsWith(`${path}/`)) this.#failed.add(folder)
    if (!this.#said.has(reason)) this.#options.log.warn(fields, text)
    this.#said.add(reason)
  }
}

/** Which folder is at a path. */
function folderPrint(path: string): string {
  try {
    const stats = statSync(path, { throwIfNoEntry: false })
    return stats === undefined ? 'missing' : `${stats.dev}:${stats.ino}`
  } catch {
    return 'missing'
  }
}

function foldersAbove(folders: Iterable<string>): Set<string> {
  const above = new Set<string>()
  for (const folder of folders) {
    for (let path = dirname(folder); !above.has(path); path = dirname(path)) above.add(path)
  }
  return above
}

/** Of a `raw` event, whose shape chokidar does not promise. */
function watchedPath(details: unknown): string | undefined {
  if (typeof details !== 'object' || details === null || !('watchedPath' in details)) return undefined
  return typeof details.watchedPath === 'string' ? details.watchedPath : undefined
}
