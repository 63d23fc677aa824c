/**
 * What the files say of logs beside the server's own: [access] and [files] of logging.ini, and [log] of a site.
 */
import { dirname, resolve } from 'node:path'
import { isInside } from './inside.ts'
import { size } from './measures.ts'
import { optional, section, setting } from './settings.ts'
import type { SiteBeingRead } from './site-reading.ts'
import { addProblem } from './site-reading.ts'
import { choice, integer, text } from './units.ts'

/** Forms of a line of an access log. */
const ACCESS_FORMATS = ['combined', 'vhost_combined', 'json'] as const
export type AccessFormat = (typeof ACCESS_FORMATS)[number]

/** [access] of logging.ini. */
export const accessSection = section('The access log of all sites, and of requests that reach none.', {
  file: optional(
    text('path'),
    'File to write to; without it there is no such log. A relative path starts at the folder of vhostel.ini.',
  ),
  format: setting(
    choice(ACCESS_FORMATS),
    'vhost_combined',
    "`combined`: as nginx and Apache write it; `vhost_combined`: as Apache's, with the host in front; `json`: with everything " +
      'that is known of a request (docs/logs.md).',
  ),
})

/** [files] of logging.ini. */
export const filesSection = section('All files that logs are written to.', {
  rotate: setting(
    size,
    '100MB',
    'Size from which on a file is moved aside: `access.log` becomes `access.log.1`, that `access.log.2`, and so on. `0B`: ' +
      'never.',
  ),
  keep: setting(integer(1, 1000), '5', 'How many files that were moved aside are kept of each; the last is removed.'),
})

/** [log] of a site's file. */
export const siteLogSection = section('What is written of one site, and what it writes.', {
  access: optional(
    text('path'),
    "File for the site's own access log, beside the one of all sites. A relative path starts at the folder of this file.",
  ),
  error: optional(
    text('path'),
    "File for what the site writes to console and standard error, instead of the server's log, and for what vhostel " +
      'warns of it. A relative path starts at the folder of this file.',
  ),
  format: setting(
    choice(ACCESS_FORMATS),
    'combined',
    'Of the access log: as in [access] of logging.ini. With `json` the lines of `error` are JSON too.',
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
  return { access: pathOf(site, 'access', access, place), error: pathOf(site, 'error', error, place), format }
}

function pathOf(
  site: SiteBeingRead,
  key: 'access' | 'error',
  written: string | undefined,
  { kind, root }: { kind: string; root: string },
): string | undefined {
  if (written === undefined) return undefined
  const path = resolve(dirname(site.realFile), written)
  if (kind === 'static' && isInside(path, root)) {
    addProblem(site, 'log', key, `${path} is in the folder that the site serves (${root}): name one outside of it`)
  }
  return path
}
