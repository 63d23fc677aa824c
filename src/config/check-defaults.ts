/**
 * Whether what [defaults] says goes together: told once, in vhostel.ini, and not by each site.
 */
import { keyProblem } from './check.ts'
import type { IniDocument } from './ini.ts'
import type { Problem } from './problems.ts'
import type { ServerConfig } from './server-schema.ts'
import { autoFault } from './site-acme.ts'
import { limitFaults, poolFault } from './site-residency.ts'
import { siteSchema } from './site-schema.ts'

/**
 * Checks the pool and the limits of [defaults]. What is wrong is taken out of `config.defaults`, so that the sites are
 * checked as if it were not there.
 */
export function checkDefaults(
  document: IniDocument,
  { file, defaults, pools, acme, listenTls }: ServerConfig,
): Problem[] {
  const problem = (key: string, message: string): Problem => keyProblem(document, file, 'defaults', key, message)
  const problems: Problem[] = []
  const { pool } = defaults.site
  const fault = typeof pool === 'string' ? poolFault(pool, pools) : undefined
  if (fault !== undefined) {
    problems.push(problem('pool', fault))
    delete defaults.site.pool
  }
  const noTls = defaults.site.tls === 'auto' ? autoFault({ acme, listenTls }) : undefined
  if (noTls !== undefined) problems.push(problem('tls', noTls))
  const wrong = new Set<string>()
  for (const { key, message, other, otherMessage } of limitFaults(siteSchema.shape.limits.parse(defaults.limits))) {
    problems.push(Object.hasOwn(defaults.limits, key) ? problem(key, message) : problem(other, otherMessage))
    wrong.add(key).add(other)
  }
  for (const key of wrong) delete defaults.limits[key]
  return problems
}
