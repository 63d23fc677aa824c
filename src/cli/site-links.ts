/**
 * The links in the sites folder: what `enable` and `disable` find there before they change anything. What is not a link
 * is somebody's file, and is never touched.
 */
import { lstatSync, readdirSync, readlinkSync, realpathSync, statSync, symlinkSync, unlinkSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path'
import { realPath } from '../config/links.ts'
import { siteFileName } from '../config/passed-over.ts'
import { nearest } from '../config/suggest.ts'
import { isConfigFile } from '../config/watched-paths.ts'
import { makeFolders } from './new-file.ts'

/** What is in the sites folder under a site's name. */
export type Place =
  | { kind: 'free' }
  /** `target`: as the link has it; `leadsTo`: the file that it is, undefined where there is none. */
  | { kind: 'link'; target: string; leadsTo: string | undefined }
  | { kind: 'file' }

/** Where a site's files are. All paths absolute. */
export interface SitePaths {
  name: string
  /** Where the link is or will be. */
  enabled: string
  /** The file that it leads to. */
  available: string
}

/** The site that a person means: `blog`, `blog.ini` and `sites-available/blog.ini` are all the site blog. */
export function siteNameOf(argument: string): string {
  return basename(argument, '.ini')
}

/**
 * Whether a person named a file that is none of the site's: `/srv/blog/blog.ini` is not the site blog. A relative path that leads
 * nowhere is taken as one that starts at the configuration.
 */
export function isOtherFile(argument: string, { enabled, available }: SitePaths): boolean {
  if (!argument.includes('/')) return false
  const file = resolve(argument.endsWith('.ini') ? argument : `${argument}.ini`)
  const real = realPath(file)
  if (real === undefined && !isAbsolute(argument)) return false
  const own = [enabled, available].flatMap((path) => [path, realPath(path)])
  return !own.includes(real ?? file)
}

/** Where the files of a site are, or would be. @param sitesFolder absolute */
export function sitePaths(name: string, sitesFolder: string): SitePaths {
  const file = `${name}.ini`
  return { name, enabled: join(sitesFolder, file), available: join(availableFolder(sitesFolder), file) }
}

/** Where the files of all sites are, the enabled ones and the others: beside the sites folder. */
export function availableFolder(sitesFolder: string): string {
  return join(dirname(sitesFolder), 'sites-available')
}

/** What is there now. Does not follow links. */
export function placeOf(path: string): Place {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return { kind: 'free' }
  if (!stats.isSymbolicLink()) return { kind: 'file' }
  return { kind: 'link', target: readlinkSync(path), leadsTo: realPath(path) }
}

/** Whether there is a file, or a link to one. */
export function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}

/** Whether it is a link that leads to this file. */
export function leadsTo(place: Place, file: string): boolean {
  return place.kind === 'link' && place.leadsTo !== undefined && place.leadsTo === realPath(file)
}

/** Makes the link, relative, so that the configuration can be moved as a whole; and the sites folder, if it is missing. */
export function makeLink({ enabled, available }: SitePaths): void {
  const folder = dirname(enabled)
  makeFolders(folder)
  // The real folders: `..` in a link starts at the real one.
  const target = join(realpathSync(dirname(available)), basename(available))
  symlinkSync(relative(realpathSync(folder), target), enabled)
}

/** Takes a link away; what it leads to stays. */
export function removeLink({ enabled }: SitePaths): void {
  unlinkSync(enabled)
}

/** `; rename blog there to blog.ini`, or undefined where no file is one that only has not the name of a site's file. */
export function misnamed(name: string, folder: string): string | undefined {
  const found = [name, `${name}.conf`].find((file) => isThere(join(folder, file)))
  return found === undefined ? undefined : `; rename ${found} there to ${siteFileName(found)}`
}

/** `; did you mean blog?`, or the names there are, or nothing. */
export function otherNames(name: string, folder: string): string {
  const names = siteNames(folder)
  const meant = nearest(name, names)
  if (meant !== undefined) return `; did you mean ${meant}?`
  return names.length > 0 && names.length <= MAX_NAMES ? `; there are ${names.join(', ')}` : ''
}

/** More names than this help nobody in one line. */
const MAX_NAMES = 10

function siteNames(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter(isConfigFile)
      .map((name) => name.slice(0, -'.ini'.length))
      .sort()
  } catch {
    return [] // no such folder: no names
  }
}
