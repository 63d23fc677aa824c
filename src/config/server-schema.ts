/**
 * Everything that vhostel.ini and logging.ini can say. The single source of the types, the defaults, the checks and
 * docs/configuration.md.
 */
import { z } from 'zod'
import type { RawSection } from './check.ts'
import type { ListenAddress } from './listen.ts'
import { formatListenAddress, readListenAddress } from './listen.ts'
import { listSetting, optional, section, setting, shapeOf, withoutDefault } from './settings.ts'
import { DEFAULTABLE_SECTIONS, OWN_KEYS, siteSchema } from './site-schema.ts'
import { autoOrInteger, choice, integer, listType, text } from './units.ts'

export type { ListenAddress } from './listen.ts'

const server = section('Where the server listens, and where its files are.', {
  listen: listSetting(
    listType('list of addresses', readListenAddress, formatListenAddress),
    '127.0.0.1:8080',
    'Addresses: `127.0.0.1:8080`, `[::1]:8080`, `8080` or `*:8080` (all interfaces), `unix:run/web.sock`. Separated as ' +
      'domains are.',
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
})

const pool = section('The processes and threads that all sites share.', {
  processes: setting(autoOrInteger(1, 1024), 'auto', 'Worker processes. `auto`: from the cores and the memory.'),
  threads: setting(
    autoOrInteger(1, 256),
    'auto',
    'Threads in each worker process. `auto`: from the cores and the memory.',
  ),
  concurrency: setting(integer(1, 100_000), '500', 'Requests that one thread works on at a time.'),
})

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
  "For every site that does not say otherwise: any key of a site's [site], [limits] and [static], except `domains`. It is " +
    "as if the line stood in each site's own file.",
  defaultableKeys(),
)

/** vhostel.ini. */
export const serverSchema = z.strictObject({ server, pool, defaults })

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
export const loggingSchema = z.strictObject({ log })

type ServerFile = z.output<typeof serverSchema>
type LoggingFile = z.output<typeof loggingSchema>

/** vhostel.ini and logging.ini, ready for use: paths absolute, everything checked. */
export interface ServerConfig {
  /** vhostel.ini; absolute. */
  file: string
  /** Its folder, where relative paths start. */
  dir: string
  listen: ListenAddress[]
  /** Folders, absolute. */
  sites: string
  run: string
  defaultSite: string | undefined
  /** `threads` in each process, `concurrency` in each thread. */
  pool: ServerFile['pool']
  /** `file` absolute. */
  log: LoggingFile['log']
  /** Values of [defaults] by the section of a site that they belong to, as texts: they are read with the site's own. */
  defaults: SiteDefaults
  /** Where `default_site` is written, for the problem that there is no such site. */
  defaultSiteLine: number | undefined
}

export type SiteDefaults = Record<(typeof DEFAULTABLE_SECTIONS)[number], RawSection>
