/**
 * Everything that vhostel.ini and logging.ini can say. The single source of the types, the defaults, the checks and
 * docs/configuration.md.
 */
import { z } from 'zod'
import type { RawSection } from './check.ts'
import type { ErrorPages } from './error-pages.ts'
import { serverErrorsSection } from './error-pages.ts'
import type { Identity } from './identity.ts'
import type { ListenAddress } from './listen.ts'
import { formatListenAddress, readListenAddress } from './listen.ts'
import { accessSection, filesSection } from './log-schema.ts'
import { duration, size, sizeFrom } from './measures.ts'
import type { AcmeConfig } from './server-acme.ts'
import { acmeSection } from './server-acme.ts'
import type { FrontSettings } from './server-front.ts'
import { frontKeys } from './server-front.ts'
import { listSetting, optional, optionalList, section, setting, shapeOf, withoutDefault } from './settings.ts'
import { DEFAULTABLE_SECTIONS, OWN_KEYS, siteSchema } from './site-schema.ts'
import type { Range } from './units.ts'
import { autoOrRange, choice, integer, listType, text } from './units.ts'

export type { ListenAddress } from './listen.ts'

const server = section('Where the server listens, and where its files are.', {
  listen: listSetting(
    listType('list of addresses', readListenAddress, formatListenAddress),
    '127.0.0.1:8080',
    'Addresses: `127.0.0.1:8080`, `[::1]:8080`, `8080` or `*:8080` (all interfaces), `unix:run/web.sock`. Separated as ' +
      'domains are.',
  ),
  listen_tls: optionalList(
    listType('list of addresses', readListenAddress, formatListenAddress),
    'Addresses for TLS (HTTPS, with HTTP/2), written as those of `listen`: `443` for all interfaces. None by default. Sites ' +
      'that have a `certificate` are answered there.',
  ),
  sites: setting(
    text('path'),
    'sites-enabled',
    "Folder with the sites: one `.ini` file, or link to one, for each; its name is the site's name. A relative path " +
      'starts at the folder of vhostel.ini.',
  ),
  run: setting(
    text('path'),
    'run',
    'Folder for the sockets of the running server; made where it is missing. A relative path starts at the folder of ' +
      'vhostel.ini.',
  ),
  default_site: optional(
    text('name of a site'),
    'Site that answers for hosts that no site names. Without it they get 421.',
  ),
  cache_memory: setting(
    size,
    '256MB',
    'What the stored answers of all sites with `cache = on` may take together. Beyond it, the site that stores most gives up ' +
      'what was not asked for longest.',
  ),
  ...frontKeys,
})

/** With less, an empty process or thread would be replaced again and again (docs/sizing.md). */
const LEAST_PROCESS_BYTES = 64 * 1024 ** 2
const LEAST_THREAD_BYTES = 32 * 1024 ** 2

const userType = 'user, by name or number'

/** @param standard what `processes` and `threads` are where nothing is said */
function poolKeys(standard: { processes: string; threads: string }) {
  return {
    processes: setting(
      autoOrRange(1, 1024),
      standard.processes,
      'Worker processes. `auto`: from the cores and the memory. `1..4`: one, and up to four as there is work.',
    ),
    threads: setting(
      autoOrRange(1, 256),
      standard.threads,
      'Threads in each worker process. `auto`: from the cores and the memory. `2..8`: two, and up to eight as there is work.',
    ),
    memory: optional(
      sizeFrom(LEAST_PROCESS_BYTES),
      'What its processes may take together. Nothing grows beyond it, and the largest threads are replaced; the kernel keeps ' +
        'it too, where it lets vhostel ask (docs/sizing.md). Without it there is no limit.',
    ),
    process_memory: optional(
      sizeFrom(LEAST_PROCESS_BYTES),
      'What one process may take; beyond it, its largest thread is replaced.',
    ),
    thread_memory: setting(
      sizeFrom(LEAST_THREAD_BYTES),
      '512MB',
      'What one thread may take, heap and buffers; then it is replaced, the new one loaded first. One that takes twice as ' +
        'much without coming back to its event loop is ended at once.',
    ),
    max_requests: setting(
      integer(0, 1_000_000_000),
      '0',
      'Requests after which a thread is replaced, each at a different number within 20 %. 0: never.',
    ),
    max_age: setting(duration(0), '0s', 'Age at which a thread is replaced, within 20 %. `0s`: never.'),
    user: optional(
      text(userType),
      'Whom its processes run as. vhostel has to be started as root for that; without it sites run as vhostel does.',
    ),
    group: optional(text('group, by name or number'), "The group that they run as; without it, the user's own."),
  }
}

const pool = section('The processes and threads that all sites share that do not name a pool.', {
  ...poolKeys({ processes: 'auto', threads: 'auto' }),
  concurrency: setting(integer(1, 100_000), '500', 'Requests that one thread of any pool works on at a time.'),
})

const namedPool = section(
  'As many of these as you like, each with a name of its own (`[pool shop]`): processes and threads for the sites that say ' +
    '`pool = shop`.',
  poolKeys({ processes: '1', threads: '1..2' }),
)

/** Every key of the sections that can be set for all sites, none with a default: what is left out is the site's. */
function defaultableKeys(): Record<string, z.ZodType> {
  const shape: Record<string, z.ZodType> = {}
  for (const name of DEFAULTABLE_SECTIONS) {
    for (const [key, type] of Object.entries(shapeOf(siteSchema.shape[name]))) {
      if (!OWN_KEYS.includes(key)) shape[key] = withoutDefault(type)
    }
  }
  return shape
}

const defaults = section(
  "For every site that does not say otherwise: any key of a site's [site], [limits], [static], [door], [proxy], [cache] and " +
    '[log], except `domains`, `canonical`, `upstream`, `command`, `paths`, `access` and `error`, which are of one site. It is ' +
    "as if the line stood in each site's own file.",
  defaultableKeys(),
)

/** vhostel.ini. */
export const serverSchema = z.strictObject({ server, pool, acme: acmeSection, errors: serverErrorsSection, defaults })

/** One [pool NAME] of vhostel.ini, as a file that has only that, called [pool]. */
export const namedPoolSchema = z.strictObject({ pool: namedPool })

const log = section('What vhostel itself and the sites write.', {
  level: setting(choice(['debug', 'info', 'warn', 'error']), 'info', 'The least important lines that are written.'),
  format: setting(
    choice(['auto', 'text', 'json']),
    'auto',
    '`text` for people, `json` for programs; `auto`: text on a terminal, else json.',
  ),
  file: optional(
    text('path'),
    'File to write to, instead of standard error. A relative path starts at the folder of vhostel.ini.',
  ),
})

/** logging.ini. */
export const loggingSchema = z.strictObject({ log, access: accessSection, files: filesSection })

/** A [pool], ready for use. */
export interface PoolConfig {
  name: string
  processes: Range | 'auto'
  /** In each process. */
  threads: Range | 'auto'
  memoryBytes: number | undefined
  processMemoryBytes: number | undefined
  threadMemoryBytes: number
  /** 0: no limit. */
  maxRequests: number
  maxAgeMs: number
  /** Whom its processes run as; as the server where undefined. */
  identity: Identity | undefined
}

type LoggingFile = z.output<typeof loggingSchema>

/** vhostel.ini and logging.ini, ready for use: paths absolute, everything checked. */
export interface ServerConfig {
  /** vhostel.ini; absolute. */
  file: string
  /** Its folder, where relative paths start. */
  dir: string
  listen: ListenAddress[]
  listenTls: ListenAddress[]
  /** Folders, absolute. */
  sites: string
  run: string
  defaultSite: string | undefined
  /** What the stored answers of all sites may take together. */
  cacheMemoryBytes: number
  /** The first is the default one. */
  pools: [PoolConfig, ...PoolConfig[]]
  /** Most requests in one thread. */
  concurrency: number
  /** All of logging.ini; each `file` absolute. */
  log: LoggingFile['log'] & Pick<LoggingFile, 'access' | 'files'>
  front: FrontSettings
  acme: AcmeConfig
  /** For what belongs to no site, and for sites that have no page of their own. */
  errors: ErrorPages | undefined
  /** Other files, absolute, whose change can change all this. */
  dependencies: string[]
  /** Values of [defaults] by the section of a site that they belong to, as texts: they are read with the site's own. */
  defaults: SiteDefaults
  /** Where `default_site` is written, for the problem that there is no such site. */
  defaultSiteLine: number | undefined
}

export type SiteDefaults = Record<(typeof DEFAULTABLE_SECTIONS)[number], RawSection>
