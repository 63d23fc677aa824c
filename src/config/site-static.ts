/**
 * The [static] section of a site as a whole: folders that are mounted in it, and whether its keys have a use.
 */
import { resolve } from 'node:path'
import { isPathPrefix, prefixFault } from './path-prefix.ts'
import { quote } from './problems.ts'
import type { Place } from './site-place.ts'
import { exposureFault, pathFault, secretFiles } from './site-place.ts'
import type { SiteBeingRead, SiteSurroundings } from './site-reading.ts'
import { addProblem, pathOf, refuseKeys } from './site-reading.ts'
import type { SiteFile } from './site-schema.ts'
import { TRY_END } from './static-schema.ts'

/** A folder whose files are served beside a site's own answers. */
export interface StaticMount {
  /** Beginning of the path, without a slash at its end: '/assets'; '' for all paths. */
  prefix: string
  /** Absolute. */
  folder: string
}

/** [static], ready for use. Frozen and shared between sites that have the same. */
export interface StaticSettings {
  /** Files that answer for a folder; the first that is there. */
  index: string[]
  /** What is looked for, in this order: `$uri…` or an absolute path; a `/` at the end means a folder. */
  try: string[]
  cleanUrls: boolean
  /** Path below the root, without a slash at its beginning. */
  notFound: string | undefined
  listing: boolean
  precompressed: boolean
  /** The header of files, and beginnings of paths (`/assets`) or ends of names (`*.woff2`) of those that never change. */
  cacheControl: string
  immutable: string[]
  /** Those with the longest prefix first. */
  mounts: StaticMount[]
}

/** Most folders that one site can mount. */
const MAX_MOUNTS = 100

/** Reads [static]; problems are added to the site's. */
export function readStatic(site: SiteBeingRead, place: Place, server: SiteSurroundings): StaticSettings {
  const keys = site.checked.value.static
  const hasFiles = place.kind === 'static' || isSplit(site, place)
  const mounts = readMounts(site, place, server)
  checkUse(site, place, hasFiles, mounts.length > 0)
  if (hasFiles && place.kind !== 'static' && mounts.every(({ prefix }) => prefix !== '')) {
    addProblem(
      site,
      'proxy',
      'paths',
      'needs a folder for all other paths: write / = public, or where it is, in [static]',
    )
  }
  if (!site.checked.isBad('static', 'try')) checkTry(site, keys.try)
  return {
    index: keys.index,
    try: keys.try.filter((one) => one !== TRY_END),
    cleanUrls: keys.clean_urls,
    notFound: keys.not_found,
    listing: keys.listing,
    precompressed: keys.precompressed,
    cacheControl: keys.cache_control,
    immutable: keys.immutable,
    mounts,
  }
}

/** Keys that are for files only to which everything goes that is not there. */
const OF_ROOT: readonly (keyof SiteFile['static'])[] = ['try', 'not_found']

/** Whether some paths go to upstreams or a program, and all others are files. */
function isSplit(site: SiteBeingRead, { kind }: Place): boolean {
  return (kind === 'proxy' || kind === 'command') && site.checked.value.proxy.paths.length > 0
}

function checkUse(site: SiteBeingRead, { kind }: Place, hasFiles: boolean, hasMounts: boolean): void {
  if (hasFiles) return
  const { keys = new Map<string, unknown>() } = site.document.sections.get('static') ?? {}
  if (kind === 'redirect') return refuseKeys(site, 'static', keys.keys(), kind)
  refuseKeys(site, 'static', OF_ROOT, kind)
  if (hasMounts || [...keys.keys()].some((key) => key.startsWith('/'))) return
  for (const key of keys.keys()) {
    const isOther = OF_ROOT.includes(key as keyof SiteFile['static']) || !(key in site.checked.value.static)
    if (isOther || site.checked.isBad('static', key)) continue
    addProblem(site, 'static', key, 'has no use without a folder of files: write /PATH = FOLDER beside it')
  }
}

function checkTry(site: SiteBeingRead, tries: readonly string[]): void {
  const end = tries.indexOf(TRY_END)
  if (end !== -1 && end < tries.length - 1) {
    addProblem(site, 'static', 'try', `${TRY_END} ends the list: put it last, or take it away`)
  } else if (tries.length === 0)
    addProblem(site, 'static', 'try', 'is empty: name at least $uri, or take the line away')
}

function readMounts(site: SiteBeingRead, place: Place, server: SiteSurroundings): StaticMount[] {
  if (place.kind === 'redirect') return []
  const mounts: StaticMount[] = []
  const add = (key: string, message: string): void => addProblem(site, 'static', key, message)
  for (const [key, { values }] of site.document.sections.get('static')?.keys ?? []) {
    const value = values[0]
    if (!key.startsWith('/') || value === undefined) continue
    const prefix = key.replace(/\/$/, '')
    const folder = resolve(place.root, value.text)
    if (!isPathPrefix(key)) {
      add(key, prefixFault(key, '/assets'))
    } else if (mounts.some((mount) => mount.prefix === prefix)) add(key, 'is there twice: keep one of the two')
    else if (mounts.length === MAX_MOUNTS) add(key, `is one too many: at most ${MAX_MOUNTS} folders`)
    else {
      checkMount(site, { key, written: value.text, folder }, place, server)
      mounts.push({ prefix, folder })
    }
  }
  return mounts.sort((a, b) => b.prefix.length - a.prefix.length)
}

/** A mount shows its files to anybody, as the root of a static site does. */
function checkMount(
  site: SiteBeingRead,
  { key, written, folder }: { key: string; written: string; folder: string },
  { module }: Place,
  server: SiteSurroundings,
): void {
  const fault = written === '' ? 'is empty: write the folder' : pathFault(folder, 'folder')
  if (fault !== undefined) {
    addProblem(site, 'static', key, written === '' ? fault : `${quote(written)} ${fault}`)
    site.load.dependencies.push(folder)
    return
  }
  const { auth } = site.checked.value.door
  const secrets = [module, auth && pathOf(site, auth)].filter((path) => path !== undefined)
  const exposed = exposureFault(site, folder, server, [...secrets, ...secretFiles(site)])
  if (exposed !== undefined) addProblem(site, 'static', key, exposed)
}
