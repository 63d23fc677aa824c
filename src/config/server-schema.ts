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
import { accessSection, filesSection, logFile } from './log-schema.ts'
import { duration, size, sizeFrom } from './measures.ts'
import type { AcmeConfig } from './server-acme.ts'
import { acmeSection } from './server-acme.ts'
import type { FrontSettings } from './server-front.ts'
import { frontKeys } from './server-front.ts'
import { listSetting, optional, optionalList, section, setting, shapeOf, withoutDefault } from './settings.ts'
import { DEFAULTABLE_SECTIONS, OWN_KEYS, siteSchema } from './site-schema.ts'
import type { Range } from './units.ts'
import { autoOrRange, choice, integer, listType, path, text } from './units.ts'

export type { ListenAddress } from './listen.ts'

const server = section('Where the server listens and keeps its files.', {
  listen: listSetting(
    listType('list of addresses', readListenAddress, formatListenAddress),
    '127.0.0.1:8080',
    'Addresses to listen on for HTTP: `127.0.0.1:8080`, `[::1]:8080`, `8080` or `*:8080` (all interfaces, IPv4 and IPv6), ' +
      '`unix:run/web.sock`. Several are separated by commas or blanks.',
  ),
  listen_tls: optionalList(
    listType('list of addresses', readListenAddress, formatListenAddress),
    'Addresses to listen on for HTTPS (HTTP/1.1 and HTTP/2), written like `listen`: `443` for all ' +
      'interfaces. Sites with a certificate are served there.',
  ),
  sites: setting(
    path,
    'sites-enabled',
    'Folder of the enabled sites: one `.ini` file, or a link to one, per site. The file name is the name of ' +
      'the site. A relative path starts at the folder of vhostel.ini.',
  ),
  run: setting(
    path,
    'run',
    'Folder for the sockets of the running server. It is created if it is missing. A relative path starts at ' +
      'the folder of vhostel.ini.',
  ),
  default_site: optional(
    text('name of a site'),
    'Site that answers for hosts that no site has. Without it they get 421.',
  ),
  cache_memory: setting(
    size,
    '256MB',
    'Memory for the stored answers of all sites with `cache = on`. When it is full, the site that stores ' +
      'most drops what was not requested for longest.',
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
      'Worker processes. `auto` chooses by cores and memory ([sizing](sizing.md)). `1..4` starts one and grows ' +
        'to four under load.',
    ),
    threads: setting(
      autoOrRange(1, 256),
      standard.threads,
      'Threads in each worker process. `auto` chooses by cores and memory. `2..8` starts two and grows to ' +
        'eight under load.',
    ),
    memory: optional(
      sizeFrom(LEAST_PROCESS_BYTES),
      'Memory limit for all worker processes of the pool together. The pool stops growing at the limit, and ' +
        'its largest threads are replaced. The kernel enforces it too where it can ' +
        '([how](sizing.md#a-hard-memory-limit)). Not set: no limit.',
    ),
    process_memory: optional(
      sizeFrom(LEAST_PROCESS_BYTES),
      'Memory limit for one worker process, with its part of what processes share (PSS). Above it, its largest ' +
        'thread is replaced. Not set: no limit.',
    ),
    thread_memory: setting(
      sizeFrom(LEAST_THREAD_BYTES),
      '512MB',
      'Memory limit for one thread (heap and buffers). Above it, the thread is replaced; its successor is ' +
        'loaded first. A thread that takes twice as much without returning to its event loop is ended at once.',
    ),
    max_requests: setting(
      integer(0, 1_000_000_000),
      '0',
      'Requests after which a thread is replaced, varied by up to 20 % from thread to thread. `0`: never.',
    ),
    max_age: setting(duration(0), '0s', 'Age at which a thread is replaced, varied by up to 20 %. `0s`: never.'),
    user: optional(
      text(userType),
      'User that the worker processes run as. Needs a vhostel that is started as root; not set, sites run as ' +
        'the same user as vhostel.',
    ),
    group: optional(text('group, by name or number'), "Group that they run as. Not set: the user's own."),
  }
}

const pool = section('Processes and threads shared by all sites that do not name a pool of their own.', {
  ...poolKeys({ processes: 'auto', threads: 'auto' }),
  concurrency: setting(integer(1, 100_000), '500', 'Requests that one thread works on at a time, in every pool.'),
})

const namedPool = section(
  'Another pool, for the sites that say `pool = NAME`. You can have any number of them, such as `[pool ' + 'shop]`.',
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
  "Settings for all sites that do not set them themselves, as if the line stood in each site's file. All " +
    "keys of a site's [site], [limits], [static], [door], [proxy], [cache] and [log] are allowed, except " +
    '`domains`, `canonical`, `upstream`, `command`, `paths`, `access` and `error`, which name what belongs to one ' +
    'site. [env], [options], [headers] and the paths of [static] are not: [defaults] has no sections, so where any ' +
    'name may be a key, a misspelt one would be taken for a variable or a header.',
  defaultableKeys(),
)

/** vhostel.ini. */
export const serverSchema = z.strictObject({ server, pool, acme: acmeSection, errors: serverErrorsSection, defaults })

/** One [pool NAME] of vhostel.ini, as a file that has only that, called [pool]. */
export const namedPoolSchema = z.strictObject({ pool: namedPool })

const log = section("The server's own log, and what sites write to their console.", {
  level: setting(choice(['debug', 'info', 'warn', 'error']), 'info', 'Least severe lines to write.'),
  format: setting(
    choice(['auto', 'text', 'json']),
    'auto',
    '`text` for people, `json` for programs. `auto`: text on a terminal, otherwise JSON.',
  ),
  file: optional(
    logFile,
    'File to write to instead of standard error. A relative path starts at the folder of vhostel.ini.',
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
