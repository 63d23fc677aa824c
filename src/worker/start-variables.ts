/**
 * Variables in the environment of a site that Node reads when a process starts, and never again: by then none is the site's. A
 * process of its own is given the time zone before the site's code runs; of the others, and where a process is shared, the
 * site's log says that they do nothing, and what to do.
 *
 * Limit: those that most programs are started with are known; native code may read more. Invariant: nothing is said of a
 * variable that vhostel itself was started with, with the same value.
 */
import { askSupervisor } from './own-process.ts'
import { runOutside } from './request-context.ts'
import type { Site } from './site.ts'

const FOR_SERVER = 'start vhostel itself with it'
const CURES: readonly [name: string, cure: string][] = [
  ['NODE_OPTIONS', 'import what it names in the first line of the module'],
  ['NODE_EXTRA_CA_CERTS', FOR_SERVER],
  ['NODE_USE_ENV_PROXY', FOR_SERVER],
  ['UV_THREADPOOL_SIZE', FOR_SERVER],
]

/** Before the site's code runs. @param alone whether the process is the site's own */
export function takeStartVariables(site: Site, alone: boolean): void {
  const { env } = site.order
  const started = runOutside(() => ({ ...process.env }))
  const isNew = (name: string): boolean => env[name] !== undefined && env[name] !== started[name]
  for (const [name, cure] of CURES) if (isNew(name)) tell(site, name, cure)
  if (!isNew('TZ')) return
  if (alone) setTimeZone(env.TZ as string)
  else tell(site, 'TZ', "'isolation = process' gives the site a process with a time zone of its own")
}

function tell(site: Site, name: string, cure: string): void {
  site.log.write(
    'warn',
    `${name} in the environment of the site does nothing, for it is read when a process starts: ${cure}`,
  )
}

/** One that the system does not know is UTC, as on plain Node. */
function setTimeZone(name: string): void {
  try {
    askSupervisor('timezone', name)
  } catch {
    // It did not answer in time: it is about to be replaced.
  }
}
