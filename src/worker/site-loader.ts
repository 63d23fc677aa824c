/**
 * Loads a generation of a site into this thread and closes it again: runs its module in its own context, tells what it
 * is, and makes it ready to answer.
 *
 * Several may load at once: whose code runs is told by its context alone. Limits: `startTimeoutMs` for a load,
 * `stopTimeoutMs` for a close; what a site's code does beyond that is its own, until the thread ends. Invariant: a load
 * ends with a report, whatever the site's code does, unless that blocks the thread.
 */
import { once } from 'node:events'
import type { Stats } from 'node:fs'
import { realpathSync, statSync } from 'node:fs'
import Module from 'node:module'
import { join, sep } from 'node:path'
import { setTimeout as delay, setImmediate as immediate } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { deniedText, isDenied } from '../core/denied.ts'
import type { LoadFailure, LoadReport } from '../protocol/frames.ts'
import { SiteExit } from './crash.ts'
import { startInstance, startPlugin } from './fastify-adapter.ts'
import { FetchApp } from './fetch-adapter.ts'
import { CommonJsEntry, entryUrlOf } from './file-trace.ts'
import { HandlerApp, ListenApp, ServerApp } from './http-adapter.ts'
import { refusalOf } from './listen-adapter.ts'
import { describeFailure, LoadProblem } from './load-failure.ts'
import type { FoundShape } from './module-shape.ts'
import { findShape } from './module-shape.ts'
import { runIn } from './request-context.ts'
import { showError } from './show-error.ts'
import type { Site, SiteApp } from './site.ts'

/** Most files that a report names: it has to fit into a frame. */
const MAX_FILES = 10_000

/** How long a program may take to end by itself once its requests are answered, in ms. Less than the end of a thread may take. */
const OWN_END_MS = 1_000

/** How long a module that is not the newest any more may take to listen, in ms, once it has run to its end. */
const OUTDATED_MS = 1_000

/** How long a module that listens may take to come to its end, in ms, or half of its start timeout if that is less. */
const OWN_START_MS = 5_000

/** Runs a site's module. Never rejects: a failure is in the report. */
export async function loadSite(site: Site): Promise<LoadReport> {
  const startedAt = performance.now()
  const failure = await tryLoad(site)
  site.onLoadCrash = undefined
  if (failure !== undefined) site.state = 'stopped'
  return {
    shape: site.app?.shape,
    failure,
    files: [...(failure === undefined ? [] : site.files.missing), ...site.files.all].slice(0, MAX_FILES),
    tookMs: Math.round(performance.now() - startedAt),
  }
}

async function tryLoad(site: Site): Promise<LoadFailure | undefined> {
  try {
    checkPaths(site)
    site.app = await withinLoad(site, () => bringUp(site))
    site.state = 'live'
    return undefined
  } catch (error) {
    return describeFailure(error instanceof SiteExit ? exitProblem(error, site) : error, site.files)
  }
}

function checkPaths({ order }: Site): void {
  const root = statsOf(order.root, "the site's root folder")
  if (!root.isDirectory()) throw new LoadProblem(`the site's root is not a folder: ${order.root}`, order.root)
  statsOf(order.module, "the site's module")
}

/** @param what it is, for the message @throws LoadProblem where nothing is there, or the site's user may not get there */
function statsOf(path: string, what: string): Stats {
  try {
    const stats = statSync(path, { throwIfNoEntry: false })
    if (stats !== undefined) return stats
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = isDenied(code) ? deniedText(path) : message
    throw new LoadProblem(`${what} cannot be looked at: ${why}`, path)
  }
  throw new LoadProblem(`${what} is not there: ${path}`, path)
}

/** What `process.exit` in the module's own code comes to. */
function exitProblem(exit: SiteExit, site: Site): Error {
  const error = new Error(`the site called process.exit(${exit.exitCode}) while it was loading`)
  error.stack = `${error.message}\n${(exit.stack ?? '').split('\n').slice(1).join('\n')}`
  site.stderr.flush()
  return error
}

/** Runs `work` in the site's context, until it is done, the site crashes, or the time is up. */
function withinLoad<T>(site: Site, work: () => Promise<T>): Promise<T> {
  const { startTimeoutMs } = site.order
  return new Promise((resolve, reject) => {
    site.onLoadCrash = reject
    const timer = setTimeout(() => reject(lateProblem(site)), startTimeoutMs)
    runIn(site, work)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer))
  })
}

/** @returns the error that says why a site was not up in time */
function lateProblem(site: Site): Error {
  // Its stack has the place at which the site opened the wrong kind of server.
  const refusal = site.isEvaluated && site.servers.length === 0 ? refusalOf(site) : undefined
  return refusal ?? new LoadProblem(describeWait(site), site.order.module)
}

/** What a site did not do in time. */
function describeWait({ order, servers, isEvaluated, startedScript }: Site): string {
  const within = `within ${order.startTimeoutMs} ms ([limits] start_timeout)`
  if (!isEvaluated) return `the module was not loaded ${within}; does it await something that never comes?`
  if (order.httpPort !== undefined && servers.length > 0) {
    const ports = servers.map((captured) => captured.port ?? 'a path').join(', ')
    return `http_port = ${order.httpPort} is set, but the module listens only on ${ports}`
  }
  const listens = `the module did not call listen() ${within}`
  const all =
    order.type === 'auto' ? `${listens}, and it exports no handler, fetch function or Fastify plugin` : listens
  if (startedScript === undefined) return all
  return `${all}; what a process of its own listens on is not seen, and it has started ${startedScript} as one: make that file the module`
}

async function bringUp(site: Site): Promise<SiteApp> {
  const loading = loadModule(site)
  if (await listensAndStays(site, loading)) {
    // On plain Node it would end the process; here it is one more error that the site's code did not catch.
    void loading.then(undefined, (error: unknown) => {
      throw error
    })
    return new ListenApp()
  }
  const exported = await loading
  site.isEvaluated = true
  // What listens is a whole site; what the module exports beside it is for its tests, as a rule.
  if (site.order.type === 'auto' && (await isListening(site))) return new ListenApp()
  return appFor(site, findShape(exported, isCommand(site) ? 'listen' : site.order.type))
}

/** What npm makes of the commands of packages. */
const COMMANDS = join(sep, 'node_modules', '.bin', sep)

/** Whether the module is a command of a package: that is a program, which listens; what it exports is for other programs. */
function isCommand({ order }: Site): boolean {
  return order.type === 'auto' && order.module.includes(COMMANDS)
}

/**
 * Whether a module has long been listening and is still not at its end, as one that awaits the end of its server
 * (`await app.listen()` in oak). Others await their database there, after they listen: these are not asked before it is open.
 */
async function listensAndStays(site: Site, loading: Promise<unknown>): Promise<boolean> {
  const { type, startTimeoutMs } = site.order
  if (type !== 'auto' && type !== 'listen') return false
  const end = loading.then(() => false)
  const patience = Math.min(OWN_START_MS, startTimeoutMs / 2)
  let isOver = false
  const stays = async (): Promise<boolean> => {
    do {
      await untilListening(site)
      await delay(patience, undefined, { ref: false })
    } while (site.mainServer === undefined && !isOver)
    return true
  }
  try {
    return await Promise.race([end, stays()])
  } finally {
    isOver = true
  }
}

async function appFor(site: Site, found: FoundShape): Promise<SiteApp> {
  switch (found.kind) {
    case 'fetch':
      return new FetchApp(site, found)
    case 'server':
      return new ServerApp(found.server)
    case 'fastify':
      return startInstance(found.app)
    case 'plugin':
      return startPlugin(site, found)
    case 'handler':
      return new HandlerApp(found.listener)
    case 'none':
      await Promise.race([untilListening(site), untilOutdated(site)])
      return new ListenApp()
    case 'unclear':
      throw new LoadProblem(found.problem, site.order.module)
    default:
      return found satisfies never
  }
}

/**
 * Runs the entry, as the program's main module if it is CommonJS, so that `require.main === module` holds. Which of the
 * two it is, Node decides: the import is given up as soon as it has. A link (`node_modules/.bin/NAME`) is followed, as Node does.
 */
async function loadModule(site: Site): Promise<unknown> {
  const file = realpathSync(site.order.module)
  const url = entryUrlOf(site.files, pathToFileURL(file), site.generation)
  site.files.probedUrl = url
  try {
    return await import(url)
  } catch (error) {
    if (!(error instanceof CommonJsEntry)) throw error
  } finally {
    site.files.probedUrl = undefined
  }
  const { _load: load } = Module as unknown as { _load(file: string, parent: null, isMain: boolean): unknown }
  return load(file, null, true)
}

/**
 * Whether the site has a server that stays, a turn of the event loop later: with a host, Node binds in a later tick; and a
 * server that only tries whether its port is free is closed as soon as it listens.
 */
async function isListening(site: Site): Promise<boolean> {
  await immediate()
  return site.mainServer !== undefined
}

async function untilListening(site: Site): Promise<void> {
  while (!(await isListening(site))) await once(site.changes, 'server')
}

/**
 * What does not listen soon may never do so: whoever wrote it has mended it, and waits for the new version to come to its turn.
 *
 * @throws LoadProblem when a newer version is there, and this one had its time to listen
 */
async function untilOutdated(site: Site): Promise<never> {
  const inTime = delay(OUTDATED_MS, undefined, { ref: false })
  await site.outdated
  await inTime
  throw new LoadProblem('its code changed before it called listen(); the newer version is loaded', site.order.module)
}

/**
 * Lets a site close itself, as a process that is told to stop: its own handlers of SIGTERM, its framework, its servers,
 * its handlers of 'exit'. Resolves when all is done or the time is up.
 */
export async function closeSite(site: Site): Promise<void> {
  if (site.state !== 'live') return
  site.state = 'stopping'
  const { promise: late, resolve: giveUp } = Promise.withResolvers<void>()
  const timer = setTimeout(giveUp, site.order.stopTimeoutMs)
  await Promise.race([late, runIn(site, () => closeInOrder(site))])
  clearTimeout(timer)
  runIn(site, () => guarded(site, () => site.processEvents.emit('exit', 0)))
  site.stdout.flush()
  site.stderr.flush()
  // What has not come to its end by now, such as an idle WebSocket, does not outlive the site.
  site.cutOpen()
  site.state = 'stopped'
  site.app = undefined
}

async function closeInOrder(site: Site): Promise<void> {
  let isHeard = false
  guarded(site, () => {
    // Set first: the handler may end with `process.exit`, which throws.
    isHeard = ['SIGTERM', 'SIGINT'].some((name) => site.processEvents.listenerCount(name) > 0)
    tellToStop(site)
  })
  if (isHeard && site.app?.needsServer) await endsItself(site)
  try {
    await site.app?.close()
  } catch (error) {
    site.log.write('fatal', `closing failed: ${showError(error)}`)
  }
  await Promise.all([...site.servers].map((captured) => new Promise<void>((done) => captured.close(() => done()))))
  await new Promise<void>((resolve) => site.whenIdle(resolve))
}

/**
 * A program that listens for the signal closes its servers itself, then what is behind them (its database, its queue), and
 * exits: to close its servers first would make its own `close` fail, and the rest would not be run. Resolves when it exits, or has
 * nothing under way for `OWN_END_MS`: many close their servers and wait for the process to end of itself.
 */
async function endsItself(site: Site): Promise<void> {
  const { promise: isOver, resolve: giveUp } = Promise.withResolvers<void>()
  let timer: NodeJS.Timeout | undefined
  site.whenIdle(() => {
    timer = setTimeout(giveUp, OWN_END_MS)
  })
  await Promise.race([isOver, site.exited])
  clearTimeout(timer)
}

/** Sends the signal that process managers send, or the one of a terminal to a site that knows only that. */
function tellToStop({ processEvents }: Site): void {
  if (processEvents.emit('SIGTERM', 'SIGTERM', 15)) return
  processEvents.emit('SIGINT', 'SIGINT', 2)
}

/** A handler of the site that throws does not keep the others from their turn. */
function guarded(site: Site, work: () => void): void {
  try {
    work()
  } catch (error) {
    if (!(error instanceof SiteExit)) {
      site.log.write('fatal', `a handler failed while the site was closing: ${showError(error)}`)
    }
  }
}
