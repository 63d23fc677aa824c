/**
 * Everything that a site's INI file can say. The single source of the types, the defaults, the checks and
 * docs/configuration.md.
 */
import { z } from 'zod'
import type { KeyPair } from '../core/key-pair.ts'
import { argumentList } from './command-line.ts'
import type { DomainPattern } from './domains.ts'
import { errorsSection } from './error-pages.ts'
import type { Identity } from './identity.ts'
import type { SiteLogConfig } from './log-schema.ts'
import { siteLogSection } from './log-schema.ts'
import { duration, percent, size } from './measures.ts'
import { redirect } from './redirect-schema.ts'
import { anySection, optional, section, setting } from './settings.ts'
import type { SiteAcme } from './site-acme.ts'
import { tlsKey } from './site-acme.ts'
import type { SiteBackend } from './site-backend.ts'
import { backendKeys, proxySection } from './site-backend.ts'
import type { CacheSettings } from './site-cache.ts'
import { cacheSection, deliveryKeys } from './site-cache.ts'
import type { SiteDoors } from './site-doors.ts'
import { doorSection, headersSection } from './site-doors.ts'
import type { RedirectSettings } from './site-redirect.ts'
import type { StaticSettings } from './site-static.ts'
import type { SiteTls } from './site-tls.ts'
import { tlsKeys } from './site-tls.ts'
import { staticFiles } from './static-schema.ts'
import { choice, flag, integer, path, text } from './units.ts'

/** What answers for a site. */
const KINDS = ['module', 'static', 'redirect', 'proxy', 'command'] as const
/** The pool of the sites that name none. */
export const DEFAULT_POOL = 'default'
/** Whether a site shares its process with others. */
const ISOLATIONS = ['shared', 'process'] as const
/** What a site module can be said to be. */
const MODULE_TYPES = ['auto', 'fastify', 'fetch', 'handler', 'listen'] as const

/**
 * The lines of `domains` as written: domains.ts reads each, and load-site.ts says which are wrong, because a regular
 * expression can have commas in it.
 */
const domains = z
  .array(z.string())
  .prefault([])
  .meta({
    type: 'list of domains',
    list: true,
    required: true,
    doc:
      'Hosts that the site answers for: `example.com`, `*.example.com` (any name below it), `.example.com` ' +
      '(both), `www.*`, `~regex`. Separate them by commas or blanks, continue on lines that begin with a ' +
      'blank, or repeat the key.',
  })

const site = section('What the site is and where it lives.', {
  domains,
  kind: optional(
    choice(KINDS),
    'What answers: `module` runs the file `module`; `static` serves the files below `root`; `proxy` passes ' +
      'requests on to `upstream`; `command` starts a program; `redirect` redirects. Not set: found from which ' +
      'of `module`, `upstream`, `command` and `[redirect] to` is set, otherwise `static`.',
  ),
  canonical: optional(
    text('host'),
    'One of `domains`. Requests for the others are redirected to it, with path and query.',
  ),
  root: setting(
    path,
    '.',
    'Folder of the site: what `kind = static` serves (which has to set it), and the working directory of a ' +
      'module or program. A relative path starts at the folder of this file (where the file really is, if it ' +
      'is a link).',
  ),
  module: optional(path, 'JavaScript or TypeScript file to run. A relative path starts at `root`.'),
  args: optional(
    argumentList,
    'Arguments of the module, as on a command line: `start --port 3000`. They are split at blanks and quotes as ' +
      'in a shell, but no shell runs. The module finds them in `process.argv`.',
  ),
  ...backendKeys,
  type: setting(
    choice(MODULE_TYPES),
    'auto',
    'What the module exports: a Fastify plugin, a `fetch` function, a Node handler `(request, response)`, or ' +
      'nothing, because it calls `listen()`. `auto` finds out; set it if that goes wrong.',
  ),
  http_port: optional(
    integer(1, 65535),
    'For a module that starts several servers: the port of the one that is the site. The port itself is ' +
      'never opened.',
  ),
  watch: setting(
    flag,
    'no',
    'Load the site again when its code changes, or when npm, pnpm or Yarn have installed packages for it.',
  ),
  isolation: setting(
    choice(ISOLATIONS),
    'shared',
    '`process` gives the module a process of its own, with the real working directory, `process.chdir` and ' +
      'native addons, for about 60 MB of memory. `shared`: it gets one only while it does harm ' +
      '([Isolation](isolation.md)).',
  ),
  pool: setting(text('name of a pool'), DEFAULT_POOL, 'Pool to run in: a `[pool NAME]` of vhostel.ini.'),
  user: optional(
    text('user, by name or number'),
    'User that the module (with `isolation = process`) or the program (`kind = command`) runs as. Needs a ' +
      "vhostel that is started as root. Not set: the pool's user.",
  ),
  group: optional(text('group, by name or number'), "Group that it runs as. Not set: the user's own."),
  preload: setting(
    flag,
    'no',
    'Load the module, or start the program, before its first request, and never drop it from memory.',
  ),
  ...deliveryKeys,
  idle: setting(
    duration(0),
    '30m',
    'After this time without a request, the module is dropped from memory, or the program stopped. The next ' +
      'request loads it again. `0s`: never.',
  ),
  env_file: optional(
    path,
    'File with `NAME=value` lines (a `.env` file) for the environment of the site. [env] takes precedence. A ' +
      'relative path starts at the folder of this file.',
  ),
  tls: tlsKey,
  ...tlsKeys,
})

const env = anySection(
  'Environment variables of the site: `NAME = value`. `$NAME` or `$\u007bNAME}` inserts a variable of the ' +
    "server's own environment, `$$` a dollar sign; in single quotes, `'a$b'`, nothing is inserted.",
  z.string(),
  'single',
)

const options = anySection(
  'Options for a Fastify plugin. A value that is JSON (a number, `true`, `false`, `null`, `{…}`, `[…]`) is ' +
    'passed as such, unless it is quoted; everything else is a string, and so is a number that would not be ' +
    'written back the same (`1.0`, `007`). `key[] = value` on several lines makes a list.',
  z.unknown(),
  'brackets',
)

const limits = section('Limits of one site.', {
  timeout: setting(duration(1), '60s', 'Time for an answer to begin. Then 504.'),
  queue: setting(integer(0, 1_000_000), '1000', 'Requests that may wait for a free thread. More get 503.'),
  queue_timeout: setting(
    duration(0),
    '30s',
    'Longest wait for a free thread, including the loading of the site. Then 503 with `Retry-After`.',
  ),
  start_timeout: setting(
    duration(1),
    '30s',
    'Time for the module to load (and to call `listen()`), or for the program to listen.',
  ),
  stop_timeout: setting(duration(0), '30s', 'Time for open requests to finish when the site is replaced or removed.'),
  hang_timeout: setting(
    duration(0),
    '30s',
    'How long a program may do nothing at all while requests wait for it. Then the server asks it `OPTIONS /`, and if that is ' +
      'not answered within `timeout` either, ends it and starts it again. `0s`: never.',
  ),
  slow: setting(
    duration(50),
    '1s',
    'How long the module may block its thread without returning to the event loop. Then its stack is logged and the site is quarantined: it gets ' +
      'a process of its own.',
  ),
  soft_limit: setting(
    duration(50),
    '2s',
    'How long until a blocked thread gets nothing new and another thread takes its place.',
  ),
  hard_limit: setting(duration(50), '10s', 'How long until a blocked thread is ended, with the requests it works on.'),
  offences: setting(
    integer(1, 20),
    '3',
    'How often within a minute the module may block its thread for more than 100 ms before it is quarantined; the first time in each thread after it was loaded does not count.',
  ),
  quarantine: setting(
    duration(0),
    '10m',
    'How long a quarantined site has to behave before it returns to the shared pool; doubled each further ' +
      'time. `0s`: never quarantine it.',
  ),
  share: setting(
    percent,
    '0%',
    "Guaranteed part of the pool's turns while other sites wait too. Beyond it, all sites are treated alike.",
  ),
  max: setting(percent, '100%', "Largest part of the pool's places and threads that the site may take."),
  max_threads: optional(
    integer(1, 256),
    'Most threads that the site is loaded in at a time. `1`: all requests go to one copy of the module, for modules that keep ' +
      'state in memory ([sessions, chat rooms](migrating.md#state-in-memory)). Not set: as many as its requests need.',
  ),
  max_body: setting(size, '1GB', 'Largest request body. A larger one gets 413.'),
  body_wait: setting(
    duration(0),
    '1s',
    'How long a request is held back until its body, or the first 64 KB of it, has arrived; until then it ' +
      'takes no place in a thread. `0s`: not at all. With upstreams, `[proxy] buffer` says how much is ' +
      'collected, and `body_wait` only counts for bodies without an announced length.',
  ),
  body_timeout: setting(
    duration(100),
    '60s',
    'Longest pause between two parts of a request body. Then 408, and the connection is closed.',
  ),
  body_rate: setting(
    size,
    '500B',
    'Lowest rate of a request body in bytes per second, on average and after 20 seconds. Below it: as with ' +
      '`body_timeout`. `0B`: no limit.',
  ),
  send_timeout: setting(
    duration(100),
    '60s',
    'Longest time in which the client takes nothing of a waiting answer. Then the connection is closed.',
  ),
})

/** One site's INI file. */
export const siteSchema = z.strictObject({
  site,
  env,
  options,
  limits,
  static: staticFiles,
  redirect,
  proxy: proxySection,
  cache: cacheSection,
  log: siteLogSection,
  door: doorSection,
  headers: headersSection,
  errors: errorsSection,
})

/** The file as checked, with keys as they are written. */
export type SiteFile = z.output<typeof siteSchema>

/** A site's INI file, ready for use: paths absolute, units in the names, everything checked. Plain data but for `domains`. */
export interface SiteConfig {
  /** The file's name without `.ini`. */
  name: string
  /** As seen in the sites folder. */
  file: string
  /** Where it really is, if `file` is a link. */
  realFile: string
  domains: DomainPattern[]
  kind: (typeof KINDS)[number]
  root: string
  /** Set where `kind` is `module`. */
  module: string | undefined
  /** What the module finds in `process.argv`. */
  args: readonly string[]
  type: SiteFile['site']['type']
  httpPort: number | undefined
  watch: boolean
  isolation: (typeof ISOLATIONS)[number]
  /** Name of its pool. */
  pool: string
  /** Whom its code, or its program, runs as; as the server where undefined. */
  identity: Identity | undefined
  preload: boolean
  /** 0: never. */
  idleMs: number
  /** Of `env_file` and [env], `$NAME` filled in. */
  env: Record<string, string>
  options: Record<string, unknown>
  limits: SiteLimits
  /** Whether text is compressed on its way to the client. */
  compress: boolean
  /** Undefined where answers are not stored. */
  cache: CacheSettings | undefined
  static: StaticSettings
  /** Set where `kind` is `redirect`. */
  redirect: RedirectSettings | undefined
  /** One of the exact domains, to which requests for the others are redirected. */
  canonical: string | undefined
  log: SiteLogConfig
  /** The certificate to be had by ACME; undefined without `tls = auto`. */
  acme: SiteAcme | undefined
  /** What the files `certificate` and `key` hold; undefined where they are not set. */
  certificate: KeyPair | undefined
  tls: SiteTls
  /** Set where `kind` is `proxy` or `command`. */
  backend: SiteBackend | undefined
  doors: SiteDoors
}

/** [limits] of a site. Frozen and shared between sites that have the same. */
export interface SiteLimits {
  timeoutMs: number
  /** Requests that may wait. */
  queue: number
  queueTimeoutMs: number
  startTimeoutMs: number
  stopTimeoutMs: number
  /** How long a program may be silent while it is asked; 0: for as long as it likes. */
  hangTimeoutMs: number
  maxBodyBytes: number
  /** How long a request is kept back for its body. */
  bodyWaitMs: number
  /** Least bytes of a body in a second; 0: none. */
  bodyRate: number
  /** How long a client may pause in its body, or take nothing of an answer. */
  bodyTimeoutMs: number
  sendTimeoutMs: number
  /** How long a thread may be kept until that is logged, the thread retired, and ended. */
  slowMs: number
  softLimitMs: number
  hardLimitMs: number
  /** Short blocks within a minute that put the site in quarantine, and for how long. */
  offences: number
  quarantineMs: number
  /** Parts of its pool, 0 to 1. */
  share: number
  max: number
  /** Most threads that it is loaded in at a time; undefined: as many as it needs. */
  maxThreads: number | undefined
}

/** Sections whose keys can also be set for all sites, in [defaults]. */
export const DEFAULTABLE_SECTIONS = ['site', 'limits', 'static', 'door', 'proxy', 'cache', 'log'] as const
/** Keys of those sections that only a site itself can set: what they name is of one site. */
export const OWN_KEYS: readonly string[] = ['domains', 'canonical', 'upstream', 'command', 'paths', 'access', 'error']
