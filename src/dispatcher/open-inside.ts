/**
 * Opens a file of a folder, and makes sure that the file which was opened lies in the folder. Checking the path first and
 * opening it afterwards would leave a moment in which somebody who may write in the folder puts a link there.
 *
 * Invariant: a descriptor that is given out is of a regular file under the root, whatever links were on the way.
 */
import type { Stats } from 'node:fs'
import { close, constants, fstat, open, readlinkSync } from 'node:fs'
import { opendir, realpath } from 'node:fs/promises'
import { sep } from 'node:path'
import { promisify } from 'node:util'

// Bare descriptors: a FileHandle of node:fs/promises made an answer cost half as much again (Node 24.21).
const openFile = promisify(open)
/** What an open file is now. */
export const statFile = promisify(fstat)

/** A file is not sent. `changed`: it was replaced while it was looked at, and another try may succeed. */
export class FileRefused extends Error {
  readonly status: number
  readonly changed: boolean
  /** What the answer says beside its page. */
  readonly headers: Record<string, string>

  constructor(status: number, changed = false, headers: Record<string, string> = {}) {
    super(`the file is answered with ${status}`)
    this.status = status
    this.changed = changed
    this.headers = headers
  }
}

/**
 * Opens a file for reading.
 *
 * @param root absolute path of the folder; may be a link itself
 * @param path of the file, through any links
 * @param seen what was found at the path: the descriptor is of that very file, unchanged since
 * @returns a file descriptor that the caller closes
 * @throws FileRefused with 404 for what is outside of the root or no regular file, with 503 for a file that was replaced;
 *   the system's errors as they are
 */
export async function openInside(root: string, path: string, seen: Stats): Promise<number> {
  if (!seen.isFile()) throw new FileRefused(404)
  // A pipe put there since would block a thread of the system's pool for ever, were it not for O_NONBLOCK.
  const fd = await openFile(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const [stat, realRoot, place] = await Promise.all([statFile(fd), realpath(root), placeOf(fd, path)])
    if (!isUnder(realRoot, place)) throw new FileRefused(404)
    if (!isSame(stat, seen)) throw new FileRefused(503, true)
    return fd
  } catch (error) {
    closeFile(fd)
    throw error
  }
}

/** Closes a descriptor that was only read from: nothing can be lost, so nobody waits for it. */
export function closeFile(fd: number): void {
  close(fd, () => {})
}

/** The number alone says little: it is given to the next file as soon as the one before is deleted. */
function isSame(stat: Stats, seen: Stats): boolean {
  const sameFile = stat.ino === seen.ino && stat.dev === seen.dev && stat.isFile()
  return sameFile && stat.size === seen.size && stat.mtimeMs === seen.mtimeMs
}

/** Whether a file or folder lies in the root, or is the root, once all links are followed. */
export async function isInside(root: string, path: string): Promise<boolean> {
  const [place, realRoot] = await Promise.all([realpath(path), realpath(root)])
  return place === realRoot || isUnder(realRoot, place)
}

/** Where an open file lies without links: Linux tells it of the descriptor, other systems only of the path. */
function placeOf(fd: number, path: string): string | Promise<string> {
  if (process.platform !== 'linux') return realpath(path)
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) // the kernel's memory: no disk is asked, so it cannot block
  } catch {
    return realpath(path) // no /proc here
  }
}

function isUnder(realRoot: string, place: string): boolean {
  return place.startsWith(realRoot.endsWith(sep) ? realRoot : realRoot + sep)
}

/** What is in a folder; folders have a slash at the end of their names. */
export interface FolderNames {
  names: string[]
  /** Whether there is more. */
  isCut: boolean
}

/**
 * Reads the names in a folder, which is opened and found to be in the root before any is read.
 *
 * @throws FileRefused with 404 for what is outside of the root; the system's errors as they are
 */
export async function namesInside(root: string, path: string, max: number): Promise<FolderNames> {
  const fd = await openFile(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    const [realRoot, place] = await Promise.all([realpath(root), placeOf(fd, path)])
    if (place !== realRoot && !isUnder(realRoot, place)) throw new FileRefused(404)
    const found: FolderNames = { names: [], isCut: false }
    // By its descriptor: the path may lead elsewhere by now.
    for await (const entry of await opendir(process.platform === 'linux' ? `/proc/self/fd/${fd}` : place)) {
      if (found.names.length === max) return { ...found, isCut: true }
      found.names.push(entry.isDirectory() ? `${entry.name}/` : entry.name)
    }
    return found
  } finally {
    closeFile(fd)
  }
}
