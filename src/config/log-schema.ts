/**
 * What the files say of logs beside the server's own: [access] and [files] of logging.ini, and [log] of a site.
 */
import { join } from 'node:path'
import { isInside } from './inside.ts'
import { size } from './measures.ts'
import { isFolder } from './own-folders.ts'
import { quote } from './problems.ts'
import { optional, section, setting } from './settings.ts'
import type { SiteBeingRead } from './site-reading.ts'
import { addProblem, pathOf } from './site-reading.ts'
import { choice, integer, pathFault, textType } from './units.ts'

/** The file of a log. */
export const logFile = textType<string>(
  'path',
  (found) => {
    const foreign = foreignLogFault(found)
    const fault = foreign === undefined ? pathFault(found) : `${quote(found)} ${foreign}`
    return fault === undefined ? { value: found } : { problem: fault }
  },
  String,
)

/** Forms of a line of an access log. */
const ACCESS_FORMATS = ['timed', 'vhost_timed', 'combined', 'vhost_combined', 'json'] as const
export type AccessFormat = (typeof ACCESS_FORMATS)[number]

/** [access] of logging.ini. */
export const accessSection = section(
  'The access log of all sites, and of requests that reach no site. See [Logs](logs.md).',
  {
    file: optional(
      logFile,
      'File to write to. Not set: no access log. A relative path starts at the folder of vhostel.ini.',
    ),
    format: setting(
      choice(ACCESS_FORMATS),
      'vhost_timed',
      'Format of a line: `combined` as nginx and Apache write it, `timed` with times, thread, id and cache status ' +
        'behind that (for `vhostel advise --from`), `vhost_combined` and `vhost_timed` with the host in front, or ' +
        '`json` with everything that is known of a request.',
    ),
  },
)

/** [files] of logging.ini. */
export const filesSection = section('Rotation of all log files.', {
  rotate: setting(
    size,
    '100MB',
    'Size at which a file is rotated: `access.log` becomes `access.log.1`, `access.log.1` becomes ' +
      '`access.log.2`, and so on. `0B`: never.',
  ),
  keep: setting(integer(1, 1000), '5', 'Rotated files to keep of each log. The oldest is deleted.'),
})

/** [log] of a site's file. */
export const siteLogSection = section('Log files of this site. See [Logs](logs.md).', {
  access: optional(
    logFile,
    'Access log of this site, in addition to the one of all sites. A relative path starts at the folder of ' +
      'this file.',
  ),
  error: optional(
    logFile,
    "File for what the site writes to its console and standard error, instead of the server's log, and for " +
      "vhostel's warnings about the site. A relative path starts at the folder of this file.",
  ),
  format: setting(
    choice(ACCESS_FORMATS),
    'combined',
    'Format of the access log, as in [access] of logging.ini. With `json` the error log is JSON too.',
  ),
})

/** [log] of a site, ready for use: paths absolute. */
export interface SiteLogConfig {
  access: string | undefined
  error: string | undefined
  format: AccessFormat
}

/** Of nearly all sites. */
const NONE: SiteLogConfig = Object.freeze({ access: undefined, error: undefined, format: 'combined' })

/** Makes the paths absolute, and refuses those that the site would show to everybody. @param place of the site */
export function siteLogs(site: SiteBeingRead, place: { kind: string; root: string }): SiteLogConfig {
  const { access, error, format } = site.checked.value.log
  if (access === undefined && error === undefined) return NONE
  return { access: logPath(site, 'access', access, place), error: logPath(site, 'error', error, place), format }
}

function logPath(
  site: SiteBeingRead,
  key: 'access' | 'error',
  written: string | undefined,
  { kind, root }: { kind: string; root: string },
): string | undefined {
  if (written === undefined) return undefined
  const path = pathOf(site, written)
  const fault = logFileFault(path)
  if (fault !== undefined) {
    addProblem(site, 'log', key, fault)
    site.load.dependencies.push(path)
  } else if (kind === 'static' && isInside(path, root)) {
    addProblem(site, 'log', key, `${path} is in the folder that the site serves (${root}): name one outside of it`)
  }
  return path
}

/** Why a path cannot be a log file; one that is not there yet can. @param path absolute */
export function logFileFault(path: string): string | undefined {
  return isFolder(path) ? `${quote(path)} is a folder: name the file in it (such as ${join(path, 'a.log')})` : undefined
}

/** Why what nginx takes for a log is none here. */
function foreignLogFault(written: string): string | undefined {
  if (/^(?:off|none|no|false)$/i.test(written)) return 'is not a file: without the line there is no such log'
  if (/^(?:stdout|stderr|syslog|journald?)(?::|$)|^\|/i.test(written)) {
    return 'is not a file, and logs are written to files alone; without the line there is no such file'
  }
  const [, more] = /\.log\s+(\S.*)$/.exec(written) ?? []
  return more === undefined
    ? undefined
    : `is not a file: take ${quote(more)} away; [log] format says how lines are written`
}
