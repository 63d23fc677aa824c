/**
 * Entry of a worker thread: connects to the dispatcher and does what its frames say. Runs the code of many sites; an
 * error that none of it caught is put on the site it belongs to, and the thread goes on.
 *
 * The thread lives as long as its channel: when that closes, nobody can ask it for anything, and it ends.
 */
import Module from 'node:module'
import { connect } from 'node:net'
import { ThreadBoard } from '../core/thread-board.ts'
import { trimHeap } from '../core/trim-heap.ts'
import type { Channel } from '../protocol/channel.ts'
import { openChannel } from '../protocol/channel.ts'
import type { Frame, LoadOrder } from '../protocol/frames.ts'
import { assertNever } from '../protocol/frames.ts'
import { reportRejection, reportUncaught } from './crash.ts'
import { installFetchClasses } from './fetch-classes.ts'
import { installFileTrace } from './file-trace.ts'
import { GlobalsGuard } from './globals-guard.ts'
import { countHelperUse } from './helper-use.ts'
import { kernelThreadId } from './kernel-thread.ts'
import { installListenCapture } from './listen-adapter.ts'
import { LoadTurns } from './load-turns.ts'
import { installLook } from './look.ts'
import { installModuleCache } from './module-cache.ts'
import { installNativeTrace } from './native-trace.ts'
import { askSupervisor } from './own-process.ts'
import { currentContext, currentSite } from './request-context.ts'
import { Requests } from './requests.ts'
import { showError } from './show-error.ts'
import { Site } from './site.ts'
import { installSiteAgents } from './site-agents.ts'
import { installSiteChildren } from './site-children.ts'
import { installSiteCluster } from './site-cluster.ts'
import { installSiteDescriptors } from './site-descriptors.ts'
import { installSiteGlobals } from './site-globals.ts'
import { installSiteHooks } from './site-hooks.ts'
import { closeSite, loadSite } from './site-loader.ts'
import { SiteLog } from './site-log.ts'
import { installSiteNatives } from './site-natives.ts'
import { installSiteOutput } from './site-output.ts'
import { installSitePaths } from './site-paths.ts'
import { exitThread, installSiteProcess } from './site-process.ts'
import { installSiteStacks } from './site-stacks.ts'
import type { Home } from './site-workers.ts'
import { installSiteWorkers } from './site-workers.ts'
import { installSlowCompression } from './slow-compression.ts'
import { installSlowJobs } from './slow-jobs.ts'
import { takeStartVariables } from './start-variables.ts'
import { hideSupervisor, supervisorPort, threadOptions } from './supervisor-port.ts'
import type { HelperCount, ThreadMessage } from './thread-options.ts'

const options = threadOptions

/** Sites that were loaded here, or are being loaded, by generation. */
const sites = new Map<number, Site>()
const loadTurns = new LoadTurns()

function main(): void {
  const board = new ThreadBoard(options.board)
  board.kernelId = kernelThreadId()
  if (options.compileCache !== undefined) Module.enableCompileCache(options.compileCache)
  const socket = connect(options.socket)
  const channel = openChannel(socket, { onFrame: (frame) => receive(frame), onClose: () => exitThread(0) })
  const ownLog = new SiteLog(channel, 0)
  const guard = options.alone ? undefined : new GlobalsGuard(channel, sites, ownLog)
  const requests = new Requests(channel, board, guard)

  function receive(frame: Frame): void {
    switch (frame.type) {
      case 'request':
        return requests.start(frame, sites.get(frame.head.generation))
      case 'body':
      case 'end':
      case 'credit':
      case 'abort':
        return requests.receive(frame)
      case 'load':
        return void load(frame.order, channel, guard)
      case 'unload':
        return void unload(frame.id, channel)
      case 'outdate':
        return sites.get(frame.id)?.outdates()
      case 'hello':
      case 'started':
      case 'informational':
      case 'response':
      case 'tunnel':
      case 'loaded':
      case 'unloaded':
      case 'files':
      case 'log':
      case 'offence':
      case 'native':
      case 'failed':
        return channel.destroy(new Error(`a ${frame.type} frame from the dispatcher`))
      default:
        return assertNever(frame)
    }
  }

  installGlobals(guard)
  catchErrors(ownLog)
  obeySupervisor(board)
  channel.send({ type: 'hello', id: 0, thread: options.thread, token: options.token })
  // Some ms, while the thread waits for its first site.
  setImmediate(() => guard?.begin())
}

/** What sites see as their own, before any of them is loaded. */
function installGlobals(guard: GlobalsGuard | undefined): void {
  installLook()
  installSiteOutput()
  installSiteProcess(options.alone)
  installSiteStacks()
  if (!options.alone) {
    installSiteAgents()
    installSiteDescriptors()
    installSiteGlobals()
    installSitePaths(folderOf)
    installSlowCompression()
    installSlowJobs()
  }
  installSiteNatives(options.alone ? () => undefined : folderOf)
  installSiteChildren()
  installSiteWorkers(() => homeOf(currentSite()))
  installSiteCluster()
  installListenCapture()
  installFetchClasses()
  installFileTrace()
  installModuleCache()
  if (guard !== undefined) installSiteHooks((site, text) => guard.tell(site, text))
  installNativeTrace()
  hideSupervisor()
  Module.syncBuiltinESMExports()
}

function folderOf(): string | undefined {
  return currentSite()?.cwd
}

function homeOf(site: Site | undefined): Home | undefined {
  return site && { env: site.env, cwd: options.alone ? undefined : site.cwd }
}

function catchErrors(ownLog: SiteLog): void {
  process.on('uncaughtException', (error) => {
    const context = currentContext()
    if (context !== undefined) reportUncaught(context, error)
    else ownLog.write('fatal', showError(error))
  })
  process.on('unhandledRejection', (reason, promise) => {
    const context = currentContext()
    if (context !== undefined) reportRejection(context, reason, promise)
    else ownLog.write('fatal', showError(reason))
  })
}

async function load(order: LoadOrder, channel: Channel, guard: GlobalsGuard | undefined): Promise<void> {
  const site = new Site(order, channel)
  sites.set(order.generation, site)
  const report = await loadTurns.run(() => {
    guard?.loads(site)
    if (options.alone) enterRoot(order.root)
    takeStartVariables(site, options.alone)
    return loadSite(site)
  })
  guard?.loaded(site)
  if (site.app === undefined) sites.delete(order.generation)
  channel.send({ type: 'loaded', id: order.generation, report })
  reportLaterFiles(site, channel)
}

/** A folder that is not there is told of by the load. */
function enterRoot(root: string): void {
  try {
    askSupervisor('chdir', root)
  } catch {}
}

/** Files that the site reads after its load are told in one frame a turn. */
function reportLaterFiles(site: Site, channel: Channel): void {
  let files: string[] = []
  site.files.onFile = (file) => {
    if (files.length === 0) {
      setImmediate(() => {
        channel.send({ type: 'files', id: site.generation, files })
        files = []
      })
    }
    files.push(file)
  }
}

async function unload(generation: number, channel: Channel): Promise<void> {
  const site = sites.get(generation)
  if (site !== undefined) await closeSite(site)
  sites.delete(generation)
  channel.send({ type: 'unloaded', id: generation })
}

async function tellHelperUse(forMs: number): Promise<void> {
  const uses = await countHelperUse(forMs)
  supervisorPort?.postMessage({ type: 'helpers', uses } satisfies HelperCount)
}

function obeySupervisor(board: ThreadBoard): void {
  supervisorPort?.on('message', (message: ThreadMessage) => {
    if (message.type === 'ping') return board.beat()
    if (message.type === 'trim') return void trimHeap()
    if (message.type === 'helpers') return void tellHelperUse(message.forMs)
    setTimeout(exitThread, message.graceMs, 0)
    void Promise.all([...sites.values()].map(closeSite)).then(() => exitThread(0))
  })
}

main()
