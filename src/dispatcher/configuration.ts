/**
 * Keeps what is served in step with the INI files: reads them when they may have changed, and passes on what is new.
 *
 * Invariant: one reading at a time; a change that comes during a reading causes one more. A server file that is wrong
 * leaves the settings before in force, and never touches a site.
 */
import { isDeepStrictEqual } from 'node:util'
import type { ServerLoad } from '../config/load-server.ts'
import { loadServer } from '../config/load-server.ts'
import type { Problem } from '../config/problems.ts'
import { renderProblem, renderProblems } from '../config/problems.ts'
import type { SitesReading } from '../config/read-sites.ts'
import { readSites } from '../config/read-sites.ts'
import type { ServerConfig } from '../config/server-schema.ts'
import type { SiteConfig } from '../config/site-schema.ts'
import type { SiteEntry, SitesTable } from '../config/sites-table.ts'
import { checkDefaultSite, nextSitesTable } from '../config/sites-table.ts'
import { missedReads } from '../config/text-file.ts'
import type { WatchedPaths } from '../config/watched-paths.ts'
import { pathsToWatch } from '../config/watched-paths.ts'
import { ConfigInvalid } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Hosting } from './hosting.ts'

/** Settings that a running server cannot take over, because what they name is bound or started once; and how a person calls them. */
const AT_START_ONLY = {
  listen: '[server] listen',
  listenTls: '[server] listen_tls',
  run: '[server] run',
  pools: '[pool]',
  concurrency: '[pool] concurrency',
  log: 'logging.ini',
  cacheMemoryBytes: '[server] cache_memory',
  front: '[server] proxies and limits of connections',
  acme: '[acme]',
} as const satisfies Partial<Record<keyof ServerConfig, string>>

const RUN_MOVED =
  'until then vhostel status and other commands find no server: they ask in the new run folder, and it listens in the one before'

const NAMES_AT_START = Object.keys(AT_START_ONLY) as (keyof typeof AT_START_ONLY)[]

/** The settings of the server for its start. @throws VHOSTEL_CONFIG_INVALID with every problem */
export function serverConfigFor(file: string): ServerConfig {
  const { config, problems, draft } = loadServer(file)
  if (config === undefined) throw new ConfigInvalid(renderProblems(problems, draft.dir))
  return config
}

export class Configuration {
  readonly #hosting: Hosting
  readonly #env: NodeJS.ProcessEnv
  readonly #log: Log
  #server: ServerConfig
  #table: SitesTable | undefined
  #reading: SitesReading | undefined
  #problems: Problem[] = []
  /** Of the server's own files and of the sites folder, as they were told. */
  #warnings: string[] = []
  #awaitsRestart: string[] = []
  #current: Promise<void> | undefined
  #next: Promise<void> | undefined
  #onRead = (_isUnread: boolean): void => {}

  constructor(server: ServerConfig, hosting: Hosting, env: NodeJS.ProcessEnv, log: Log) {
    this.#server = server
    this.#hosting = hosting
    this.#env = env
    this.#log = log
  }

  /** The settings in force. */
  get server(): ServerConfig {
    return this.#server
  }

  /** What is wrong with the server's own files, one line each. */
  get problems(): string[] {
    return this.#problems.map((problem) => renderProblem(problem, this.#server.dir))
  }

  /** What was changed in the server's own files and takes effect at the next start, as a person calls it. */
  get awaitsRestart(): string[] {
    return this.#awaitsRestart
  }

  /** Sites whose file was never good: they have no place in the host table. */
  get refused(): SiteEntry[] {
    return [...(this.#table?.sites.values() ?? [])].filter((entry) => entry.config === undefined)
  }

  /** Where the files are that decide over the configuration, as of the last reading. */
  get paths(): WatchedPaths {
    return pathsToWatch(this.#server, this.#reading?.sites.values() ?? [])
  }

  /** Called after each reading: links may lead elsewhere now, and some file may have been unreadable for a reason that passes. */
  set onRead(listener: (isUnread: boolean) => void) {
    this.#onRead = listener
  }

  /** Lines for a person about a refused site. */
  describe(entry: SiteEntry): string[] {
    return entry.problems.map((problem) => renderProblem(problem, this.#server.dir))
  }

  /**
   * Reads everything again and puts what is new in service.
   *
   * @returns resolves when all of that is in service, or has failed
   */
  refresh(): Promise<void> {
    if (this.#current === undefined) {
      const { read, applied } = this.#refresh()
      this.#current = read.finally(() => {
        this.#current = undefined
      })
      return applied
    }
    // One more reading, for everybody who asks during this one.
    this.#next ??= this.#current.then(() => {
      this.#next = undefined
      return this.refresh()
    })
    return this.#next
  }

  /** As `refresh`, for callers that do not wait. */
  changed(): void {
    this.refresh().catch((error: unknown) => this.#log.error({ err: error }, 'reading the configuration failed'))
  }

  /** `read` resolves when the next reading may begin, also where this one failed; `applied` says what became of it. */
  #refresh(): { read: Promise<void>; applied: Promise<void> } {
    const started = this.#read()
    const ignore = (): void => {}
    return { read: started.then(ignore, ignore), applied: started.then(({ applied }) => applied) }
  }

  async #read(): Promise<{ applied: Promise<void> }> {
    const before = new Set(this.problems)
    const missed = missedReads()
    const { problems: ofServer, warnings } = this.#readServer()
    const isStart = this.#table === undefined
    this.#reading = await readSites(this.#server, this.#reading, this.#env)
    this.#warnOfServer([...warnings, ...this.#reading.warnings])
    this.#warn(this.#reading)
    const table = nextSitesTable(this.#table, this.#reading.sites.values(), this.#server.dir)
    this.#table = table
    this.#onRead(missedReads() > missed)
    const ofSites = checkDefaultSite(this.#server, table)
    this.#problems = [...ofServer, ...this.#reading.problems, ...(ofSites ? [ofSites] : [])]
    for (const line of this.problems) if (!before.has(line)) this.#log.error(line)
    const configs = (names: readonly string[]): SiteConfig[] =>
      names.flatMap((name) => table.sites.get(name)?.config ?? [])
    const changes = { added: configs(table.added), changed: configs(table.changed), removed: [...table.removed] }
    const applied = this.#hosting.apply(changes, this.#server.defaultSite, !isStart)
    this.#report(table)
    if (!isStart) this.#tell(table)
    // Wrapped: a promise given back by an async function would be waited for.
    return { applied }
  }

  /** Takes over the server's files, or keeps the settings before. @returns also what is wrong with them */
  #readServer(): ServerLoad {
    const load = loadServer(this.#server.file)
    const { config } = load
    if (config === undefined) return load
    this.#noteRestart(config)
    const kept = Object.fromEntries(NAMES_AT_START.map((name) => [name, this.#server[name]]))
    this.#server = { ...config, ...(kept as Pick<ServerConfig, keyof typeof AT_START_ONLY>) }
    this.#hosting.errorPages = this.#server.errors
    return load
  }

  #noteRestart(config: ServerConfig): void {
    const changed = NAMES_AT_START.filter((name) => !isDeepStrictEqual(config[name], this.#server[name]))
    const awaited = changed.map((name) => AT_START_ONLY[name])
    for (const setting of awaited.filter((one) => !this.#awaitsRestart.includes(one)))
      this.#log.warn({ setting }, 'a setting was changed that takes effect at the next start')
    if (changed.includes('run') && !this.#awaitsRestart.includes(AT_START_ONLY.run))
      this.#log.warn({ listens: this.#server.run, commands: config.run }, RUN_MOVED)
    this.#awaitsRestart = awaited
  }

  /** Tells the log and the sites what is wrong with their files now. */
  #report(table: SitesTable): void {
    for (const name of table.reported) {
      const entry = table.sites.get(name)
      if (entry === undefined) continue
      const lines = this.describe(entry)
      this.#hosting.setIniProblems(name, lines)
      if (lines.length === 0) this.#log.info({ site: name }, 'INI file is good again')
      for (const line of lines) this.#log.error({ site: name, standing: entry.status }, line)
    }
  }

  /** As `#warn`, of what belongs to no site: what was not there at the reading before. */
  #warnOfServer(warnings: readonly Problem[]): void {
    const lines = warnings.map((warning) => renderProblem(warning, this.#server.dir))
    for (const line of lines) if (!this.#warnings.includes(line)) this.#log.warn(line)
    this.#warnings = lines
  }

  /** What serves all the same and should not stay so, once for each reading of a file. */
  #warn({ sites }: SitesReading): void {
    for (const reading of sites.values()) {
      if (reading.warnings.length === 0 || this.#table?.sites.get(reading.name)?.reading === reading) continue
      for (const warning of reading.warnings) {
        this.#log.warn({ site: reading.name }, renderProblem(warning, this.#server.dir))
      }
    }
  }

  /** Comings and goings, for the log. */
  #tell(table: SitesTable): void {
    for (const name of table.added) this.#log.info({ site: name }, 'site is enabled')
    for (const name of table.removed) this.#log.info({ site: name }, 'site is disabled')
  }
}
