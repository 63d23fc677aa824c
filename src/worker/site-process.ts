/**
 * `process` as each site in a thread sees it: its own environment, working directory, arguments, exit and signal
 * handlers. Which site asks is told by its context; vhostel's own code sees the real ones.
 *
 * Not separable in one thread: globals and prototypes (globals-guard.ts keeps them), CPU, heap, and the real working
 * directory, which native code and file paths handed to `node:fs` follow (site-paths.ts does that for `node:fs`). In a
 * process of its own a site has the real directory (own-process.ts).
 */
import { readFileSync, statSync } from 'node:fs'
import Module from 'node:module'
import { resolve } from 'node:path'
// Node makes the named exports of a builtin when it is first imported: here, outside of every site, or `env` would be the
// one of the site that happens to come first.
import process from 'node:process'
import { parseEnv } from 'node:util'
import { exitSite, killSite } from './crash.ts'
import { askSupervisor } from './own-process.ts'
import { currentSite, runOutside } from './request-context.ts'
import type { Site } from './site.ts'

/** Ends the thread, whatever the site's code sees as `process.exit`. */
export const exitThread = process.exit.bind(process)

/**
 * Once a thread, before any site is loaded; `syncBuiltinESMExports` afterwards.
 *
 * @param alone whether the process is one site's own
 */
export function installSiteProcess(alone: boolean): void {
  ownEnvironment()
  ownEnvFile()
  ownArguments()
  if (alone) realDirectory()
  else ownDirectory()
  ownExit()
  ownEvents()
  ownCapture()
  ownExports()
}

// ---- environment and arguments ---------------------------------------------------------------------------------------

/**
 * In a site's code `process.env` and `process.argv` are that site's objects, so they stay right wherever a site keeps
 * them. Asked for outside (`import { env } from 'node:process'` is resolved once for all), each is one that looks up the
 * site at every use.
 */
function ownEnvironment(): void {
  const real = process.env
  ownProperty(
    'env',
    real,
    (site) => site.env,
    (site, value) => {
      site.env = value
    },
  )
}

/** Node's own puts what it reads into the environment of the process, and reads from its folder. */
function ownEnvFile(): void {
  const { loadEnvFile } = process
  process.loadEnvFile = (path = '.env') => {
    const site = currentSite()
    if (site === undefined) return loadEnvFile(path)
    const file = typeof path === 'string' ? resolve(process.cwd(), path) : path
    for (const [name, value] of Object.entries(parseEnv(readFileSync(file, 'utf8')))) {
      if (!(name in site.env)) site.env[name] = value
    }
  }
}

function ownArguments(): void {
  ownProperty(
    'argv',
    process.argv,
    (site) => site.argv,
    (site, value) => {
      site.argv = value
    },
  )
}

function ownProperty<T extends object>(
  name: 'env' | 'argv',
  real: T,
  read: (site: Site) => T,
  write: (site: Site, value: T) => void,
): void {
  const lookUp = (): T => {
    const site = currentSite()
    return site === undefined ? real : read(site)
  }
  // Its target has properties that cannot be hidden or changed only if they are the same for all (`length` of an array).
  const shared = lookingUp(Array.isArray(real) ? ([] as unknown as T) : real, lookUp)
  Object.defineProperty(process, name, {
    configurable: true,
    enumerable: true,
    get: () => {
      const site = currentSite()
      return site === undefined ? shared : read(site)
    },
    set: (value: T) => {
      const site = currentSite()
      if (site !== undefined) write(site, value)
    },
  })
}

/**
 * Does everything to the object that is right at that moment.
 *
 * @param own has what cannot be hidden or changed of the others
 */
export function lookingUp<T extends object>(own: T, target: () => T): T {
  const proxy: T = new Proxy(own, {
    get: (_, name) => Reflect.get(target(), name),
    set: (_, name, value, receiver) => {
      const right = target()
      return Reflect.set(right, name, value, receiver === proxy ? right : receiver)
    },
    has: (_, name) => Reflect.has(target(), name),
    deleteProperty: (_, name) => Reflect.deleteProperty(target(), name),
    ownKeys: () => Reflect.ownKeys(target()),
    defineProperty: (_, name, descriptor) => Reflect.defineProperty(target(), name, descriptor),
    getOwnPropertyDescriptor: (_, name) => {
      const descriptor = Reflect.getOwnPropertyDescriptor(target(), name)
      // A proxy may tell of a property that cannot be changed only if its own target has it.
      const isFixed = Reflect.getOwnPropertyDescriptor(own, name)?.configurable === false
      return descriptor === undefined ? undefined : { ...descriptor, configurable: !isFixed }
    },
  })
  return proxy
}

/** Node makes the named exports anew from what it finds: that has to be what is shared, whoever asks for it. */
function ownExports(): void {
  const { syncBuiltinESMExports } = Module
  Module.syncBuiltinESMExports = () => runOutside(syncBuiltinESMExports)
}

// ---- working directory -----------------------------------------------------------------------------------------------

function ownDirectory(): void {
  const { cwd, chdir, umask } = process
  process.cwd = () => currentSite()?.cwd ?? cwd()
  process.umask = (mask?: number | string) => {
    if (mask === undefined) return umask()
    const message = `process.umask(${mask}) would be for all sites of the process; 'isolation = process' gives the site one of its own`
    throw Object.assign(new TypeError(message), { code: 'ERR_WORKER_UNSUPPORTED_OPERATION' })
  }
  process.chdir = (directory) => {
    const site = currentSite()
    if (site === undefined) return chdir(directory)
    changeDirectory(site, directory)
  }
}

/** Those of the process, which only its main thread may change. */
function realDirectory(): void {
  const { umask } = process
  process.chdir = (directory) => {
    askSupervisor('chdir', directory)
  }
  process.umask = (mask?: number | string) => {
    if (mask === undefined) return umask()
    return askSupervisor('umask', typeof mask === 'string' ? Number.parseInt(mask, 8) : mask)
  }
}

/** @throws what Node throws when the folder is not there */
function changeDirectory(site: Site, directory: string): void {
  const path = resolve(site.cwd, directory)
  const stats = statSync(path, { throwIfNoEntry: false })
  if (!stats?.isDirectory()) {
    const code = stats === undefined ? 'ENOENT' : 'ENOTDIR'
    const what = stats === undefined ? 'no such file or directory' : 'not a directory'
    const message = `${code}: ${what}, chdir '${site.cwd}' -> '${directory}'`
    throw Object.assign(new Error(message), {
      code,
      errno: stats === undefined ? -2 : -20,
      syscall: 'chdir',
      path: site.cwd,
      dest: directory,
    })
  }
  site.cwd = path
}

// ---- exit ------------------------------------------------------------------------------------------------------------

function ownExit(): void {
  const { abort, exit, kill } = process
  const raw = process as unknown as { reallyExit(code?: number): never }
  const { reallyExit } = raw
  raw.reallyExit = (code) => {
    const site = currentSite()
    return site === undefined ? reallyExit.call(process, code) : exitSite(site, Number(code ?? 0))
  }
  process.exit = (code) => {
    const site = currentSite()
    return site === undefined ? exit(code) : exitSite(site, Number(code ?? process.exitCode ?? 0))
  }
  process.abort = () => {
    const site = currentSite()
    return site === undefined ? abort() : exitSite(site, ABORTED)
  }
  process.kill = (pid, signal) => {
    const site = currentSite()
    if (site === undefined || signal === 0 || !isOurs(pid)) return kill(pid, signal)
    if (pid !== process.pid) throw notPermitted()
    const name = typeof signal === 'string' ? signal : 'SIGTERM'
    // The process is everybody's: a signal to it is one to the site.
    return site.processEvents.emit(name, name) || killSite(site)
  }
}

/** As a shell tells of a process that ended by SIGABRT. */
const ABORTED = 134

/** This process, the server that started it, or what would have one of both: their groups, or all processes of the user. */
function isOurs(pid: number): boolean {
  if (pid >= -1) return pid <= 0 || pid === process.pid || pid === process.ppid
  return [process.pid, process.ppid].some((own) => (groupOf(own) ?? -pid) === -pid)
}

/** The process group of a process (proc_pid_stat(5)); undefined where the kernel does not tell. */
function groupOf(pid: number): number | undefined {
  try {
    // The name comes before it, in brackets, and may have anything in it.
    const [, , group] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? []
    return group === undefined ? undefined : Number(group)
  } catch {
    return undefined
  }
}

/** What kill(2) says where a process may not. */
function notPermitted(): Error {
  return Object.assign(new Error('kill EPERM'), { code: 'EPERM', errno: -1, syscall: 'kill' })
}

// ---- events ----------------------------------------------------------------------------------------------------------

/** What Node emits, and vhostel hears. Everything else that is emitted in a site's code is for the site. */
const NODE_EVENTS = new Set([
  'beforeExit',
  'exit',
  'message',
  'disconnect',
  'rejectionHandled',
  'uncaughtException',
  'uncaughtExceptionMonitor',
  'unhandledRejection',
  'warning',
])

const LISTENER_METHODS = [
  'on',
  'once',
  'addListener',
  'prependListener',
  'prependOnceListener',
  'removeListener',
  'off',
  'removeAllListeners',
  'listeners',
  'rawListeners',
  'listenerCount',
  'eventNames',
  'setMaxListeners',
  'getMaxListeners',
] as const

type AnyMethod = (...args: unknown[]) => unknown

/**
 * A site's listeners on `process` are its own: it hears of its own errors, is told to stop, and cannot take away those of
 * others.
 */
function ownEvents(): void {
  for (const name of LISTENER_METHODS) {
    const original = process[name] as AnyMethod
    const replacement: AnyMethod = function (this: unknown, ...args) {
      const site = currentSite()
      if (site === undefined) return original.apply(this, args)
      const result = (site.processEvents[name] as AnyMethod)(...args)
      return result === site.processEvents ? process : result
    }
    Object.defineProperty(process, name, { value: replacement, configurable: true, writable: true })
  }
  ownEmit()
}

/** Node itself emits errors and warnings here, in the context of the site they come from. */
function ownEmit(): void {
  const original = process.emit as AnyMethod
  const emit: AnyMethod = function (this: unknown, ...args) {
    const [event] = args
    const site = currentSite()
    if (site === undefined || typeof event !== 'string') return original.apply(this, args)
    if (!NODE_EVENTS.has(event)) return site.processEvents.emit(event, ...args.slice(1))
    // Errors come to a site's listeners by crash.ts.
    if (event === 'warning' || event === 'rejectionHandled') site.processEvents.emit(event, ...args.slice(1))
    return original.apply(this, args)
  }
  Object.defineProperty(process, 'emit', { value: emit, configurable: true, writable: true })
}

/** A callback for all uncaught errors of a process is one for those of the site: crash.ts calls it. */
function ownCapture(): void {
  const { setUncaughtExceptionCaptureCallback: setCapture, hasUncaughtExceptionCaptureCallback: hasCapture } = process
  process.hasUncaughtExceptionCaptureCallback = () => {
    const site = currentSite()
    return site === undefined ? hasCapture() : site.captureError !== undefined
  }
  process.setUncaughtExceptionCaptureCallback = (capture) => {
    const site = currentSite()
    if (site === undefined) return setCapture(capture)
    site.captureError = capture ?? undefined
  }
}
