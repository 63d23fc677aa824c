/**
 * Which keys of a site's file have a use: for which kinds, and beside which others. What has none is refused, so that nobody takes
 * it for something that holds.
 *
 * What stands in [defaults] is never refused here: it is for all sites, and one cannot take it away.
 */

import { KEY_OF } from './site-backend.ts'
import type { SiteBeingRead } from './site-reading.ts'
import { addProblem, isMeant, isWritten, refuseKeysBecause } from './site-reading.ts'
import type { SiteConfig, SiteFile } from './site-schema.ts'

type Kind = SiteConfig['kind']

interface Use {
  section: keyof SiteFile
  /** All of the section where undefined. */
  keys?: readonly string[]
  kinds: readonly Kind[]
  /** What to do instead, where that is more than to take it away. */
  cure?: string
}

const CODE: readonly Kind[] = ['module', 'command']
const ANSWERERS: readonly Kind[] = ['module', 'proxy', 'command']

/** Keys and sections that are not here are for all kinds, or are looked at where they are read. */
const USES: readonly Use[] = [
  { section: 'site', keys: ['args', 'type', 'http_port', 'watch', 'isolation', 'pool'], kinds: ['module'] },
  { section: 'site', keys: ['user', 'group', 'preload', 'idle', 'env_file'], kinds: CODE },
  { section: 'site', keys: ['compress', 'cache'], kinds: ['module', 'static', 'proxy', 'command'] },
  { section: 'env', kinds: CODE },
  { section: 'options', kinds: ['module'] },
  { section: 'cache', keys: ['keep'], kinds: CODE },
  {
    section: 'proxy',
    kinds: ['proxy', 'command'],
    cure: 'name an upstream or a command in [site], or take it away; a module gets every path that is no file',
  },
  { section: 'limits', keys: ['timeout', 'queue', 'queue_timeout', 'max_body', 'body_wait'], kinds: ANSWERERS },
  { section: 'limits', keys: ['start_timeout', 'stop_timeout'], kinds: CODE },
  { section: 'limits', keys: ['hang_timeout'], kinds: ['command'] },
  {
    section: 'limits',
    keys: ['slow', 'soft_limit', 'hard_limit', 'offences', 'quarantine', 'share', 'max', 'max_threads'],
    kinds: ['module'],
  },
]

/** Adds a problem for each key, or section, that has no use in this file. */
export function checkUses(site: SiteBeingRead, kind: Kind): void {
  // Nothing says what the site is: that is told, and what was meant is not known.
  if (kind === 'static' && !isMeant(site, 'site', 'kind') && !isMeant(site, 'site', 'root')) return
  const isSaid = site.checked.value.site.kind !== undefined || isMeant(site, 'site', 'kind')
  for (const { section, keys, kinds, cure } of USES) {
    if (kinds.includes(kind)) continue
    const isForgotten = kind === 'static' && !isSaid && cure === undefined
    const why = isForgotten ? `${withoutAny(kinds)}: name what answers, or` : `with kind = ${kind}:`
    if (keys !== undefined) refuseKeysBecause(site, section, keys, `has no use ${why} take the line away`)
    else refuseSection(site, section, `has no use ${why} ${cure ?? 'take it away'}`)
  }
  checkCompany(site)
}

/**
 * A folder alone is a static site, and so is an application whose file was forgotten: who takes away line by line what is of no use
 * then would have its code sent to visitors.
 */
function withoutAny(kinds: readonly Kind[]): string {
  const keys = kinds.map((kind) => KEY_OF[kind])
  return `without ${keys.join(', ').replace(/, (?=\w+$)/, ' or ')}`
}

/** What has a use only beside another key. A switch that is written, and is off, is one that was just thrown. */
function checkCompany(site: SiteBeingRead): void {
  const { site: keys, log, door } = site.checked.value
  const without = (section: keyof SiteFile, key: string, other: string): void => {
    if (isWritten(site, section, key)) addProblem(site, section, key, `has no use without ${other}`)
  }
  if (!keys.cache && !isMeant(site, 'site', 'cache'))
    refuseSection(site, 'cache', 'has no use without [site] cache = yes')
  if (!keys.https_only && !isMeant(site, 'site', 'https_only')) without('site', 'hsts', 'https_only = yes')
  const hasLog = log.access !== undefined || log.error !== undefined || isMeant(site, 'log', 'access')
  if (!hasLog && !isMeant(site, 'log', 'error')) without('log', 'format', 'access or error: name a file')
  if (door.auth === undefined && !isMeant(site, 'door', 'auth')) without('door', 'realm', 'auth: name the passwords')
  if (keys.type !== 'auto' && keys.type !== 'fastify' && isWritten(site, 'site', 'type')) {
    refuseSection(site, 'options', `has no use with type = ${keys.type}: options are for Fastify plugins`)
  }
  if (keys.isolation === 'process' && site.checked.value.limits.share > 0 && isWritten(site, 'limits', 'share')) {
    addProblem(site, 'limits', 'share', 'has no use with isolation = process: nobody else is in its process')
  }
}

/** Adds one problem for a section with keys in it. */
function refuseSection({ load, document }: SiteBeingRead, section: keyof SiteFile, message: string): void {
  const found = document.sections.get(section)
  if (found === undefined || found.keys.size === 0) return
  load.problems.push({ file: load.file, line: found.line, section, key: undefined, message, code: undefined })
}
