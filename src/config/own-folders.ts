/**
 * The folders that vhostel has for itself: [server] run and [acme] state. The server closes them to everybody else, so
 * neither can be one in which others have something.
 */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { isInside } from './inside.ts'
import { realPath } from './links.ts'
import { quote } from './problems.ts'

/** Folders of the system that nobody has to themselves; closed, they take other programs with them. */
const SHARED: ReadonlySet<string> = new Set(
  [
    '/ /bin /boot /dev /dev/shm /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /run/lock /sbin /srv /sys /tmp /usr',
    '/usr/lib /usr/local /usr/share /var /var/cache /var/lib /var/log /var/opt /var/run /var/spool /var/tmp /var/www',
  ].flatMap((paths) => paths.split(' ')),
)

/**
 * Why a folder cannot be one of vhostel's own; undefined where it can, or could be made.
 *
 * @param path absolute
 * @param others what is not to be closed with it: absolute paths
 */
export function ownFolderFault(path: string, others: readonly string[]): string | undefined {
  if (isFile(path)) return `${quote(path)} is a file, not a folder`
  const real = realPath(path) ?? path
  const holds = SHARED.has(real) || others.some((other) => isInside(realPath(other) ?? other, real))
  if (!holds) return undefined
  const cure = `name one that is for it alone (such as ${join(path, 'vhostel')})`
  return `${quote(path)} holds other things, and vhostel would close the folder to everybody else: ${cure}`
}

/** Whether there is something else than a folder. */
export function isFile(path: string): boolean {
  return look(path) === false
}

/** Whether there is a folder. */
export function isFolder(path: string): boolean {
  return look(path) === true
}

/** Whether it is a folder; undefined for what is not there, or not to be looked at: whoever opens it says why. */
function look(path: string): boolean | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory()
  } catch {
    return undefined
  }
}
