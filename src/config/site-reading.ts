/**
 * A site's file while it is read: what the files that check a part of it (site-place.ts, site-env.ts) share.
 */
import { dirname, resolve } from 'node:path'
import type { Checked } from './check.ts'
import { keyProblem } from './check.ts'
import type { IniDocument } from './ini.ts'
import type { Problem } from './problems.ts'
import type { ServerConfig } from './server-schema.ts'
import type { SiteConfig, SiteFile } from './site-schema.ts'
import { readTextFile } from './text-file.ts'

/** What of the server's configuration a site depends on. */
export type SiteSurroundings = Pick<
  ServerConfig,
  'file' | 'dir' | 'sites' | 'defaults' | 'pools' | 'acme' | 'listenTls'
>

/** A site's file as it was found. */
export interface SiteLoad {
  /** The file's name without `.ini`. */
  name: string
  /** As given to `loadSite`. */
  file: string
  /** Undefined exactly where there are problems. */
  config: SiteConfig | undefined
  /** In line order. */
  problems: Problem[]
  /** What a person should know, and serves all the same. */
  warnings: Problem[]
  /** The line of each of `config.domains`. */
  domainLines: number[]
  /** Where `share` is written; undefined where it is in [defaults] or nowhere. */
  shareLine: number | undefined
  /** Where `file` and `dependencies` lead to, step by step, if they are links; also what is not there. Absolute. */
  linkTargets: string[]
  /** Other files and folders, absolute, whose change can change the outcome. */
  dependencies: string[]
  /** From when on there is something else to say though no file has changed, Unix time in ms; infinite where that is never. */
  goodUntil: number
}

/** `document` and `checked` are of the file that `load` is about. */
export interface SiteBeingRead {
  load: SiteLoad
  document: IniDocument
  checked: Checked<SiteFile>
  realFile: string
  /** When it is read, Unix time in ms. */
  nowMs: number
  /** What [defaults] says, by section. */
  defaults: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

/** Adds a problem of one key; where that is not in the site's file, it says where it is. */
export function addProblem(site: SiteBeingRead, section: string, key: string, message: string): void {
  const { load, document, defaults } = site
  const isDefault = !isWritten(site, section, key) && Object.hasOwn(defaults[section] ?? {}, key)
  const told = isDefault ? `${message} (${key} stands in [defaults] of vhostel.ini)` : message
  load.problems.push(keyProblem(document, load.file, section, key, told))
}

/** What may be wrong with a key, and takes nothing away. */
export function addWarning({ load, document }: SiteBeingRead, section: string, key: string, message: string): void {
  load.warnings.push(keyProblem(document, load.file, section, key, message))
}

/** Adds a problem for each of these keys that stands in the site's own file: a site of this kind has no use for it. */
export function refuseKeys(site: SiteBeingRead, section: string, keys: Iterable<string>, kind: string): void {
  refuseKeysBecause(site, section, keys, `has no use with kind = ${kind}: take the line away`)
}

/** As `refuseKeys`, in other words. */
export function refuseKeysBecause(site: SiteBeingRead, section: string, keys: Iterable<string>, message: string): void {
  for (const key of keys) {
    if (!isWritten(site, section, key) || site.checked.isBad(section, key)) continue
    addProblem(site, section, key, message)
  }
}

/** Whether a key stands in the site's own file; what it has of [defaults] does not count. */
export function isWritten({ document }: SiteBeingRead, section: string, key: string): boolean {
  return document.sections.get(section)?.keys.has(key) === true
}

/** Whether a key stands in the site's own file, if only under a name that is not quite its own. */
export function isMeant(site: SiteBeingRead, section: string, key: string): boolean {
  return isWritten(site, section, key) || site.checked.isBad(section, key)
}

/** A path that the site's file names, absolute: a relative one starts at the folder of the file, where that really is. */
export function pathOf({ realFile }: SiteBeingRead, written: string): string {
  return resolve(dirname(realFile), written)
}

/**
 * The text of a file that a key names. It becomes a dependency of the site; where it cannot be read, the problem is added.
 *
 * @param path absolute
 */
export function readFileOf(site: SiteBeingRead, section: string, key: string, path: string): string | undefined {
  site.load.dependencies.push(path)
  const file = readTextFile(path)
  if ('text' in file) return file.text
  addProblem(site, section, key, `${path}${file.line === undefined ? '' : `:${file.line}`} ${file.fault}`)
  return undefined
}
