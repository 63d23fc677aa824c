/**
 * Says so where two sites of a thread get one instance of a package that keeps what belongs to a single site, as passport
 * keeps the strategies by which visitors log in. In a process of its own each of the sites would work; here the second
 * would silently have the first one's, or put its own in their place.
 *
 * Limits: packages that are known, and only where a site's graph asks for them by name; not where only a package that is
 * itself shared does. Nothing is kept apart: other shared packages have got that instance already.
 */
import type { Site } from './site.ts'

/** What they keep for all who load them. */
const KEPT_BY: Readonly<Record<string, string>> = {
  config: 'settings',
  'firebase-admin': 'apps',
  i18n: 'language and texts',
  i18next: 'language and texts',
  mongoose: 'default connection and models',
  nconf: 'settings',
  objection: 'models and their database',
  passport: 'strategies and serializers',
  'prom-client': 'registered metrics',
  tsyringe: 'registrations',
  typedi: 'registrations',
}

/** Which site of this thread asked first, by the file that it got. */
const owners = new Map<string, string>()
/** Whom it was said to: file and site. */
const told = new Set<string>()

/** @param specifier as code names what it loads */
export function keepsState(specifier: string): boolean {
  return Object.hasOwn(KEPT_BY, specifier)
}

/** A site has asked for a package that keeps state, and gets this file, which is one for all of the thread that get it. */
export function meetShared(site: Site, specifier: string, path: string): void {
  const name = site.order.site
  const owner = owners.get(path)
  if (owner === undefined) owners.set(path, name)
  if (owner === undefined || owner === name || told.has(`${path}\0${name}`)) return
  told.add(`${path}\0${name}`)
  site.log.write('warn', describe(specifier, owner, path))
}

function describe(name: string, owner: string, path: string): string {
  return (
    `shares ${name} with site '${owner}' (${path}), so its ${KEPT_BY[name]} are those of both: ` +
    `give each site its own copy, or one of them isolation = process`
  )
}
