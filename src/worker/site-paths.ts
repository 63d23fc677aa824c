/**
 * Relative paths of a site lead from its own working directory: in `node:fs`, and for the processes it starts. Without
 * this `readFile('data.json')` would look in the folder of the worker process, which all sites share.
 *
 * Not reached: native add-ons that open files themselves (site-natives.ts knows some), and paths as bytes or
 * URLs (URLs are absolute).
 */
import childProcess from 'node:child_process'
import fs from 'node:fs'
import { isAbsolute, join } from 'node:path'

/** The folder that relative paths lead from in the code that is running; undefined for code that is no site's. */
export type FolderOf = () => string | undefined

type AnyFunction = (...args: unknown[]) => unknown
type Functions = Record<string, unknown>

/** Functions of `node:fs` and `node:fs/promises` whose first argument is a path; each also as `…Sync`. */
const ONE_PATH = [
  'access',
  'appendFile',
  'chmod',
  'chown',
  'exists',
  'lchown',
  'lstat',
  'lutimes',
  'mkdir',
  'mkdtemp',
  'mkdtempDisposable',
  'open',
  'openAsBlob',
  'opendir',
  'readFile',
  'readdir',
  'readlink',
  'realpath',
  'rm',
  'rmdir',
  'stat',
  'statfs',
  'truncate',
  'unlink',
  'unwatchFile',
  'utimes',
  'watch',
  'watchFile',
  'writeFile',
]
const TWO_PATHS = ['copyFile', 'cp', 'link', 'rename']
/** A link's target is relative to the link, not to the working directory. */
const SECOND_PATH = ['symlink']

/** Once a thread, before any site is loaded; `syncBuiltinESMExports` afterwards. */
export function installSitePaths(folderOf: FolderOf): void {
  for (const owner of [fs, fs.promises] as unknown as Functions[]) {
    movePaths(owner, ONE_PATH, [0], folderOf)
    movePaths(owner, TWO_PATHS, [0, 1], folderOf)
    movePaths(owner, SECOND_PATH, [1], folderOf)
  }
  moveProcesses(folderOf)
}

function movePaths(owner: Functions, names: readonly string[], positions: readonly number[], folderOf: FolderOf): void {
  for (const name of names.flatMap((one) => [one, `${one}Sync`])) {
    const original = owner[name]
    if (typeof original === 'function') owner[name] = moving(original as AnyFunction, positions, folderOf)
  }
}

/** The function with the paths at these positions made absolute; also what hangs on it (`realpath.native`). */
function moving(original: AnyFunction, positions: readonly number[], folderOf: FolderOf): AnyFunction {
  const moved: AnyFunction = function (this: unknown, ...args) {
    const folder = folderOf()
    if (folder !== undefined) for (const at of positions) args[at] = absolutePath(folder, args[at])
    return original.apply(this, args)
  }
  Object.defineProperties(moved, Object.getOwnPropertyDescriptors(original))
  const { native } = original as { native?: AnyFunction }
  return native ? Object.assign(moved, { native: moving(native, positions, folderOf) }) : moved
}

/** Keeps a slash at the end, which `mkdtemp` and links need. What is no relative path stays as it is. */
export function absolutePath(folder: string, path: unknown): unknown {
  return typeof path === 'string' && path !== '' && !isAbsolute(path) ? join(folder, path) : path
}

// ---- processes -------------------------------------------------------------------------------------------------------

interface SpawnOptions {
  cwd?: unknown
}

/** Processes start in the site's working directory, unless they are told another. */
function moveProcesses(folderOf: FolderOf): void {
  const prototype = childProcess.ChildProcess.prototype as unknown as { spawn(options: SpawnOptions): unknown }
  const { spawn } = prototype
  prototype.spawn = function (options) {
    return spawn.call(this, inFolder(folderOf(), options))
  }
  const functions = childProcess as unknown as Functions
  for (const name of ['spawnSync', 'execFileSync', 'execSync']) {
    const original = functions[name] as AnyFunction
    functions[name] = (...args: unknown[]) => {
      const at = name !== 'execSync' && (Array.isArray(args[1]) || args[1] === undefined || args[1] === null) ? 2 : 1
      args[at] = inFolder(folderOf(), (args[at] ?? {}) as SpawnOptions)
      return original(...args)
    }
  }
}

function inFolder(folder: string | undefined, options: SpawnOptions): SpawnOptions {
  if (folder === undefined) return options
  const isSaid = options.cwd !== undefined && options.cwd !== null
  return { ...options, cwd: isSaid ? absolutePath(folder, options.cwd) : folder }
}
