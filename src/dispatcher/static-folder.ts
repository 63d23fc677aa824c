/**
 * A folder whose files are served, as the files that find, send and remember them see it. Pure.
 */
import type { IncomingMessage } from 'node:http'
import type { SiteConfig } from '../config/site-schema.ts'
import type { StaticSettings } from '../config/site-static.ts'
import type { FailureLog } from './failure-log.ts'
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
  /** The Cache-Control of a file. @param file absolute */
  cacheControl(file: string): string
  /** Small files and what was found for paths; undefined where nothing is kept. */
  memory: HotFiles | undefined
  /** Hears of each request for a file that is there and cannot be read. */
  onUnread(req: IncomingMessage, error: Error): void
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
  cacheControl: () => 'public, max-age=0',
  memory: undefined,
  onUnread: () => {},
  id: '',
}

/** The folders of one site with one version of its settings. */
export interface SiteFolders {
  /** Whose files answer for the site, or for all paths that go to nobody else; undefined where there are none. */
  root: StaticFolder | undefined
  /** Those with the longest prefix first. */
  mounts: { prefix: string; folder: StaticFolder }[]
  /** What is kept of them is given up. */
  close(): void
}

/** The folders that a site serves from. */
export function siteFolders(
  config: Pick<SiteConfig, 'name' | 'kind' | 'root' | 'static' | 'backend'>,
  memory: HotFiles,
  failures: FailureLog,
): SiteFolders {
  const shared: Shared = {
    memory,
    onUnread: ({ method = '', url = '' }, error) => failures.write({ site: config, head: { method, url } }, error),
  }
  const isSplit = (config.backend?.proxy.paths.length ?? 0) > 0
  const rest = isSplit ? config.static.mounts.find(({ prefix }) => prefix === '') : undefined
  const path = config.kind === 'static' ? config.root : rest?.folder
  const root = path === undefined ? undefined : staticFolder(path, config.static, shared)
  const mounts = config.static.mounts
    .filter((mount) => mount !== rest)
    .map(({ prefix, folder }) => ({ prefix, folder: mountedFolder(folder, config.static, shared, prefix) }))
  const close = (): void => {
    if (root !== undefined) memory.forgetFolder(root.id)
    for (const { folder } of mounts) memory.forgetFolder(folder.id)
  }
  return { root, mounts, close }
}

/** What all folders of a site have. */
type Shared = { memory: HotFiles } & Pick<StaticFolder, 'onUnread'>

/** A folder with the settings of its site. */
function staticFolder(root: string, settings: StaticSettings, shared: Shared, prefix = ''): StaticFolder {
  const { index, cleanUrls, notFound, listing, precompressed } = settings
  const tries = withHtml(settings.try, cleanUrls)
  const cacheControl = cacheControlOf(root, settings, prefix)
  const id = shared.memory.nextId()
  return { root, index, tries, cleanUrls, notFound, listing, precompressed, cacheControl, ...shared, id }
}

/** A folder beside a site's own answers: what is not in it is another's. */
function mountedFolder(root: string, settings: StaticSettings, shared: Shared, prefix: string): StaticFolder {
  const tries = ['$uri', '$uri/']
  return staticFolder(root, { ...settings, try: tries, notFound: undefined }, shared, prefix)
}

/** A year, which is for good (RFC 9111 §1.2.2); and a reload does not ask either (RFC 8246). */
const IMMUTABLE = 'public, max-age=31536000, immutable'

/**
 * By the path of the file, not by the one that was asked for: else a page that is sent for a file that is gone (`try`) would be
 * kept for a year in its place.
 */
function cacheControlOf(
  root: string,
  { cacheControl, immutable }: StaticSettings,
  prefix: string,
): StaticFolder['cacheControl'] {
  if (immutable.length === 0) return () => cacheControl
  const folders = immutable.filter((one) => one.startsWith('/')).map((one) => one.replace(/\/*$/, '/'))
  const ends = immutable.filter((one) => one.startsWith('*')).map((one) => one.slice(1))
  return (file) => {
    const path = prefix + file.slice(root.length)
    const isLasting = folders.some((one) => path.startsWith(one)) || ends.some((one) => path.endsWith(one))
    return isLasting ? IMMUTABLE : cacheControl
  }
}

function withHtml(tries: readonly string[], cleanUrls: boolean): readonly string[] {
  if (!cleanUrls || tries.includes('$uri.html')) return tries
  return tries.flatMap((one) => (one === '$uri' ? ['$uri', '$uri.html'] : [one]))
}
