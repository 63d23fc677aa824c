/**
 * The sites in service: turns what the INI files say into host table, pool and watched code, one site at a time.
 *
 * A change of a site is a transaction: its new settings and its new generation come into force together, once the
 * generation is loaded, or not at all. No site waits for another's.
 *
 * Invariant: `context.hosts` always is the table of exactly the `config`s in `#sites`, and of the domains that wait for the
 * next ones (host-claims.ts).
 */
import type { SiteStatus } from '../admin/reports.ts'
import type { ErrorPages } from '../config/error-pages.ts'
import { environmentAs } from '../config/identity.ts'
import { installMarks } from '../config/install-marks.ts'
import type { SiteLogConfig } from '../config/log-schema.ts'
import { shownPath } from '../config/problems.ts'
import type { SiteConfig } from '../config/site-schema.ts'
import type { Log } from '../core/log.ts'
import type { Isolation } from '../pool/isolation.ts'
import type { Pool } from '../pool/pool.ts'
import type { PoolSite } from '../pool/pool-site.ts'
import { isSameCode } from '../pool/pool-site.ts'
import type { Renewal } from '../pool/renewal.ts'
import type { LoadOrder, LoadReport } from '../protocol/frames.ts'
import type { RequestContext } from './handle-request.ts'
import { hostClaims } from './host-claims.ts'
import type { HostClaim } from './host-table.ts'
import { buildHostTable } from './host-table.ts'
import { residencyOf, siteLimits } from './pool-settings.ts'
import type { FrontPorts, Site } from './site.ts'
import { refusedStatus, statusOf, urlsOf } from './site.ts'
import type { ServiceParts } from './site-service.ts'
import { createService } from './site-service.ts'

/** What is new in the sites table, in the order of the names. */
export interface SiteChanges {
  added: SiteConfig[]
  changed: SiteConfig[]
  removed: string[]
}

/** What the pool does about sites beside their requests. */
export interface HostingParts {
  pool: Pool
  renewal: Renewal
  isolation: Isolation
  services: ServiceParts
}

export interface HostingSettings {
  /** Folder of vhostel.ini: files are shown relative to it. */
  dir: string
  /** The server's environment, from which sites get the few variables that every program expects. */
  env: NodeJS.ProcessEnv
}

/** The code files of sites, as far as they are to be watched. */
export interface CodeWatch {
  /** @param loadedAt when the site began to load them, Unix time in ms */
  set(site: string, files: readonly string[], loadedAt?: number): void
}

/** From this many changes at once on, sites that nobody uses are not loaded to prove them. */
const MAX_PROVED_AT_ONCE = 50
/** What a site's environment has beside its own settings. */
const PASSED_ON = ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'] as const

export class Hosting {
  readonly #sites = new Map<string, Site>()
  /** Those that could not be put in service, through a fault of the machine or of ours. */
  readonly #unserved = new Map<string, { config: SiteConfig; why: string }>()
  readonly #bySite = new Map<PoolSite, Site>()
  /** Of `context.hosts`. */
  #claims: readonly HostClaim<Site>[] = []
  readonly #context: RequestContext
  readonly #pool: Pool
  readonly #renewal: Renewal
  readonly #isolation: Isolation
  readonly #services: ServiceParts
  readonly #settings: HostingSettings
  readonly #log: Log
  #code: CodeWatch | undefined
  #onChange = (): void => {}
  #defaultSite: string | undefined
  #lastGeneration = 0

  constructor(context: RequestContext, parts: HostingParts, settings: HostingSettings, log: Log) {
    this.#context = context
    this.#pool = parts.pool
    this.#renewal = parts.renewal
    this.#isolation = parts.isolation
    this.#services = parts.services
    this.#settings = settings
    this.#log = log
  }

  /** From now on the code of sites that want it is watched. */
  set codeWatch(watch: CodeWatch) {
    this.#code = watch
  }

  /** Called after each change of `configs`. */
  set onChange(listener: () => void) {
    this.#onChange = listener
  }

  /** [errors] of vhostel.ini, from now on. */
  set errorPages(pages: ErrorPages | undefined) {
    this.#context.errorPages = pages
  }

  /** The settings in force. */
  get configs(): SiteConfig[] {
    return [...this.#sites.values()].map(({ config }) => config)
  }

  /** Which generation of each site is wanted now; a failed one does not count. */
  generations(): Map<string, number | undefined> {
    const ofCode = ({ pooled, service }: Site) => pooled?.order?.generation ?? service.backend?.generation()
    return new Map([...this.#sites.values()].map((site) => [site.name, ofCode(site)]))
  }

  /** A site's place in the pool; undefined where it has none. */
  pooled(name: string): PoolSite | undefined {
    return this.#sites.get(name)?.pooled
  }

  /** What is written of a site, and where; undefined where there is no such site. */
  logOf(name: string): SiteLogConfig | undefined {
    return this.#sites.get(name)?.config.log
  }

  /** Sites that are loaded, or should be and cannot. */
  inUse(): string[] {
    const used = [...this.#sites.values()].filter(
      ({ pooled, codeFault, service }) =>
        service.backend?.isInUse() || (pooled !== undefined && (pooled.lane.warm.size > 0 || codeFault !== undefined)),
    )
    return used.map((site) => site.name)
  }

  statuses(ports: FrontPorts): SiteStatus[] {
    const { certificates } = this.#services
    const served = [...this.#sites.values()].map((site) =>
      statusOf(site, urlsOf(site.config, ports, certificates.of(site) !== undefined), this.#isolation),
    )
    const unserved = [...this.#unserved.values()].map(({ config, why }) =>
      refusedStatus(config.name, config.file, [`it cannot be put in service: ${why}`]),
    )
    return [...served, ...unserved]
  }

  /**
   * Puts changes in service. Removed and added sites are so at once; changed ones when their generation is loaded.
   *
   * @param prove whether sites that nobody asked for yet are loaded now, so that a fault shows at once
   * @returns resolves when every change is in service or has failed
   */
  async apply(changes: SiteChanges, defaultSite: string | undefined, prove: boolean): Promise<void> {
    this.#defaultSite = defaultSite
    for (const name of changes.removed) this.#remove(name)
    const changed = changes.changed.filter(({ name }) => this.#sites.has(name))
    // Before any is put in force: a domain that one gives up may be another's that has to load first.
    for (const config of changed) this.#want(config)
    // A site that could not be put in service before is tried again with each reading of the files.
    const missing = new Map(this.#unserved)
    for (const name of changes.removed) missing.delete(name)
    for (const config of [...changes.added, ...changes.changed]) missing.delete(config.name)
    const late = changes.changed.filter(({ name }) => !this.#sites.has(name))
    this.#unserved.clear()
    const all = [...changes.added, ...late, ...[...missing.values()].map(({ config }) => config)]
    for (const config of all) this.#tryToAdd(config)
    this.#rebuild()
    const few = changes.added.length + changes.changed.length <= MAX_PROVED_AT_ONCE
    const added = prove && few ? changes.added.map((config) => this.reloadCode(config.name)) : []
    await Promise.all([...added, ...changed.map((config) => this.#change(config, few))])
  }

  /** What goes wrong with one site is no reason to leave the others out. */
  #tryToAdd(config: SiteConfig): void {
    try {
      this.#add(config)
    } catch (error) {
      const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
      this.#unserved.set(config.name, { config, why })
      this.#log.error({ site: config.name, err: error }, 'site cannot be put in service; it is tried again')
    }
  }

  /** Loads a new generation of a site with the settings that are wanted; what became of it shows in its status. */
  async reloadCode(name: string): Promise<void> {
    const site = this.#sites.get(name)
    if (site === undefined) return
    if (site.pooled === undefined) {
      await site.service.backend?.reload()
      return this.#programRenewed(site)
    }
    // One that has not begun yet will load what is there by then: another after it would do the same.
    site.reload ??= this.#reloadInTurn(site)
    this.#renewal.giveUp(site.pooled)
    await site.reload
  }

  /** As `reloadCode`, for callers that do not wait. */
  codeChanged(name: string): void {
    this.#noteFailure({ name }, this.reloadCode(name))
  }

  /** A site has requests waiting and no thread that may load its present generation. */
  starved(pooled: PoolSite): void {
    const site = this.#bySite.get(pooled)
    if (site === undefined || pooled.renewal !== undefined) return
    // What serves, and not what could not be loaded.
    this.#noteFailure(
      site,
      this.#inTurn(site, () => this.#renew(site, pooled, site.config)),
    )
  }

  /** Takes note of what a load of a site came to. */
  loaded(pooled: PoolSite, order: LoadOrder, report: LoadReport): void {
    const site = this.#bySite.get(pooled)
    if (site === undefined) return
    if (report.failure !== undefined) {
      const text = this.#describe(order, report)
      const isOfOther = pooled.order !== undefined && !isSameCode(pooled.order, order)
      site.codeFault = { generation: order.generation, text, isOfOther }
      const { stack } = report.failure
      this.#log.error({ site: site.name, generation: order.generation, reason: text, stack }, 'generation was refused')
    } else if (site.wanted === site.config && order.generation >= (site.codeFault?.generation ?? 0)) {
      // An older generation that is loaded once more does not make the newer one right, nor do settings that are not wanted.
      site.codeFault = undefined
    }
    this.#watch(site, [order.module, ...report.files], Date.now() - report.tookMs)
  }

  /** A generation has read more files. */
  files(pooled: PoolSite, files: string[]): void {
    const site = this.#bySite.get(pooled)
    if (site === undefined || pooled.loaded === undefined) return
    pooled.loaded.files.push(...files)
    this.#watch(site, [site.config.module ?? '', ...pooled.loaded.files])
  }

  setIniProblems(name: string, problems: string[]): void {
    const site = this.#sites.get(name)
    if (site !== undefined) site.iniProblems = problems
  }

  // ---- one site ------------------------------------------------------------------------------------------------

  #add(config: SiteConfig): void {
    const site: Site = {
      name: config.name,
      config,
      wanted: config,
      turn: Promise.resolve(),
      reload: undefined,
      pooled: undefined,
      iniProblems: [],
      codeFault: undefined,
      service: createService(config, this.#services),
      requests: 0,
    }
    this.#sites.set(config.name, site)
    this.#enter(site, config)
  }

  #remove(name: string): void {
    const site = this.#sites.get(name)
    if (site === undefined) return
    this.#sites.delete(name)
    this.#leave(site)
    site.service.close()
    this.#services.caches.close(name)
  }

  /** Gives a site its place in the pool, where its kind has one. */
  #enter(site: Site, config: SiteConfig): void {
    if (config.kind !== 'module') return
    const pooled = this.#pool.addSite(site.name, siteLimits(config))
    pooled.order = this.#order(config)
    site.pooled = pooled
    this.#bySite.set(pooled, site)
    this.#isolation.settle(pooled, residencyOf(config))
    this.#pool.seekThread(pooled)
  }

  #leave(site: Site): void {
    this.#code?.set(site.name, [])
    if (site.pooled === undefined) return
    this.#pool.removeSite(site.pooled)
    this.#isolation.forget(site.pooled)
    this.#bySite.delete(site.pooled)
    site.pooled = undefined
    site.codeFault = undefined
  }

  #want(config: SiteConfig): void {
    const site = this.#sites.get(config.name)
    if (site !== undefined) site.wanted = config
  }

  /** Puts what is wanted of a site in force, now or when its code is loaded. */
  async #change(config: SiteConfig, prove: boolean): Promise<void> {
    const site = this.#sites.get(config.name)
    if (site === undefined) return
    const { pooled } = site
    if (pooled === undefined || config.kind !== 'module') {
      if (site.config.kind !== config.kind) this.#leave(site)
      if (pooled === undefined) this.#enter(site, config)
      const program = site.service.backend?.generation()
      this.#take(site, config)
      await site.service.backend?.settled()
      if (site.service.backend?.generation() !== program) this.#programRenewed(site)
      return
    }
    await this.#inTurn(site, () => (site.wanted === config ? this.#changeCode(site, pooled, config, prove) : undefined))
  }

  /** Does the next change of a site's code when those before it are in force, or have failed. */
  #inTurn(site: Site, change: (pooled: PoolSite) => Promise<void> | undefined): Promise<void> {
    const { pooled } = site
    const done = site.turn.then(() =>
      pooled !== undefined && site.pooled === pooled && !pooled.removed ? change(pooled) : undefined,
    )
    site.turn = done.catch(() => {})
    return done
  }

  #reloadInTurn(site: Site): Promise<void> {
    const begin = (pooled: PoolSite): Promise<void> => {
      site.reload = undefined
      return this.#renew(site, pooled, site.wanted)
    }
    const reload = this.#inTurn(site, begin).finally(() => {
      if (site.reload === reload) site.reload = undefined
    })
    return reload
  }

  #changeCode(site: Site, pooled: PoolSite, config: SiteConfig, prove: boolean): Promise<void> | undefined {
    const order = this.#order(config)
    const isMoving = this.#isolation.trialOf(pooled, residencyOf(config)) !== undefined
    if (pooled.order !== undefined && isSameCode(pooled.order, order) && !isMoving)
      return void this.#takeBack(site, config)
    const inUse = pooled.lane.warm.size > 0 || pooled.lane.loading !== undefined
    if (inUse || prove) return this.#renew(site, pooled, config, order)
    pooled.order = order
    return void this.#take(site, config)
  }

  /** Settings with which the code that serves is the right one. What went wrong with others is over. */
  #takeBack(site: Site, config: SiteConfig): void {
    if (site.codeFault?.isOfOther === true) site.codeFault = undefined
    this.#take(site, config)
  }

  /** Loads a generation with these settings. When that works they are in force, and what the code before has answered is forgotten. */
  async #renew(site: Site, pooled: PoolSite, config: SiteConfig, order = this.#order(config)): Promise<void> {
    const trial = this.#isolation.trialOf(pooled, residencyOf(config))
    const report = await this.#renewal.replace(pooled, order, trial)
    // While it was loading, the site may have been removed, or made anew as another kind.
    if (report.shape === undefined || site.pooled !== pooled) return
    if (trial !== undefined) pooled.proven(order, report)
    this.#services.caches.find(pooled.name)?.renewed()
    if (config === site.wanted) site.codeFault = undefined
    if (config !== site.config) this.#take(site, config)
  }

  /** The next version of a program is in service, or will be: what the one before has answered is forgotten. Not so for upstreams. */
  #programRenewed({ name, service: { backend } }: Site): void {
    if (backend?.generation() === undefined || backend.status().problem !== undefined) return
    this.#services.caches.find(name)?.renewed()
  }

  #noteFailure({ name }: { name: string }, reload: Promise<void>): void {
    reload.catch((error: unknown) => this.#log.error({ site: name, err: error }, 'reload failed'))
  }

  /** These settings are in force from now on. */
  #take(site: Site, config: SiteConfig): void {
    const { service } = site
    site.config = config
    site.service = createService(config, this.#services)
    service.close()
    if (site.pooled !== undefined) {
      site.pooled.adopt(siteLimits(config))
      this.#pool.leaveSurplus(site.pooled)
      this.#isolation.settle(site.pooled, residencyOf(config))
      this.#pool.seekThread(site.pooled)
      this.#watch(site, [config.module ?? '', ...(site.pooled.loaded?.files ?? [])])
    }
    this.#rebuild()
  }

  #rebuild(): void {
    this.#claims = hostClaims([...this.#sites.values()].sort(byName), this.#claims)
    this.#context.hosts = buildHostTable(this.#claims, this.#defaultSite)
    this.#onChange()
  }

  #watch(site: Site, files: readonly string[], loadedAt?: number): void {
    const { watch, module } = site.wanted
    const own = files.filter((file) => file !== '')
    this.#code?.set(site.name, watch ? [...own, ...(module === undefined ? [] : installMarks(module))] : [], loadedAt)
  }

  #order(config: SiteConfig): LoadOrder {
    return {
      generation: ++this.#lastGeneration,
      site: config.name,
      root: config.root,
      module: config.module as string,
      args: config.args,
      type: config.type,
      httpPort: config.httpPort,
      env: { ...passedOn(environmentAs(config.identity, this.#settings.env)), NODE_ENV: 'production', ...config.env },
      options: config.options,
      startTimeoutMs: config.limits.startTimeoutMs,
      stopTimeoutMs: config.limits.stopTimeoutMs,
    }
  }

  #describe(order: LoadOrder, report: LoadReport): string {
    const { file = order.module, line, message } = report.failure ?? { message: 'unknown' }
    const place = shownPath(file, this.#settings.dir)
    return `${line === undefined ? place : `${place}:${line}`}: ${message}`
  }
}

/** What the environment of every site has of the server's. */
export function passedOn(env: NodeJS.ProcessEnv): Record<string, string> {
  const picked: Record<string, string> = {}
  for (const name of PASSED_ON) {
    const value = env[name]
    if (value !== undefined) picked[name] = value
  }
  return picked
}

function byName(a: Site, b: Site): number {
  return a.name < b.name ? -1 : 1
}
