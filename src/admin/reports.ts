/**
 * What a running server says of itself: the shapes that the admin socket hands out as JSON, that `vhostel list` and the
 * start table print, and that scripts read with `--json`. Types only.
 */

/**
 * `idle`: enabled, loaded at its first request. `loading`: being loaded for the first time. `live`: loaded in a thread,
 * or answered by the dispatcher itself (static). `previous`: the newest version does not work, the one before serves.
 * `failed`: its module cannot be loaded. `refused`: its INI file is wrong and there is no good version to serve.
 */
export type SiteState = 'idle' | 'loading' | 'live' | 'previous' | 'failed' | 'refused'

export interface SiteStatus {
  name: string
  /** `undefined` where the INI file could not be understood. */
  kind: 'module' | 'static' | undefined
  /** As the person sees it: the path in the sites folder. */
  file: string
  /** As written in the INI file. */
  domains: string[]
  /** A link for each domain that is a name, for each listener that can be reached by one. */
  urls: string[]
  state: SiteState
  /** What is wrong, for `previous`, `failed` and `refused`: one line each, `file:line: …`. */
  problems: string[]
  /** What the module turned out to be, once loaded. */
  shape: 'fastify' | 'fetch' | 'handler' | 'listen' | undefined
  /** Number of the generation that serves; 0 while none was loaded. */
  generation: number
  /** In how many threads it is loaded. */
  threads: number
  /** Requests in flight, waiting, and answered since the start. */
  inFlight: number
  waiting: number
  requests: number
}

export interface PoolStatus {
  processes: number
  threadsPerProcess: number
  concurrency: number
  /** Why this size, such as `2 cores, 24 GB: 2 processes × 2 threads`. */
  reason: string
  /** Threads that can take requests now. */
  ready: number
}

export interface StatusReport {
  version: string
  pid: number
  /** Unix time in ms. */
  startedAt: number
  configFile: string
  /** Addresses as they are bound, such as `http://127.0.0.1:8080` or `unix:/run/vhostel.sock`. */
  listen: string[]
  defaultSite: string | undefined
  pool: PoolStatus
  sites: SiteStatus[]
  /** What is wrong with vhostel.ini since the start: the settings before serve on. */
  problems: string[]
}

/** Answer to a reload: the sites it was about, as they stand once every new generation is in service or refused. */
export interface ReloadReport {
  sites: SiteStatus[]
  problems: string[]
}

export interface MatchRule {
  site: string
  /** As written in the INI file. */
  rule: string
  kind: 'exact' | 'suffix' | 'prefix' | 'regex' | 'default'
  /** `won`, or why it did not, such as `*.example.com is longer`. */
  outcome: string
}

/** Answer to `match`: which site a URL goes to, and why. */
export interface MatchReport {
  url: string
  /** The host as it is compared; undefined where the URL has no valid one. */
  host: string | undefined
  site: string | undefined
  captures: Record<string, string>
  /** The rules that match this host, the winner first. */
  rules: MatchRule[]
}

/** What the admin socket can make the server do. The composition root hands in the real thing. */
export interface AdminActions {
  status(): StatusReport
  /** Reads everything again and loads new generations. @param site only this one, even where nothing changed */
  reload(site?: string): Promise<ReloadReport>
  match(url: string): MatchReport
}
