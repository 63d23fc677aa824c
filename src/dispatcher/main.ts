/**
 * The composition root: starts the parts in the order in which they need each other, and stops them in the reverse.
 *
 * Invariant: whatever is started here is stopped here, also when a later part fails to start.
 */
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { CertificateManager } from '../acme/manager.ts'
import { startAdmin } from '../admin/api.ts'
import { ADMIN_SOCKET } from '../admin/client.ts'
import type { AdminActions, ReloadReport, SiteStatus, StatusReport } from '../admin/reports.ts'
import { Recorder } from '../advice/recorder.ts'
import { CodeWatch } from '../config/code-watch.ts'
import type { PoolConfig } from '../config/server-schema.ts'
import { watchSites } from '../config/watch.ts'
import { mostDescriptors, roomForClients } from '../core/descriptors.ts'
import { RunFolderNotMade } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { openLog } from '../core/log.ts'
import { LogFiles } from '../core/log-files.ts'
import { VERSION } from '../core/version.ts'
import { Isolation } from '../pool/isolation.ts'
import { KernelMemory } from '../pool/kernel-memory.ts'
import type { PoolHandlers } from '../pool/pool.ts'
import { Pool } from '../pool/pool.ts'
import { Renewal } from '../pool/renewal.ts'
import { thisMachine } from '../pool/sizing.ts'
import { Upkeep } from '../pool/upkeep.ts'
import { AccessLogs } from './access-logs.ts'
import { Backends } from './backends.ts'
import { purgeReport } from './cache-report.ts'
import { ServerCache } from './cache-store.ts'
import { Certificates } from './certificates.ts'
import type { CommandParts } from './command/command-site.ts'
import { GroupWatch } from './command/group-watch.ts'
import { clearLeftPlaces } from './command/listen-place.ts'
import { Configuration, serverConfigFor } from './configuration.ts'
import { DoorKeeper } from './doors.ts'
import { FailureLog } from './failure-log.ts'
import { Front } from './front.ts'
import type { RequestContext } from './handle-request.ts'
import { RequestHandler } from './handle-request.ts'
import { buildHostTable } from './host-table.ts'
import { Hosting, passedOn } from './hosting.ts'
import { HotFiles } from './hot-files.ts'
import type { InheritedSocket } from './inherited-sockets.ts'
import { InheritedSockets } from './inherited-sockets.ts'
import { keepCertified } from './issuance.ts'
import { matchReport } from './match.ts'
import { ModuleAnswers } from './module-answers.ts'
import { groupSettings } from './pool-settings.ts'
import { adviceSnapshot, groupStatuses, stackReport } from './pool-status.ts'
import type { Site } from './site.ts'
import { refusedStatus } from './site.ts'
import { SiteErrorLog } from './site-error-log.ts'
import type { ServiceParts } from './site-service.ts'

export interface ServerOptions {
  /** Absolute path of vhostel.ini. */
  configFile: string
  /** The server's environment; `process.env` when left out. */
  env?: NodeJS.ProcessEnv
}

export interface RunningServer {
  readonly actions: AdminActions
  readonly log: Log
  /** Lets go of all log files: what comes next is written to whatever has their names by then. */
  reopenLogs(): void
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
  recorder: Recorder
  caches: ServerCache
  concurrency: number
  issuance: CertificateManager
  files: LogFiles
}

/** How long open requests get when the server stops, in ms. */
const CLOSE_GRACE_MS = 30_000
/** A single browser opens six. */
const FEW_CONNECTIONS = 100
const FEW_DESCRIPTORS =
  'few connections can be taken at a time: too few file descriptors; raise LimitNOFILE of the unit, or ulimit -n'

/**
 * Starts a server; resolves when it serves.
 *
 * @throws VHOSTEL_CONFIG_INVALID, VHOSTEL_ADDRESS_IN_USE, VHOSTEL_SOCKET_PATH_TOO_LONG, VHOSTEL_POOL_NOT_STARTED,
 *   VHOSTEL_LOG_NOT_OPENED, VHOSTEL_RUN_FOLDER_NOT_MADE, or what the system says; everything that was started is stopped then
 */
export async function startServer({ configFile, env = process.env }: ServerOptions): Promise<RunningServer> {
  const inherited = InheritedSockets.take(env)
  const config = serverConfigFor(configFile)
  await using stack = new AsyncDisposableStack()
  const late: Late = {}
  const { access, files: fileSettings, ...logSettings } = config.log
  const files = stack.adopt(new LogFiles({ rotateBytes: fileSettings.rotate, keep: fileSettings.keep }), (it) =>
    it.close(),
  )
  const errorLog = new SiteErrorLog(files, (site) => late.hosting?.logOf(site))
  const log = openLog(logSettings, files, (site, line) => errorLog.warned(site, line))
  makeRunFolder(config.run)
  const { concurrency } = config
  const memory = openMemory(stack, config.pools, log)
  const grounds = { machine: thisMachine(), env, isKernelGuarded: memory !== undefined }
  const groups = config.pools.map((one) => groupSettings(one, grounds))
  warnOfRoot(config.pools, log)
  const recorder = new Recorder(performance.now(), Date.now())
  const settings = { groups, concurrency, recorder, runFolder: config.run, memory }
  const pool = stack.adopt(await Pool.start(settings, poolHandlers(late, log, errorLog), log), (it) => it.close())
  const renewal = stack.adopt(new Renewal(pool, log), (it) => it.close())
  const context: RequestContext = { log, hosts: buildHostTable<Site>([]) }
  const isolation = stack.adopt(new Isolation(pool, log, () => renewal.noteHarm()), (it) => it.close())
  const services: ServiceParts = {
    access: new AccessLogs(files, access),
    modules: new ModuleAnswers(pool, log),
    caches: new ServerCache(config.cacheMemoryBytes),
    files: new HotFiles(),
    failures: new FailureLog(log),
    doors: new DoorKeeper(),
    backends: stack.adopt(openBackends(config.run, env, log, errorLog), (it) => it.close()),
    certificates: new Certificates(context),
    securePort: { port: undefined },
  }
  const { caches, certificates } = services
  const hosting = new Hosting(context, { pool, renewal, isolation, services }, { dir: config.dir, env }, log)
  const upkeep = stack.adopt(new Upkeep({ pool, renewal, isolation }, log), (it) => it.close())
  renewal.onUnplaced = ({ name }) => hosting.codeChanged(name)
  Object.assign(late, { hosting, renewal, isolation, upkeep })
  const configuration = new Configuration(config, hosting, env, log)
  await configuration.refresh()
  const issuance = new CertificateManager(config.acme, certificates, log)
  await keepCertified(hosting, issuance, log)
  const handler = new RequestHandler(context, certificates, services.access)
  const secure = { addresses: config.listenTls, certificates }
  warnOfSockets(inherited.closeOthers([...config.listen, ...config.listenTls]), log)
  const listening = Front.start({ clear: config.listen, secure, inherited }, handler, config.front)
  const front = stack.adopt(await listening, (it) => it.close(CLOSE_GRACE_MS))
  services.securePort.port = front.securePorts.includes(443) ? 443 : front.securePorts[0]
  // Not before the front is up: that is where the ACME server looks.
  stack.adopt(issuance, (it) => it.close()).start()
  warnOfFewDescriptors(log)
  const parts: Parts = { configuration, hosting, renewal, pool, front, recorder, caches, concurrency, issuance, files }
  hosting.codeWatch = stack.use(new CodeWatch((site) => hosting.codeChanged(site), log))
  const watch = stack.use(
    watchSites(
      () => configuration.paths,
      () => configuration.changed(),
      log,
    ),
  )
  configuration.onRead = (isUnread) => watch.update(isUnread)
  const actions = adminActions(parts, context)
  stack.use(await startAdmin(actions, join(config.run, ADMIN_SOCKET)))

  const running = stack.move()
  return { actions, log, reopenLogs: () => files.reopen(), close: () => running.disposeAsync() }
}

/** @throws VHOSTEL_RUN_FOLDER_NOT_MADE */
function makeRunFolder(run: string): void {
  try {
    mkdirSync(run, { recursive: true, mode: 0o700 })
    chmodSync(run, 0o700)
  } catch (error) {
    throw new RunFolderNotMade(run, error instanceof Error ? error.message : String(error))
  }
}

/** Has the kernel keep the limits of the pools' memory, where it may be asked to. */
function openMemory(stack: AsyncDisposableStack, pools: readonly PoolConfig[], log: Log): KernelMemory | undefined {
  const memory = KernelMemory.open(log)
  if (memory === undefined) return undefined
  stack.adopt(memory, (it) => it.close())
  for (const { name, memoryBytes } of pools) memory.openPool(name, memoryBytes)
  return memory
}

function openBackends(run: string, env: NodeJS.ProcessEnv, log: Log, errorLog: SiteErrorLog): Backends {
  clearLeftPlaces(run)
  const output: CommandParts['output'] = (site, level, text) => errorLog.written(log, site, level, text, undefined)
  return new Backends({ watch: new GroupWatch(log), run, env: passedOn(env), log, output })
}

/** What a site does, it does as the user that the processes run as. */
function warnOfRoot(pools: readonly PoolConfig[], log: Log): void {
  if (process.getuid?.() !== 0) return
  const names = pools.filter(({ identity }) => identity === undefined).map(({ name }) => name)
  if (names.length > 0)
    log.warn({ pools: names.join(', ') }, 'sites run as root; set user in [pool] to run them as somebody else')
}

/** With a limit that is too low the server starts, and turns visitors away. */
function warnOfFewDescriptors(log: Log): void {
  const connections = roomForClients()
  if (connections < FEW_CONNECTIONS) log.warn({ limit: mostDescriptors(), connections }, FEW_DESCRIPTORS)
}

/** Who connects there would wait for good. */
function warnOfSockets(unused: readonly InheritedSocket[], log: Log): void {
  for (const { address } of unused)
    log.warn(
      { socket: address },
      'a socket was handed over that no listen names: add it to [server] listen or listen_tls',
    )
}

/** Those who hear of what happens in the pool, which is there before them. */
interface Late {
  hosting?: Hosting
  upkeep?: Upkeep
  renewal?: Renewal
  isolation?: Isolation
}

/** What the pool says before they are there is about no site. */
function poolHandlers(late: Late, log: Log, errorLog: SiteErrorLog): PoolHandlers {
  return {
    onLoaded: (site, order, report) => late.hosting?.loaded(site, order, report),
    onFiles: (site, files) => late.hosting?.files(site, files),
    onSiteLog: (site, level, text, request) => errorLog.written(log, site?.name, level, text, request),
    onStale: () => late.renewal?.noteStale(),
    onStarved: (site) => late.hosting?.starved(site),
    onOffence: (site, offence) => late.isolation?.offence(site, offence),
    onSuspects: (sites, offence) => late.isolation?.suspects(sites, offence),
    onTraffic: () => late.upkeep?.wake(),
    onHomeless: (site) => late.isolation?.open(site),
  }
}

function adminActions(parts: Parts, context: RequestContext): AdminActions {
  const startedAt = Date.now()
  return {
    status: () => ({ ...statusReport(parts), startedAt }),
    reload: (site) => reload(parts, site),
    match: (url) => matchReport(url, context.hosts),
    advice: (windowMs) =>
      adviceSnapshot(
        parts.pool,
        parts.recorder,
        windowMs,
        (site) => parts.hosting.pooled(site),
        (pool) => parts.configuration.server.pools.find(({ name }) => name === pool)?.memoryBytes,
      ),
    purge: (site, url) => purgeReport(parts.caches, site, url),
    stack: (site) => stackReport(parts.pool, site, parts.hosting.pooled(site)),
  }
}

function statusReport(parts: Parts): Omit<StatusReport, 'startedAt'> {
  const { configuration, pool, front, concurrency } = parts
  const { settings } = pool.workforce.defaultGroup
  return {
    version: VERSION,
    pid: process.pid,
    configFile: configuration.server.file,
    listen: front.addresses,
    defaultSite: configuration.server.defaultSite,
    pool: {
      processes: settings.processes.min,
      threadsPerProcess: settings.threads.min,
      concurrency,
      reason: settings.reason,
      ready: pool.workforce.ready,
      groups: groupStatuses(pool),
    },
    sites: siteStatuses(parts),
    problems: configuration.problems,
    awaitsRestart: configuration.awaitsRestart,
    logs: parts.files.failing.map(({ path, reason }) => `${path}: ${reason}`),
  }
}

function siteStatuses({ configuration, hosting, front, issuance }: Parts): SiteStatus[] {
  const refused = configuration.refused.map((entry) =>
    refusedStatus(entry.name, entry.file, configuration.describe(entry)),
  )
  const served = hosting.statuses(front).map((site) => ({ ...site, certificate: issuance.status(site.name) }))
  return [...served, ...refused].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Reads all files, and loads a new generation of one site, or of all in use, also where nothing in the files changed. */
async function reload(parts: Parts, name?: string): Promise<ReloadReport> {
  const { configuration, hosting } = parts
  const before = hosting.generations()
  await configuration.refresh()
  parts.issuance.retry(name)
  const wanted = name === undefined ? hosting.inUse() : [name]
  const now = hosting.generations()
  const untouched = wanted.filter((site) => now.get(site) === before.get(site))
  await Promise.all(untouched.map((site) => hosting.reloadCode(site)))
  const sites = siteStatuses(parts).filter((site) => name === undefined || site.name === name)
  return { sites, problems: configuration.problems, awaitsRestart: configuration.awaitsRestart }
}
