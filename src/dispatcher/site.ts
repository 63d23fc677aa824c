/**
 * One site as the dispatcher knows it: its settings in force, its place in the pool, and what is wrong with it.
 *
 * Invariant: `config` is the version that serves. What is wrong with a newer one is told by `iniProblems` (its file) and
 * `codeFault` (its module), and changes nothing about `config`.
 */
import type { SiteState, SiteStatus } from '../admin/reports.ts'
import type { SiteConfig } from '../config/site-schema.ts'
import type { PoolSite } from '../pool/pool-site.ts'

export interface Site {
  readonly name: string
  config: SiteConfig
  /** Its place in the pool; undefined for sites that the dispatcher answers by itself. */
  pooled: PoolSite | undefined
  /** One line each, `file:line: …`. */
  iniProblems: string[]
  /** Why a generation could not be loaded, and which. */
  codeFault: { generation: number; text: string } | undefined
  /** Requests answered by the dispatcher itself. */
  ownRequests: number
}

/** Where the site stands now; see `SiteState`. */
function stateOf({ pooled, iniProblems, codeFault }: Site): SiteState {
  const isFaulty = iniProblems.length > 0 || codeFault !== undefined
  if (pooled === undefined || pooled.lane.warm.size > 0) return isFaulty ? 'previous' : 'live'
  if (pooled.lane.loading !== undefined) return 'loading'
  if (pooled.failure !== undefined) return 'failed'
  return isFaulty ? 'previous' : 'idle'
}

/** @param ports the TCP ports that the front listens on */
export function statusOf(site: Site, ports: readonly number[]): SiteStatus {
  const { pooled, config } = site
  return {
    name: site.name,
    kind: config.kind,
    file: config.file,
    domains: sources(config),
    urls: urlsOf(config, ports),
    state: stateOf(site),
    problems: site.codeFault === undefined ? site.iniProblems : [...site.iniProblems, site.codeFault.text],
    shape: pooled?.loaded?.shape,
    generation: pooled?.loaded === undefined ? 0 : (pooled.order?.generation ?? 0),
    threads: pooled?.lane.warm.size ?? 0,
    inFlight: pooled?.lane.inFlight ?? 0,
    waiting: pooled?.lane.waiting.size ?? 0,
    requests: pooled?.requests ?? site.ownRequests,
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
  }
  return { name, kind: undefined, file, state: 'refused', problems, ...none }
}

/** A link for each domain that is a name, at each port. */
export function urlsOf(config: SiteConfig, ports: readonly number[]): string[] {
  const hosts = config.domains.flatMap((domain) => (domain.kind === 'exact' ? [domain.host] : []))
  return hosts.flatMap((host) => ports.map((port) => `http://${host}${port === 80 ? '' : `:${port}`}/`))
}

/** Domains as written: `.example.com` gives two patterns and is told once. */
export function sources(config: SiteConfig): string[] {
  return [...new Set(config.domains.map((domain) => domain.source))]
}
