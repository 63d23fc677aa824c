/**
 * One site as the dispatcher knows it: its settings in force, its place in the pool, and what is wrong with it.
 *
 * Invariant: `config` is the version that serves. What is wrong with a newer one is told by `iniProblems` (its file) and
 * `codeFault` (its module), and changes nothing about `config`.
 */
import type { SiteState, SiteStatus } from '../admin/reports.ts'
import { exactHosts } from '../config/domains.ts'
import type { SiteConfig } from '../config/site-schema.ts'
import type { Isolation } from '../pool/isolation.ts'
import type { PoolSite } from '../pool/pool-site.ts'
import type { BackendStatus } from './backends.ts'
import { cacheStatus } from './cache-report.ts'
import type { SiteService } from './site-service.ts'

export interface Site {
  readonly name: string
  config: SiteConfig
  /** What its file says: `config`, or settings that are not in force because their code is being loaded, or cannot be. */
  wanted: SiteConfig
  /** Resolves when the changes of it that were begun are in force, or have failed: one follows the other. */
  turn: Promise<unknown>
  /** A load of its present code that was asked for and has not begun. */
  reload: Promise<void> | undefined
  /** Its place in the pool; undefined for sites that the dispatcher answers by itself. */
  pooled: PoolSite | undefined
  /** One line each, `file:line: …`. */
  iniProblems: string[]
  /** Why a generation of `wanted` could not be loaded, and which. */
  codeFault:
    | { generation: number; text: string /** With other settings than those that serve. */; isOfOther: boolean }
    | undefined
  /** What answers with `config`. */
  service: SiteService
  /** Visits since the site came. */
  requests: number
}

/** Where the site stands now; see `SiteState`. */
function stateOf(site: Site, isQuarantined: boolean): SiteState {
  const { pooled, iniProblems, codeFault } = site
  const ofBackend = stateOfBackend(site.service.backend?.status())
  if (ofBackend !== undefined) return ofBackend
  const isWarm = pooled === undefined || pooled.lane.warm.size > 0
  const isLoading = !isWarm && pooled.lane.loading !== undefined
  if (!isWarm && !isLoading && pooled.failure !== undefined) return 'failed'
  if (isQuarantined) return 'quarantined'
  if (isLoading) return 'loading'
  if (iniProblems.length > 0 || codeFault !== undefined) return 'previous'
  if (isWarm) return 'live'
  // It waits for a thread that is free to load it, or for its process: it needs no request for that.
  return site.config.preload ? 'loading' : 'idle'
}

/** Where the program of a site, or its upstreams, stand; undefined where there are none, or they are well. */
function stateOfBackend(status: BackendStatus | undefined): SiteState | undefined {
  const { program, problem, isDown } = status ?? {}
  if (program === undefined) return isDown ? 'failed' : undefined
  if (program.state === 'running') return problem === undefined ? undefined : 'previous'
  if (program.state === 'starting') return 'loading'
  return problem === undefined ? 'idle' : 'failed'
}

/** When the process of a site's own is started again, Unix time in ms; undefined where nothing waits for that. */
function throttledUntil({ pooled, service }: Site): number | undefined {
  if (service.backend !== undefined) return service.backend.status().throttledUntil
  const leftMs = pooled === undefined ? 0 : pooled.throttledUntil - performance.now()
  return leftMs > 0 ? Math.round(Date.now() + leftMs) : undefined
}

/** @param urls links to it, as `urlsOf` */
export function statusOf(site: Site, urls: string[], isolation: Isolation): SiteStatus {
  const { pooled, config } = site
  const backend = site.service.backend?.status()
  const residency = pooled === undefined ? undefined : isolation.statusOf(pooled)
  return {
    name: site.name,
    kind: config.kind,
    file: config.file,
    domains: sources(config),
    urls,
    state: stateOf(site, residency?.quarantinedSince !== undefined),
    problems: [
      ...site.iniProblems,
      ...(site.codeFault ? [site.codeFault.text] : []),
      ...(backend?.problem ? [backend.problem] : []),
    ],
    shape: pooled?.loaded?.shape,
    generation: pooled?.loaded === undefined ? 0 : (pooled.order?.generation ?? 0),
    threads: pooled?.lane.warm.size ?? 0,
    inFlight: pooled === undefined ? (backend?.inFlight ?? 0) : pooled.lane.inFlight + pooled.lane.lent,
    waiting: pooled?.lane.waiting.size ?? backend?.waiting ?? 0,
    requests: site.requests,
    residency,
    program: backend?.program,
    throttledUntil: throttledUntil(site),
    cache: site.service.cache === undefined ? undefined : cacheStatus(site.service.cache.store),
  }
}

/** A site whose file could never be understood. */
export function refusedStatus(name: string, file: string, problems: string[]): SiteStatus {
  const none = {
    domains: [],
    urls: [],
    shape: undefined,
    generation: 0,
    threads: 0,
    inFlight: 0,
    waiting: 0,
    requests: 0,
    residency: undefined,
    throttledUntil: undefined,
  }
  return { name, kind: undefined, file, state: 'refused', problems, ...none }
}

/** The TCP ports that the front listens on. */
export interface FrontPorts {
  readonly ports: readonly number[]
  readonly securePorts: readonly number[]
}

/** A link for each domain that is a name, at each port where it is answered. @param isSecure whether it has a certificate */
export function urlsOf(config: SiteConfig, { ports, securePorts }: FrontPorts, isSecure: boolean): string[] {
  const urls = exactHosts(config.domains).flatMap((host) => [
    ...(isSecure ? securePorts.map((port) => `https://${host}${port === 443 ? '' : `:${port}`}/`) : []),
    ...ports.map((port) => `http://${host}${port === 80 ? '' : `:${port}`}/`),
  ])
  // A port may be open at several addresses, of IPv4 and of IPv6.
  return [...new Set(urls)]
}

/** Domains as written: `.example.com` gives two patterns and is told once. */
export function sources(config: SiteConfig): string[] {
  return [...new Set(config.domains.map((domain) => domain.source))]
}
