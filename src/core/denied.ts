/**
 * Words for "permission denied" that a person can act on: which folder on the way to a path is closed, and to whom.
 */
import { accessSync, constants } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname } from 'node:path'

/** Whether this is what the file system says to somebody who may not. @param code of a system error */
export function isDenied(code: unknown): boolean {
  return code === 'EACCES' || code === 'EPERM'
}

/** Whether this process may not do something with a path. @param mode of `fs.constants`, such as `R_OK` */
export function mayNot(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return false
  } catch (error) {
    return isDenied((error as NodeJS.ErrnoException).code)
  }
}

/**
 * Why this process may not look at a path, or read it: a folder above it is closed, or it is itself.
 *
 * @param path absolute
 */
export function deniedText(path: string): string {
  const folder = closedFolder(path)
  if (folder === undefined) return `permission denied for user ${ownUser()}`
  return `permission denied: user ${ownUser()} may not pass through ${folder}`
}

/** Who this process is: the name, or the number of a user whom the system does not know. */
export function ownUser(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.getuid?.() ?? 'unknown')
  }
}

/** The highest folder above a path that this user may not pass through. */
function closedFolder(path: string): string | undefined {
  const folder = dirname(path)
  if (folder === path) return undefined
  const above = closedFolder(folder)
  if (above !== undefined) return above
  return mayNot(folder, constants.X_OK) ? folder : undefined
}
