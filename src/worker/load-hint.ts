/**
 * What to do about an error that kept a site from being loaded, where Node's own words do not say it: packages that were not
 * installed, files that the site's user may not read, and a port that was to come from the environment.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isDenied, ownUser } from '../core/denied.ts'

/**
 * A cure to put behind the message of an error, with what separates the two; empty where there is none to tell.
 *
 * @param file that imports what is missing, absolute
 * @param wanted as the message names it: a package with or without a path in it, or a file
 */
export function missingHint(file: string, wanted: string): string {
  const name = /^(?:@[\w.~-]+\/)?[\w~-][\w.~-]*(?=\/|$)/.exec(wanted)?.[0]
  // What a package of the site's lacks is not for the site to name.
  if (name === undefined || file.includes('/node_modules/')) return ''
  const folders = foldersAbove(file)
  if (folders.some((folder) => existsSync(join(folder, 'node_modules', name)))) return ''
  const listing = folders.find((folder) => lists(join(folder, 'package.json'), name))
  if (listing !== undefined) return `; it is in ${join(listing, 'package.json')}: run npm install there`
  return `; run npm install ${name} in ${folders.find((folder) => existsSync(join(folder, 'package.json'))) ?? dirname(file)}`
}

/** As whom a site may not do what an error of the file system says; empty for other errors. */
export function deniedHint(error: Error): string {
  const { code, syscall } = error as NodeJS.ErrnoException
  return syscall !== undefined && isDenied(code) ? `; the site runs as user ${ownUser()}` : ''
}

/** What `listen(Number(process.env.PORT))` lacks; empty for other errors. */
export function portHint(error: Error): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code !== 'ERR_SOCKET_BAD_PORT' || !message.includes('NaN')) return ''
  return '; if it is PORT of the environment that is missing, write PORT = 8080 in [env]: any number, no port is opened'
}

/** The nearest first. */
function foldersAbove(file: string): string[] {
  const folder = dirname(file)
  return folder === file ? [] : [folder, ...foldersAbove(folder)]
}

/** Whether a package.json names a package among those to install. */
function lists(file: string, name: string): boolean {
  try {
    const { dependencies, devDependencies, optionalDependencies } = JSON.parse(readFileSync(file, 'utf8'))
    return name in { ...dependencies, ...devDependencies, ...optionalDependencies }
  } catch {
    return false // none, or none that npm could use either
  }
}
