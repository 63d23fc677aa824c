/**
 * What a running server says of itself: the shapes that the admin socket hands out as JSON, that `vhostel list` and the
 * start table print, and that scripts read with `--json`. Types only.
 */

import type { AdviceSnapshot } from '../core/advice-report.ts'
import type { CertificateStatus } from '../core/certificate-status.ts'
import type { ResidencyStatus } from '../core/residency.ts'

/**
 * `idle`: enabled, loaded at its first request. `loading`: being loaded, or about to be (`preload = yes`). `live`: loaded in a thread,
 * or answered by the dispatcher itself (static). `previous`: the newest version does not work, the one before serves.
 * `quarantined`: it serves, in a process of its own because of what it did (`residency` says what). `failed`: its module
 * cannot be loaded. `refused`: its INI file is wrong and there is no good version to serve.
 */
export type SiteState = 'idle' | 'loading' | 'live' | 'previous' | 'quarantined' | 'failed' | 'refused'

export interface SiteStatus {
  name: string
  /** `undefined` where the INI file could not be understood. */
  kind: 'module' | 'static' | 'redirect' | 'proxy' | 'command' | undefined
  /** As the person sees it: the path in the sites folder. */
  file: string
  /** As written in the INI file. */
  domains: string[]
  /** A link for each domain that is a name, for each listener that can be reached by one. */
  urls: string[]
  state: SiteState
  /** What is wrong with its file or its code: one line each, `file:line: …`. */
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
  /** Where it lives and what is held against it; undefined for sites that the dispatcher answers by itself. */
  residency: ResidencyStatus | undefined
  /** The program of `kind = command`; undefined for other kinds. */
  program?: ProgramStatus | undefined
  /** When its process, which keeps ending, is started again, Unix time in ms; requests get 503 until then. */
  throttledUntil: number | undefined
  /** Undefined for sites that store nothing. */
  cache?: CacheStatus | undefined
  /** Of `tls = auto`; undefined for sites without. */
  certificate?: CertificateStatus | undefined
}

/** What a site with `cache = on` has stored, and what became of its requests since the store was opened. */
export interface CacheStatus {
  urls: number
  bytes: number
  /** Answered with what was stored, the site not asked. */
  hits: number
  /** Answered with what was stored, once the site had confirmed it or because it failed. */
  revalidated: number
  /** Answered by the site. */
  misses: number
  /** Of methods that are not stored. */
  passed: number
  /** Answered with what another request brought. */
  collapsed: number
  /** Answers that were stored. */
  stored: number
  /** Bytes of body that were sent out of the store. */
  hitBytes: number
}

/** Answer to a purge. */
export interface PurgeReport {
  site: string
  /** How many URLs were forgotten. */
  urls: number
  /** What that freed. */
  bytes: number
}

/** The program of a site of `kind = command`. */
export interface ProgramStatus {
  /** `throttled`: it keeps ending, and waits until it is started again (`SiteStatus.throttledUntil`). */
  state: 'stopped' | 'starting' | 'running' | 'throttled'
  /** Undefined while none runs. */
  pid: number | undefined
  /** Unix time in ms. */
  startedAt: number | undefined
  /** How often it was started. */
  starts: number
  /** Undefined where none that served has ended without being told to. */
  lastEnd: ProgramEnd | undefined
}

/** How a program that served ended, or why another took its place. */
export interface ProgramEnd {
  /** Unix time in ms. */
  at: number
  /** In words that follow its name. */
  why: string
}

export interface ThreadStatus {
  thread: number
  state: 'starting' | 'ready' | 'retiring' | 'ended'
  /** Since when it does not come round, Unix time in ms, and the site that keeps it, as far as known. */
  lateSince: number | undefined
  keptBy: string | undefined
  inFlight: number
  requests: number
  /** Heap and external memory, in bytes. */
  memoryBytes: number
  sites: string[]
  /** Those of them that are being loaded, or wait for that. */
  loading: string[]
}

export interface ProcessStatus {
  /** Undefined while it is down. */
  pid: number | undefined
  residentBytes: number
  threads: ThreadStatus[]
}

/** The default pool, a named one, or the process of one site (`site:NAME`). */
export interface GroupStatus {
  name: string
  /** Threads wanted now, the fewest and the most that the settings allow, and those that take requests. */
  size: number
  least: number
  most: number
  ready: number
  processes: ProcessStatus[]
}

/** What runs in the threads of one site now. */
export interface StackReport {
  site: string
  threads: {
    thread: number
    pid: number | undefined
    /** The JavaScript stack, innermost frame first; undefined where the thread does not tell (native code). Empty: idle. */
    stack: string | undefined
  }[]
}

export interface PoolStatus {
  processes: number
  threadsPerProcess: number
  concurrency: number
  /** Why this size, such as `2 cores, 24 GB: 2 processes × 2 threads`. */
  reason: string
  /** Threads that can take requests now. */
  ready: number
  groups: GroupStatus[]
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
  /** Settings in vhostel.ini and logging.ini that were changed and take effect at the next start. */
  awaitsRestart: string[]
  /** Log files that cannot be written at the moment, one line each. */
  logs: string[]
}

/** Answer to a reload: the sites it was about, as they stand once every new generation is in service or refused. */
export interface ReloadReport {
  sites: SiteStatus[]
  problems: string[]
  /** As in `StatusReport`. */
  awaitsRestart: string[]
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
  /** What runs in the threads that have a site loaded; none for one that is loaded nowhere. */
  stack(site: string): Promise<StackReport>
  /**
   * Forgets stored answers of a site, all or those of a URL.
   *
   * @param url absolute, or a path for every host of the site; with `*` at its end all that begin so
   */
  purge(site: string, url?: string): PurgeReport
  /** What was recorded of the last `windowMs`. */
  advice(windowMs: number): AdviceSnapshot
}
