/**
 * Watches which of a site's own files its module graph reads, by Node's module hooks, for `import` and `require` alike.
 * Tells the loader what to reload for, and keeps generations apart that share files.
 *
 * A thread's modules are one for all: a second site (or generation) over the same files would get the first one's
 * instances, with the first one's environment. So as soon as a site's files were loaded before, its graph gets module
 * URLs of its own (`?vhostel=GENERATION`), and its CommonJS files are taken out of the cache first. Packages in
 * `node_modules` stay shared. Nothing is freed by that: only the thread's end frees modules.
 */
import { realpathSync } from 'node:fs'
import type { LoadHookContext, ResolveHookContext } from 'node:module'
import Module, { registerHooks } from 'node:module'
import { dirname, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { markOf, withMark } from './graph-mark.ts'
import { currentSite } from './request-context.ts'

/** Thrown through an `import()` of a site's entry that is CommonJS: it has to be loaded another way. */
export class CommonJsEntry extends Error {}

/** What is known of the files of one site. */
export interface SiteFiles {
  /** Every own file read so far, absolute. */
  readonly all: Set<string>
  /** The last one, which is the one in which a syntax error is. */
  last: string | undefined
  /** Folders whose files are the site's own, with links resolved and a separator at the end. */
  readonly folders: readonly string[]
  /** Set while the entry is tried as an ES module. */
  probedUrl: string | undefined
  /** Whether its modules have URLs of their own. */
  hasOwnGraph: boolean
  /** Called with each own file that is read for the first time. */
  onFile: ((file: string) => void) | undefined
}

/** Own files of all sites that were loaded in this thread. */
const loadedFiles = new Set<string>()

/** The files of a site that is about to be loaded. @param module absolute path of its entry */
export function traceSite(root: string, module: string): SiteFiles {
  const folders = [...new Set([withSeparator(root), withSeparator(dirname(realPath(module)))])]
  const files: SiteFiles = {
    all: new Set(),
    last: undefined,
    folders,
    probedUrl: undefined,
    hasOwnGraph: [...loadedFiles].some((file) => isUnder(folders, file)),
    onFile: undefined,
  }
  if (files.hasOwnGraph) forgetCommonJs(folders)
  return files
}

/** The URL under which a site's entry is imported. */
export function entryUrlOf(files: SiteFiles, url: URL, generation: number): string {
  return files.hasOwnGraph ? withMark(url.href, generation) : url.href
}

/** Whether a path is a site's own file: in one of its folders, outside `node_modules`. */
export function isOwnFile(files: SiteFiles, path: string): boolean {
  return isUnder(files.folders, path)
}

/** Begins to watch. Once a thread. */
export function installFileTrace(): void {
  registerHooks({ resolve, load })
}

type NextResolve = (specifier: string, context?: Partial<ResolveHookContext>) => Module.ResolveFnOutput
type NextLoad = (url: string, context?: Partial<LoadHookContext>) => Module.LoadFnOutput

function resolve(specifier: string, context: ResolveHookContext, next: NextResolve): Module.ResolveFnOutput {
  const resolved = next(specifier, context)
  const files = currentSite()?.files
  if (!files?.hasOwnGraph || !resolved.url.startsWith('file:') || resolved.url.includes('?')) return resolved
  // `require` knows files by their paths: its cache was cleared instead.
  const mark = markOf(context.parentURL)
  if (mark === undefined || !context.conditions.includes('import')) return resolved
  if (!isOwnFile(files, fileURLToPath(resolved.url))) return resolved
  return { ...resolved, url: withMark(resolved.url, mark) }
}

function load(url: string, context: LoadHookContext, next: NextLoad): Module.LoadFnOutput {
  const files = currentSite()?.files
  if (files !== undefined && url.startsWith('file:')) note(files, fileURLToPath(url))
  const loaded = next(url, context)
  if (files?.probedUrl === url) {
    files.probedUrl = undefined
    if (loaded.format?.startsWith('commonjs')) throw new CommonJsEntry()
    return asMain(loaded)
  }
  return loaded
}

const SETS_MAIN = Buffer.from('import.meta.main=true;')
const BYTE_ORDER_MARK = Buffer.from('\u{feff}')
const HASHBANG = Buffer.from('#!')
const LINE_FEED = 10

/**
 * Makes a site's entry the main module for itself: `import.meta.main` is true, as it would be in a process of its own.
 * Node knows only the module that a process was started with, and has no hook for the object; so the source says it, in
 * front of its first line (or its second, after `#!`), which moves no line. A module that does not ask stays as it is.
 */
function asMain(loaded: Module.LoadFnOutput): Module.LoadFnOutput {
  const { source } = loaded
  if (!loaded.format?.startsWith('module') || source === undefined || source === null) return loaded
  const bytes = typeof source === 'string' ? Buffer.from(source) : bytesOf(source)
  if (!bytes.includes('import.meta') || !bytes.includes('main')) return loaded
  const text = bytes.subarray(bytes.indexOf(BYTE_ORDER_MARK) === 0 ? BYTE_ORDER_MARK.byteLength : 0)
  const hasHashbang = text.indexOf(HASHBANG) === 0
  const at = hasHashbang ? text.indexOf(LINE_FEED) + 1 : 0
  if (hasHashbang && at === 0) return loaded
  return { ...loaded, source: Buffer.concat([text.subarray(0, at), SETS_MAIN, text.subarray(at)]) }
}

function bytesOf(source: ArrayBuffer | SharedArrayBuffer | ArrayBufferView): Buffer {
  return ArrayBuffer.isView(source)
    ? Buffer.from(source.buffer, source.byteOffset, source.byteLength)
    : Buffer.from(new Uint8Array(source))
}

function note(files: SiteFiles, path: string): void {
  if (!isOwnFile(files, path)) return
  files.last = path
  loadedFiles.add(path)
  if (files.all.has(path)) return
  files.all.add(path)
  files.onFile?.(path)
}

function isUnder(folders: readonly string[], path: string): boolean {
  const folder = folders.find((one) => path.startsWith(one))
  return folder !== undefined && !path.slice(folder.length - 1).includes(`${sep}node_modules${sep}`)
}

function forgetCommonJs(folders: readonly string[]): void {
  const { _cache: cache } = Module as unknown as { _cache: Record<string, unknown> }
  for (const path of Object.keys(cache)) if (isUnder(folders, path)) delete cache[path]
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
