/**
 * What stands in the sites folder, is no site, and was meant to be one: nginx reads every file of `sites-enabled/`, and
 * Apache those that end in `.conf`, so people bring such names, and would see nothing but that a site is missing.
 *
 * Limit: goes by names. What somebody left aside or an editor left behind is nobody's site; of plain files only those
 * without any ending, or with one of a configuration, are taken for one, of links all.
 */
import type { Dirent } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Problem } from './problems.ts'
import { fileProblem, quote } from './problems.ts'
import { isConfigFile } from './watched-paths.ts'

/** Most names in the warning: a folder of something else has thousands. */
const MAX_NAMES = 3
const LEFT_ASIDE = /^[.#]|~$|\.ini[.~_-]|\.(?:bak|old|orig|save|off|disabled)$|^readme/i
const LIKE_A_SITE = /^[^.]+$|\.(?:conf|ini)$/i

/**
 * A warning of what is passed over, one for the whole folder.
 *
 * @param folder the sites folder, absolute
 * @param entries all that is in it
 */
export async function passedOver(folder: string, entries: readonly Dirent[]): Promise<Problem[]> {
  const names: string[] = []
  for (const entry of entries.filter(isLikeASite)) {
    if (!entry.isSymbolicLink() || !(await isFolder(join(folder, entry.name)))) names.push(entry.name)
  }
  const [first] = names.sort()
  if (first === undefined) return []
  const shown = names.slice(0, MAX_NAMES).map(quote)
  const rest = names.length - shown.length
  const last = rest > 0 ? `${rest} more` : shown.pop()
  const subject = shown.length === 0 ? `${last} is` : `${shown.join(', ')} and ${last} are`
  const rule = `the name of a site's file must end in .ini (such as ${siteFileName(first)})`
  return [fileProblem(folder, `${subject} passed over: ${rule}`)]
}

/** What a file has to be called to be a site: `shop.ini` for `shop` and `shop.conf`. */
export function siteFileName(name: string): string {
  return `${name.replace(/\.(?:conf|ini)$/i, '')}.ini`
}

function isLikeASite(entry: Dirent): boolean {
  const { name } = entry
  if (isConfigFile(name) || LEFT_ASIDE.test(name)) return false
  return entry.isSymbolicLink() || (entry.isFile() && LIKE_A_SITE.test(name))
}

/** Where a link leads nowhere, a file was meant. */
async function isFolder(path: string): Promise<boolean> {
  const target = await stat(path).catch(() => undefined)
  return target?.isDirectory() === true
}
