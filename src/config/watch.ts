/**
 * Notices that the configuration may have changed. Every event means only "read again": what happened is found out by
 * reading (read-sites.ts), never from the event. A slow rescan catches what the kernel loses.
 *
 * Invariant: after the last change the configuration is read at least once more, within `SETTLE_LIMITS` where the kernel
 * reports it, else within the rescan's time, also where something goes wrong with watching; and every `UNREAD_MS` while
 * something cannot be read for a reason that passes.
 */
import type { WatchLog } from './folder-watch.ts'
import { FolderWatch, WATCH_TROUBLE } from './folder-watch.ts'
import type { SettleLimits } from './settle.ts'
import { createSettler, SETTLE_LIMITS } from './settle.ts'
import type { WatchedPaths } from './watched-paths.ts'
import { isConfigFile } from './watched-paths.ts'

export interface SiteWatchOptions {
  /** Time between two rescans. @default 60000 */
  rescanMs?: number
  /** @default SETTLE_LIMITS */
  settle?: SettleLimits
}

export interface SiteWatch extends AsyncDisposable {
  /** Resolves once everything is watched; with ten thousand sites that takes seconds, and the server need not wait. */
  readonly ready: Promise<void>
  /**
   * Asks for the paths again. Call it after each reading: links may lead elsewhere, sites may have come. Never throws.
   *
   * @param isUnread something could not be read for a reason that passes: it is to be read again in a moment. @default false
   */
  update(isUnread?: boolean): void
  close(): Promise<void>
}

const RESCAN_MS = 60_000
const MAX_FOLDERS = 4096
/** After folders were added: by then they are watched, and what changed in them just before is found. */
const ADDED_FOLDERS_MS = 500
/** Until what could not be read for now is tried again. */
const UNREAD_MS = 2_000

/**
 * Watches the files of the configuration.
 *
 * @param paths where they are now: `pathsToWatch` of the last reading
 * @param onDirty read again; not waited for, so it has to see to it that readings do not overlap
 */
export function watchSites(
  paths: () => WatchedPaths,
  onDirty: () => void,
  log: WatchLog,
  { rescanMs = RESCAN_MS, settle = SETTLE_LIMITS }: SiteWatchOptions = {},
): SiteWatch {
  let files: ReadonlySet<string> = new Set()
  const settler = createSettler(onDirty, settle)
  const folders = new FolderWatch({
    onEvent: () => settler.touch(),
    onWatchedLate: () => settler.touch(),
    isWanted: (path) => isConfigFile(path) || files.has(path),
    maxFolders: MAX_FOLDERS,
    log,
  })
  let lookAgain: NodeJS.Timeout | undefined
  const warn = (error: unknown): void => log.warn({ err: error }, WATCH_TROUBLE)
  const update = (): boolean => {
    try {
      const now = paths()
      files = now.files
      return folders.setFolders(now.folders)
    } catch (error) {
      // Whoever has read the files has still to put them in service.
      warn(error)
      return false
    }
  }
  const rescan = setInterval(onDirty, rescanMs)
  rescan.unref()
  update()
  // What changed between the first reading and the moment from which on everything is watched.
  folders.ready.then(settler.touch).catch(warn)
  const close = async (): Promise<void> => {
    clearInterval(rescan)
    clearTimeout(lookAgain)
    settler.close()
    await folders.close()
  }
  return {
    ready: folders.ready,
    update: (isUnread = false) => {
      const isAdded = update()
      if (!isAdded && !isUnread) return
      clearTimeout(lookAgain)
      lookAgain = setTimeout(settler.touch, isAdded ? ADDED_FOLDERS_MS : UNREAD_MS).unref()
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
