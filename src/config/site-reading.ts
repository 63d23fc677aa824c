/**
 * A site's file while it is read: what the files that check a part of it (site-place.ts, site-env.ts) share.
 */
import type { Checked } from './check.ts'
import { keyProblem } from './check.ts'
import type { IniDocument } from './ini.ts'
import type { Problem } from './problems.ts'
import type { ServerConfig } from './server-schema.ts'
import type { SiteConfig, SiteFile } from './site-schema.ts'

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
  /** Where `file` leads to, step by step, if it is a link; also what is not there. Absolute. */
  linkTargets: string[]
  /** Other files and folders, absolute, whose change can change the outcome. */
  dependencies: string[]
}

/** `document` and `checked` are of the file that `load` is about. */
export interface SiteBeingRead {
  load: SiteLoad
  document: IniDocument
  checked: Checked<SiteFile>
  realFile: string
  /** What [defaults] says, by section. */
  defaults: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

/** Adds a problem of one key; where that is not in the site's file, it says where it is. */
export function addProblem(site: SiteBeingRead, section: string, key: string, message: string): void {
  const { load, document, defaults } = site
  const isWritten = document.sections.get(section)?.keys.has(key)
  const isDefault = !isWritten && Object.hasOwn(defaults[section] ?? {}, key)
  const told = isDefault ? `${message} (${key} stands in [defaults] of vhostel.ini)` : message
  load.problems.push(keyProblem(document, load.file, section, key, told))
}
