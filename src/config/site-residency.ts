/**
 * Where a site wants to live: its pool, and whom a process of its own runs as; and whether its limits go together.
 *
 * What stands in [defaults] and has no use for one site (`user` for one that shares its process) is no problem there: a
 * site's own file cannot take it away.
 */
import { z } from 'zod'
import type { Identity } from './identity.ts'
import { readIdentity } from './identity.ts'
import { duration, percent } from './measures.ts'
import { quote } from './problems.ts'
import type { SiteBeingRead, SiteSurroundings } from './site-reading.ts'
import { addProblem, isMeant, isWritten } from './site-reading.ts'
import type { SiteConfig, SiteFile } from './site-schema.ts'
import { nearest } from './suggest.ts'

/**
 * Checks `pool`, `user`, `group`, and that the limits go together; problems are added to the site's.
 *
 * @returns whom it runs as: its user, else that of its pool, of the default one for a program; as the server where undefined
 */
export function checkResidency(
  site: SiteBeingRead,
  server: SiteSurroundings,
  kind: SiteConfig['kind'],
): Identity | undefined {
  checkLimits(site)
  if (kind === 'command') return checkIdentity(site, true) ?? server.pools[0].identity
  if (kind !== 'module') return undefined
  const unknownPool = poolFault(site.checked.value.site.pool, server.pools)
  if (unknownPool !== undefined) addProblem(site, 'site', 'pool', unknownPool)
  const { pool, isolation } = site.checked.value.site
  return checkIdentity(site, isolation === 'process') ?? server.pools.find(({ name }) => name === pool)?.identity
}

/** @param isAlone whether it has a process of its own, which can run as somebody else */
function checkIdentity(site: SiteBeingRead, isAlone: boolean): Identity | undefined {
  const { user, group } = site.checked.value.site
  if (user === undefined) {
    if (group !== undefined && isWritten(site, 'site', 'group') && !isMeant(site, 'site', 'user')) {
      addProblem(site, 'site', 'group', 'has no use without user: name the user too')
    }
    return undefined
  }
  if (!isAlone) {
    const cure = 'needs a process of its own: write isolation = process, or take the line away'
    if (isWritten(site, 'site', 'user')) addProblem(site, 'site', 'user', cure)
    return undefined
  }
  const identity = readIdentity(user, group)
  if ('value' in identity) return identity.value
  site.load.dependencies.push('/etc/passwd', '/etc/group')
  addProblem(site, 'site', identity.key, identity.problem)
  return undefined
}

/** Why there is no such pool; undefined where there is one. */
export function poolFault(pool: string, pools: SiteSurroundings['pools']): string | undefined {
  const names = pools.map(({ name }) => name)
  if (names.includes(pool)) return undefined
  const meant = nearest(pool, names)
  if (meant !== undefined) return `there is no pool ${quote(pool)} in vhostel.ini; did you mean ${meant}?`
  return `there is no pool ${quote(pool)}: write [pool ${pool}] in vhostel.ini and restart the server, or take the line away`
}

type Limits = SiteFile['limits']

/** Two limits that do not go together: what is wrong with `key`, and, told the other way round, with `other`. */
interface LimitFault {
  key: keyof Limits
  message: string
  other: keyof Limits
  otherMessage: string
}

/** Which limits contradict each other. */
export function limitFaults(limits: Limits): LimitFault[] {
  const faults: LimitFault[] = []
  const order = (less: 'slow' | 'soft_limit', more: 'soft_limit' | 'hard_limit', why: string): void => {
    if (limits[less] <= limits[more]) return
    const [low, high] = [z.encode(duration(0), limits[less]), z.encode(duration(0), limits[more])]
    const message = `is less than ${less} (${low}): ${why}`
    faults.push({ key: more, message, other: less, otherMessage: `is more than ${more} (${high}): ${why}` })
  }
  order('slow', 'soft_limit', 'a thread is first logged, then retired')
  order('soft_limit', 'hard_limit', 'a thread is first retired, then ended')
  const [share, max] = [z.encode(percent, limits.share), z.encode(percent, limits.max)]
  if (limits.share > limits.max) {
    const why = 'what a site has in any case it must be able to take'
    const [message, otherMessage] = [`is more than max (${max}): ${why}`, `is less than share (${share}): ${why}`]
    faults.push({ key: 'share', message, other: 'max', otherMessage })
  }
  return faults
}

/** Each contradiction is told at a key that stands in the site's own file. */
function checkLimits(site: SiteBeingRead): void {
  const { checked } = site
  if (checked.value.limits.max === 0) addProblem(site, 'limits', 'max', 'is 0%: the site could never be asked')
  if (checked.value.limits.max_body === 0) {
    const cure = 'for no limit, write more than ever comes (such as 1TB)'
    addProblem(site, 'limits', 'max_body', `is 0: every request with a body would be refused; ${cure}`)
  }
  for (const { key, message, other, otherMessage } of limitFaults(checked.value.limits)) {
    if (checked.isBad('limits', key) || checked.isBad('limits', other)) continue
    if (isWritten(site, 'limits', key) || !isWritten(site, 'limits', other)) addProblem(site, 'limits', key, message)
    else addProblem(site, 'limits', other, otherMessage)
  }
}
