/**
 * Watches which of a site's own files its module graph reads, by Node's module hooks, for `import` and `require` alike.
 * Tells the loader what to reload for, and keeps generations apart that share files.
 *
 * A thread's modules are one for all: a second site (or generation) over the same files would get the first one's
 * instances, with the first one's environment. So what was loaded before for another is loaded once more for a site:
 * as an ES module by a URL of its own (`?vhostel=GENERATION`), as CommonJS by a cache of its own (module-cache.ts).
 *
 * Own files are those in the site's folders, and whatever else its graph has outside of `node_modules`: packages of a
 * workspace, which are links there. Packages in the site's own folders are each site's, but one for its generations;
 * those in folders above are shared by the sites below. Nothing is freed: only the thread's end frees modules.
 *
 * Limit: ES modules that `require` loads are one for all; Node knows them by their paths alone.
 */
import { realpathSync } from 'node:fs'
import type Module from 'node:module'
import type { LoadHookContext, ResolveHookContext } from 'node:module'
import { registerHooks } from 'node:module'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LoadOrder } from '../protocol/frames.ts'
import { markOf, withMark, withoutMarks } from './graph-mark.ts'
import { missingFiles } from './missing-files.ts'
import { currentSite } from './request-context.ts'
import { keepsState, meetShared } from './shared-state.ts'

const MAX_MISSING = 100

/** Thrown through an `import()` of a site's entry that is CommonJS: it has to be loaded another way. */
export class CommonJsEntry extends Error {}

/** What is known of the files of one site. */
export interface SiteFiles {
  /** Every own file read so far, absolute. */
  readonly all: Set<string>
  /** Own files that were asked for and not found, the first `MAX_MISSING`: code may try what it likes, as often as it likes. */
  readonly missing: Set<string>
  /** The last one that was read, which is the one in which a syntax error is. */
  last: string | undefined
  readonly site: string
  readonly generation: number
  /** Folders whose files are the site's own, with links resolved and a separator at the end. */
  readonly folders: readonly string[]
  /** Folders in which packages are the site's own too. */
  readonly packageFolders: readonly string[]
  /** Set while the entry is tried as an ES module. */
  probedUrl: string | undefined
  /** Whether the files in its folders were loaded for another generation before, of whichever site. */
  readonly hasOwnGraph: boolean
  /** Whether they were for another site. */
  readonly hasOwnPackages: boolean
  /** What it has loaded once more by `require`, by path. */
  readonly modules: Record<string, unknown>
  /** Called with each own file that is read for the first time. */
  onFile: ((file: string) => void) | undefined
}

const PACKAGES = `${sep}node_modules${sep}`
/** vhostel's own code, which runs in the context of sites too. */
const OWN_CODE = join(import.meta.dirname, '..', sep)

/** For whom the own files of all sites in this thread were loaded first. */
const loaders = new Map<string, { site: string; generation: number }>()

/** The files of a site that is about to be loaded. */
export function traceSite({ root, module, site, generation }: LoadOrder): SiteFiles {
  const place = dirname(realPath(module))
  const folders = [...new Set([root, place].map(withSeparator))]
  const before = [...loaders].filter(([file]) => isUnder(folders, file)).map(([, loader]) => loader)
  return {
    site,
    generation,
    all: new Set(),
    missing: new Set(),
    last: undefined,
    folders,
    packageFolders: [...folders, ...packagesAround(place)],
    probedUrl: undefined,
    hasOwnGraph: before.length > 0,
    hasOwnPackages: before.some((loader) => loader.site !== site),
    modules: Object.create(null) as SiteFiles['modules'],
    onFile: undefined,
  }
}

/** A command of a package: what is installed beside it is the program. */
function packagesAround(place: string): string[] {
  const at = place.indexOf(PACKAGES)
  return at < 0 ? [] : [place.slice(0, at + PACKAGES.length)]
}

/** The URL under which a site's entry is imported. */
export function entryUrlOf(files: SiteFiles, url: URL, generation: number): string {
  return files.hasOwnGraph ? withMark(url.href, generation) : url.href
}

/** Whether a path is a site's own file: in one of its folders, or reached from there, outside `node_modules`. */
export function isOwnFile(files: SiteFiles, path: string): boolean {
  return isUnder(files.folders, path) || isLinked(path)
}

/** Whether a site has to have an instance of its own of this file, because there is one of another's. */
export function isApart(files: SiteFiles, path: string): boolean {
  if (isUnder(files.folders, path)) return files.hasOwnGraph
  if (isLinked(path)) return (loaders.get(path)?.generation ?? files.generation) !== files.generation
  return files.hasOwnPackages && files.packageFolders.some((folder) => path.startsWith(folder))
}

/** Whether code at this path is for all sites that load it: Node's, vhostel's, and packages in folders above the site's. */
export function isSharedCode(files: SiteFiles, path: string): boolean {
  if (path.startsWith('node:') || path.startsWith(OWN_CODE)) return true
  return path.includes(PACKAGES) && !files.packageFolders.some((folder) => path.startsWith(folder))
}

/** The site is about to load this file. */
export function claim(files: SiteFiles, path: string): void {
  if (!loaders.has(path) && isOwnFile(files, path))
    loaders.set(path, { site: files.site, generation: files.generation })
}

function isLinked(path: string): boolean {
  return !path.includes(PACKAGES) && !path.startsWith(OWN_CODE)
}

/** Begins to watch. Once a thread. */
export function installFileTrace(): void {
  registerHooks({ resolve, load })
}

type NextResolve = (specifier: string, context?: Partial<ResolveHookContext>) => Module.ResolveFnOutput
type NextLoad = (url: string, context?: Partial<LoadHookContext>) => Module.LoadFnOutput

function resolve(specifier: string, context: ResolveHookContext, next: NextResolve): Module.ResolveFnOutput {
  const site = currentSite()
  const resolved = site === undefined ? next(specifier, context) : resolveNoting(site.files, specifier, context, next)
  if (site === undefined || !resolved.url.startsWith('file:') || resolved.url.includes('?')) return resolved
  const { files } = site
  if (keepsState(specifier)) {
    const path = fileURLToPath(resolved.url)
    if (!isApart(files, path)) meetShared(site, specifier, path)
  }
  // `require` knows files by their paths: it has a cache of its own instead.
  if (!context.conditions.includes('import')) return resolved
  const path = fileURLToPath(resolved.url)
  claim(files, path)
  if (!isApart(files, path)) return resolved
  return { ...resolved, url: withMark(resolved.url, markOf(context.parentURL) ?? files.generation) }
}

/** As `next`. What it does not find is noted. */
function resolveNoting(
  files: SiteFiles,
  specifier: string,
  context: ResolveHookContext,
  next: NextResolve,
): Module.ResolveFnOutput {
  try {
    return next(specifier, context)
  } catch (error) {
    const { parentURL } = context
    if (files.missing.size >= MAX_MISSING) throw error
    const folder = parentURL?.startsWith('file:') === true ? dirname(fileURLToPath(parentURL)) : ''
    for (const path of missingFiles(error, specifier, folder)) if (isOwnFile(files, path)) files.missing.add(path)
    throw error
  }
}

function load(url: string, context: LoadHookContext, next: NextLoad): Module.LoadFnOutput {
  const files = currentSite()?.files
  if (files !== undefined && url.startsWith('file:')) note(files, fileURLToPath(url))
  const loaded = next(url, context)
  const isEntry = files?.probedUrl === url
  if (isEntry) {
    files.probedUrl = undefined
    if (loaded.format?.startsWith('commonjs')) throw new CommonJsEntry()
  }
  return withMeta(loaded, `${isEntry ? SETS_MAIN : ''}${markOf(url) === undefined ? '' : setsUrl(url)}`)
}

const SETS_MAIN = 'import.meta.main=true;'
const BYTE_ORDER_MARK = Buffer.from('\u{feff}')
const HASHBANG = Buffer.from('#!')
const LINE_FEED = 10

/** A module that compares its URL with `process.argv[1]` is to find itself. */
function setsUrl(url: string): string {
  return `import.meta.url=${JSON.stringify(withoutMarks(url))};`
}

/**
 * Has a module see in `import.meta` what it would in a process of its own: in a site's entry `main` is true, and no URL has a
 * mark. Node knows only the module that a process was started with, and has no hook for the object; so the source says it, in
 * front of its first line (or its second, after `#!`), which moves no line. A module that does not ask stays as it is.
 */
function withMeta(loaded: Module.LoadFnOutput, statements: string): Module.LoadFnOutput {
  const { source } = loaded
  if (statements === '' || !loaded.format?.startsWith('module') || source === undefined || source === null)
    return loaded
  const bytes = typeof source === 'string' ? Buffer.from(source) : bytesOf(source)
  if (!bytes.includes('import.meta')) return loaded
  const text = bytes.subarray(bytes.indexOf(BYTE_ORDER_MARK) === 0 ? BYTE_ORDER_MARK.byteLength : 0)
  const hasHashbang = text.indexOf(HASHBANG) === 0
  const at = hasHashbang ? text.indexOf(LINE_FEED) + 1 : 0
  if (hasHashbang && at === 0) return loaded
  return { ...loaded, source: Buffer.concat([text.subarray(0, at), Buffer.from(statements), text.subarray(at)]) }
}

function bytesOf(source: ArrayBuffer | SharedArrayBuffer | ArrayBufferView): Buffer {
  return ArrayBuffer.isView(source)
    ? Buffer.from(source.buffer, source.byteOffset, source.byteLength)
    : Buffer.from(new Uint8Array(source))
}

function note(files: SiteFiles, path: string): void {
  if (!isOwnFile(files, path)) return
  files.last = path
  claim(files, path)
  if (files.all.has(path)) return
  files.all.add(path)
  files.onFile?.(path)
}

function isUnder(folders: readonly string[], path: string): boolean {
  const folder = folders.find((one) => path.startsWith(one))
  return folder !== undefined && !path.slice(folder.length - 1).includes(PACKAGES)
}

function withSeparator(folder: string): string {
  const path = realPath(folder)
  return path.endsWith(sep) ? path : path + sep
}

/** With links resolved, as module URLs are; a path that is not there stays as it is. */
function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}
