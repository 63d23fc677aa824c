/**
 * Native code that is known is at home where the site is whose code calls it: databases (`node:sqlite`, better-sqlite3,
 * sqlite3, libsql, lmdb, classic-level) and images (sharp, @napi-rs/canvas) open relative paths by themselves, from the directory of the process. Without this two sites
 * that both open `data.db` would have had one file. Callbacks (sqlite3, sharp, bcrypt) are called as code of the site.
 *
 * Limits: other native code follows the real working directory, in which nothing can be made (pool/worker-process.ts), so
 * it fails rather than meet a neighbour's files. Invariant: names that are no paths (`:memory:`) stay as they are.
 */
import { AsyncResource } from 'node:async_hooks'
import Module from 'node:module'
import type { FolderOf } from './site-paths.ts'
import { absolutePath } from './site-paths.ts'

type AnyFunction = (...args: unknown[]) => unknown
type Members = Record<string, unknown>
type Move = (folder: string, value: unknown) => unknown
/** What the arguments become. */
type Change = (args: unknown[]) => unknown[]

const SQLITE = 'node:sqlite'
let isSqliteMoved = false

/**
 * Once a thread, before any site is loaded; `syncBuiltinESMExports` afterwards.
 *
 * @param folderOf gives nothing where the working directory of the process is right
 */
export function installSiteNatives(folderOf: FolderOf): void {
  // Node loads it, and warns, only for those who use it.
  const { getBuiltinModule } = process
  const meet = (name: string): void => {
    if (name === SQLITE) changeSqlite(getBuiltinModule(SQLITE) as unknown as Members, folderOf)
  }
  Module.registerHooks({
    resolve: (specifier, context, next) => {
      const resolved = next(specifier, context)
      meet(resolved.url)
      return resolved
    },
  })
  process.getBuiltinModule = ((name: string) => {
    meet(name)
    return getBuiltinModule(name)
  }) as typeof getBuiltinModule
  meetAddons(folderOf)
}

function changeSqlite(sqlite: Members, folderOf: FolderOf): void {
  if (isSqliteMoved) return
  isSqliteMoved = true
  replace(sqlite, 'DatabaseSync', moving(0, sqliteFile, folderOf))
  replace(sqlite, 'backup', moving(1, sqliteFile, folderOf))
  Module.syncBuiltinESMExports()
}

/** What is known of add-ons, by where their packages are. */
const ADDONS: readonly [path: RegExp, change: (addon: Members, folderOf: FolderOf) => void][] = [
  [/[/\\]better-sqlite3[/\\]/, changeBetterSqlite],
  [/[/\\]sqlite3[/\\]/, changeSqlite3],
  [/[/\\]@libsql[/\\]/, changeLibsql],
  [/[/\\]@lmdb[/\\]/, changeLmdb],
  [/[/\\]classic-level[/\\]/, changeLevel],
  [/[/\\]@napi-rs[/\\]canvas/, changeCanvas],
  [/[/\\](@img[/\\]sharp-[^/\\]+|sharp)[/\\]/, changeSharp],
  [/[/\\]bcrypt[/\\]/, bindAll],
]

function meetAddons(folderOf: FolderOf): void {
  const { dlopen } = process
  process.dlopen = (...args) => {
    Reflect.apply(dlopen, process, args)
    const [module, file] = args as [{ exports: Members }, string]
    const change = ADDONS.find(([path]) => path.test(file))?.[1]
    change?.(module.exports, folderOf)
  }
}

function changeBetterSqlite(addon: Members, folderOf: FolderOf): void {
  replace(addon, 'Database', moving(0, sqliteFile, folderOf))
  replace(prototypeOf(addon, 'Database'), 'backup', moving(2, sqliteFile, folderOf))
}

function changeSqlite3(addon: Members, folderOf: FolderOf): void {
  replace(addon, 'Database', moving(0, sqliteFile, folderOf))
  replace(addon, 'Backup', moving(1, sqliteFile, folderOf))
  for (const name of ['Database', 'Backup', 'Statement']) {
    bindAll(prototypeOf(addon, name))
    replace(addon, name, bound)
  }
}

function changeLibsql(addon: Members, folderOf: FolderOf): void {
  for (const name of ['databaseOpen', 'databaseOpenWithSync']) replace(addon, name, moving(0, sqliteFile, folderOf))
}

/** The methods of its class cannot be changed, so each instance gets one in front. */
function changeLmdb(addon: Members, folderOf: FolderOf): void {
  const { Env } = addon
  if (typeof Env !== 'function') return
  const inFolder = moving(0, optionsInFolder, folderOf)
  addon.Env = new Proxy(Env as AnyFunction, {
    construct: (target, args, newTarget) => {
      const env = Reflect.construct(target, args, newTarget) as Members
      const open = env.open as AnyFunction
      const value: AnyFunction = (...given) => Reflect.apply(open, env, inFolder(given))
      return Object.defineProperty(env, 'open', { value, configurable: true, writable: true })
    },
  })
}

function optionsInFolder(folder: string, options: unknown): unknown {
  return Object.assign(options as Members, { path: absolutePath(folder, (options as Members).path) })
}

function changeLevel(addon: Members, folderOf: FolderOf): void {
  replace(addon, 'db_open', moving(1, absolutePath, folderOf))
  for (const name of ['destroy_db', 'repair_db']) replace(addon, name, moving(0, absolutePath, folderOf))
}

function changeCanvas(addon: Members, folderOf: FolderOf): void {
  const fonts = (addon.GlobalFonts ?? {}) as Members
  for (const name of ['registerFromPath', 'loadFontsFromDir']) replace(fonts, name, moving(0, absolutePath, folderOf))
  const image = prototypeOf(addon, 'Image')
  const source = Object.getOwnPropertyDescriptor(image, 'src')
  const { set } = source ?? {}
  if (set === undefined) return
  Reflect.defineProperty(image, 'src', {
    ...source,
    set(value: unknown) {
      const folder = folderOf()
      set.call(this, folder === undefined ? value : imageSource(folder, value))
    },
  })
}

/** Where an image is: a file, or the image itself (`data:…`). */
function imageSource(folder: string, source: unknown): unknown {
  return typeof source === 'string' && /^\s*data:/i.test(source) ? source : absolutePath(folder, source)
}

function changeSharp(addon: Members, folderOf: FolderOf): void {
  for (const name of ['pipeline', 'metadata', 'stats']) {
    replace(addon, name, moving(0, imageFiles, folderOf))
    replace(addon, name, bound)
  }
}

function prototypeOf(addon: Members, name: string): Members {
  return ((addon[name] ?? {}) as { prototype?: Members }).prototype ?? {}
}

/** Has all functions here call back in the context of their caller. */
function bindAll(owner: Members): void {
  for (const name of Object.getOwnPropertyNames(owner)) if (name !== 'constructor') replace(owner, name, bound)
}

const bound: Change = (args) =>
  args.map((arg) => (typeof arg === 'function' ? AsyncResource.bind(arg as AnyFunction) : arg))

function moving(at: number, move: Move, folderOf: FolderOf): Change {
  return (args) => {
    const folder = folderOf()
    return folder === undefined || args.length <= at ? args : args.with(at, move(folder, args[at]))
  }
}

/**
 * The function, or class, with its arguments changed; in all else the same. One that is not there stays so, and so does one
 * that cannot be changed.
 */
function replace(owner: Members, name: string, change: Change): void {
  // Not by reading it: an accessor of a native class throws where it is asked of the prototype.
  const original: unknown = Object.getOwnPropertyDescriptor(owner, name)?.value
  if (typeof original !== 'function') return
  const value = new Proxy(original as AnyFunction, {
    apply: (target, self, args) => Reflect.apply(target, self, change(args)),
    construct: (target, args, newTarget) => Reflect.construct(target, change(args), newTarget) as object,
  })
  Reflect.defineProperty(owner, name, { value, configurable: true, writable: true, enumerable: true })
}

const IN_MEMORY = ':memory:'

/** SQLite takes URIs too: `file:data.db?mode=ro` leads from the working directory, `file:/data.db` and `file:///…` do not. */
function sqliteFile(folder: string, name: unknown): unknown {
  if (typeof name !== 'string' || !name.startsWith('file:'))
    return name === IN_MEMORY ? name : absolutePath(folder, name)
  const path = name.slice('file:'.length)
  if (path.startsWith('/') || path.startsWith(IN_MEMORY) || path === '' || path.startsWith('?')) return name
  const encoded = folder.replaceAll('%', '%25').replaceAll('?', '%3f').replaceAll('#', '%23')
  return `file:${encoded}/${path}`
}

/** sharp hands its native code one object with everything: the files in it are moved where they stand. */
function imageFiles(folder: string, options: unknown): unknown {
  const { input, boolean, composite, joinChannelIn, join } = options as Members
  const inputs = [input, boolean, composite, joinChannelIn, join].flat(2) as (Members | undefined | null)[]
  for (const one of inputs) {
    const image = (one?.input ?? one) as Members | undefined | null
    if (typeof image?.file === 'string') image.file = absolutePath(folder, image.file)
  }
  const all = options as Members
  all.fileOut = absolutePath(folder, all.fileOut)
  return options
}
