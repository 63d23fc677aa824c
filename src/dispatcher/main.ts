/**
 * The composition root: starts the parts in the order in which they need each other, and stops them in the reverse.
 *
 * Invariant: whatever is started here is stopped here, also when a later part fails to start.
 */
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { startAdmin } from '../admin/api.ts'
import type { AdminActions, ReloadReport, SiteStatus, StatusReport } from '../admin/reports.ts'
import { watchCode } from '../config/code-watch.ts'
import { watchSites } from '../config/watch.ts'
import type { Log } from '../core/log.ts'
import { openLog } from '../core/log.ts'
import { VERSION } from '../core/version.ts'
import type { PoolHandlers } from '../pool/pool.ts'
import { Pool } from '../pool/pool.ts'
import type { PoolSite } from '../pool/pool-site.ts'
import { Renewal } from '../pool/renewal.ts'
import type { PoolSize } from '../pool/sizing.ts'
import { poolSize, thisMachine } from '../pool/sizing.ts'
import type { LogLevel } from '../protocol/frames.ts'
import { Configuration, serverConfigFor } from './configuration.ts'
import { Front } from './front.ts'
import type { RequestContext } from './handle-request.ts'
import { RequestHandler } from './handle-request.ts'
import { buildHostTable } from './host-table.ts'
import { Hosting } from './hosting.ts'
import { matchReport } from './match.ts'
import type { Site } from './site.ts'
import { refusedStatus } from './site.ts'

export interface ServerOptions {
  /** Absolute path of vhostel.ini. */
  configFile: string
  /** The server's environment; `process.env` when left out. */
  env?: NodeJS.ProcessEnv
}

export interface RunningServer {
  readonly actions: AdminActions
  readonly log: Log
  /** Accepts nothing new, gives open requests 30 s, then ends everything. Within seconds when nothing is open. */
  close(): Promise<void>
}

/** The parts, once they are there. */
interface Parts {
  configuration: Configuration
  hosting: Hosting
  renewal: Renewal
  pool: Pool
  front: Front
  size: PoolSize
  concurrency: number
}

/** How long open requests get when the server stops, in ms. */
const CLOSE_GRACE_MS = 30_000

/**
 * Starts a server; resolves when it serves.
 *
 * @throws VHOSTEL_CONFIG_INVALID, VHOSTEL_ADDRESS_IN_USE, VHOSTEL_SOCKET_PATH_TOO_LONG, VHOSTEL_POOL_NOT_STARTED, or what
 *   the system says; everything that was started is stopped then
 */
export async function startServer({ configFile, env = process.env }: ServerOptions): Promise<RunningServer> {
  const config = serverConfigFor(configFile)
  const log = openLog(config.log)
  mkdirSync(config.run, { recursive: true, mode: 0o700 })
  chmodSync(config.run, 0o700)
  const size = poolSize(thisMachine(), config.pool)
  const { concurrency } = config.pool
  await using stack = new AsyncDisposableStack()

  const late: { hosting?: Hosting; renewal?: Renewal } = {}
  const settings = { size, concurrency, runFolder: config.run, env }
  const pool = stack.adopt(await Pool.start(settings, poolHandlers(late, log), log), (it) => it.close())
  const renewal = stack.adopt(new Renewal(pool, log), (it) => it.close())
  const context: RequestContext = { pool, log, hosts: buildHostTable<Site>([]) }
  const hosting = new Hosting(context, renewal, { dir: config.dir, env }, log)
  Object.assign(late, { hosting, renewal })
  const configuration = new Configuration(config, hosting, env, log)
  await configuration.refresh()
  const handler = new RequestHandler(context)
  const front = stack.adopt(await Front.start(config.listen, handler), (it) => it.close(CLOSE_GRACE_MS))
  const parts: Parts = { configuration, hosting, renewal, pool, front, size, concurrency }
  hosting.codeWatch = stack.use(watchCode((site) => hosting.codeChanged(site), log))
  const watch = stack.use(
    watchSites(
      () => configuration.paths,
      () => configuration.changed(),
      log,
    ),
  )
  configuration.onRead = () => watch.update()
  const actions = adminActions(parts, context)
  stack.use(await startAdmin(actions, join(config.run, 'admin.sock')))

  const running = stack.move()
  return { actions, log, close: () => running.disposeAsync() }
}

/** The pool is there before those who hear of it: what it says at that time is about no site. */
function poolHandlers(late: { hosting?: Hosting; renewal?: Renewal }, log: Log): PoolHandlers {
  return {
    onLoaded: (site, order, report) => late.hosting?.loaded(site, order, report),
    onFiles: (site, files) => late.hosting?.files(site, files),
    onSiteLog: (site, level, text) => logLine(log, site, level, text),
    onStale: () => late.renewal?.noteStale(),
    onStarved: (site) => late.hosting?.starved(site),
  }
}

const PINO_LEVELS = { out: 'info', err: 'error', warn: 'warn', fatal: 'error' } as const satisfies Record<
  LogLevel,
  'info' | 'error' | 'warn'
>

function logLine(log: Log, site: PoolSite | undefined, level: LogLevel, text: string): void {
  log[PINO_LEVELS[level]]({ site: site?.name }, text)
}

function adminActions(parts: Parts, context: RequestContext): AdminActions {
  const startedAt = Date.now()
  return {
    status: () => ({ ...statusReport(parts), startedAt }),
    reload: (site) => reload(parts, site),
    match: (url) => matchReport(url, context.hosts),
  }
}

function statusReport(parts: Parts): Omit<StatusReport, 'startedAt'> {
  const { configuration, pool, front, size, concurrency } = parts
  return {
    version: VERSION,
    pid: process.pid,
    configFile: configuration.server.file,
    listen: front.addresses,
    defaultSite: configuration.server.defaultSite,
    pool: {
      processes: size.processes,
      threadsPerProcess: size.threads,
      concurrency,
      reason: size.reason,
      ready: pool.workforce.ready,
    },
    sites: siteStatuses(parts),
    problems: configuration.problems,
  }
}

function siteStatuses({ configuration, hosting, front }: Parts): SiteStatus[] {
  const refused = configuration.refused.map((entry) =>
    refusedStatus(entry.name, entry.file, configuration.describe(entry)),
  )
  return [...hosting.statuses(front.ports), ...refused].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Reads all files, and loads a new generation of one site, or of all in use, also where nothing in the files changed. */
async function reload(parts: Parts, name?: string): Promise<ReloadReport> {
  const { configuration, hosting } = parts
  const before = hosting.generations()
  await configuration.refresh()
  const wanted = name === undefined ? hosting.inUse() : [name]
  const now = hosting.generations()
  const untouched = wanted.filter((site) => now.get(site) === before.get(site))
  await Promise.all(untouched.map((site) => hosting.reloadCode(site)))
  const sites = siteStatuses(parts).filter((site) => name === undefined || site.name === name)
  return { sites, problems: configuration.problems }
}
