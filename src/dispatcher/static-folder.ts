/**
 * A folder whose files are served, as the files that find, send and remember them see it. Pure.
 */
import type { SiteConfig } from '../config/site-schema.ts'
import type { StaticSettings } from '../config/site-static.ts'
import type { HotFiles } from './hot-files.ts'

export interface StaticFolder {
  /** Absolute path; may be a link, which is followed anew for each look. */
  root: string
  /** Names of the files that stand for a folder, the first that exists is taken. */
  index: readonly string[]
  /** What is looked for, in this order: `$uri…`, or an absolute path; a `/` at the end means a folder. */
  tries: readonly string[]
  cleanUrls: boolean
  /** Path below the root; undefined where there is no page of its own for 404. */
  notFound: string | undefined
  listing: boolean
  precompressed: boolean
  /** Small files and what was found for paths; undefined where nothing is kept. */
  memory: HotFiles | undefined
  /** Begins the keys of what is kept of this folder; of no other folder in the same memory. */
  id: string
}

/** What a folder without any setting does. */
export const PLAIN_FOLDER: Omit<StaticFolder, 'root'> = {
  index: ['index.html'],
  tries: ['$uri', '$uri/'],
  cleanUrls: false,
  notFound: undefined,
  listing: false,
  precompressed: true,
  memory: undefined,
  id: '',
}

/** The folders of one site with one version of its settings. */
export interface SiteFolders {
  /** Served by `kind = static` only. */
  root: StaticFolder
  /** Those with the longest prefix first. */
  mounts: { prefix: string; folder: StaticFolder }[]
  /** What is kept of them is given up. */
  close(): void
}

/** The folders that a site serves from. */
export function siteFolders(config: Pick<SiteConfig, 'kind' | 'root' | 'static'>, memory: HotFiles): SiteFolders {
  const root = staticFolder(config.root, config.static, memory)
  const mounts = config.static.mounts.map(({ prefix, folder }) => ({
    prefix,
    folder: mountedFolder(folder, config.static, memory),
  }))
  const close = (): void => {
    const used = config.kind === 'static' ? [root] : []
    for (const { id } of [...used, ...mounts.map(({ folder }) => folder)]) memory.forgetFolder(id)
  }
  return { root, mounts, close }
}

/** A folder with the settings of its site. */
function staticFolder(root: string, settings: StaticSettings, memory: HotFiles): StaticFolder {
  const { index, cleanUrls, notFound, listing, precompressed } = settings
  const tries = withHtml(settings.try, cleanUrls)
  return { root, index, tries, cleanUrls, notFound, listing, precompressed, memory, id: memory.nextId() }
}

/** A folder beside a site's own answers: what is not in it is another's. */
function mountedFolder(root: string, settings: StaticSettings, memory: HotFiles): StaticFolder {
  const tries = ['$uri', '$uri/']
  return staticFolder(root, { ...settings, try: tries, notFound: undefined }, memory)
}

function withHtml(tries: readonly string[], cleanUrls: boolean): readonly string[] {
  if (!cleanUrls || tries.includes('$uri.html')) return tries
  return tries.flatMap((one) => (one === '$uri' ? ['$uri', '$uri.html'] : [one]))
}
