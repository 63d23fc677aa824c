/**
 * What stands before a site, as its INI file says it: [door] and [headers], and the files that they name.
 *
 * The files are read here, with the INI file, so that what is wrong in them is told with its line, and a change of them is
 * a change of the site's settings. Limits: those of text-file.ts and of error-pages.ts.
 */
import { z } from 'zod'
import type { ErrorPages } from './error-pages.ts'
import { readErrorPages } from './error-pages.ts'
import { foreignWord } from './foreign-words.ts'
import { readHtpasswd } from './htpasswd.ts'
import { isInside } from './inside.ts'
import type { Network } from './network.ts'
import { networks } from './network.ts'
import { fileProblem, quote } from './problems.ts'
import type { Rate } from './rate.ts'
import { rate } from './rate.ts'
import { anySection, optional, section, setting } from './settings.ts'
import type { SiteBeingRead } from './site-reading.ts'
import { addProblem, addWarning, pathOf, readFileOf } from './site-reading.ts'
import { path, textType } from './units.ts'

const realm = textType<string>(
  'text',
  (found) =>
    /^[\x20-\x7e]{1,100}$/.test(found) && !/["\\]/.test(found)
      ? { value: found }
      : { problem: `${quote(found)} cannot be a realm: 1 to 100 characters of ASCII, without quotes and backslashes` },
  String,
)

/** [door] */
export const doorSection = section(
  'Who may visit the site, and how often. See [Access control and limits](doors.md).',
  {
    allow: optional(
      networks,
      'Addresses and networks that are let in: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`, `unix` (a unix ' +
        'socket). All others get 403.',
    ),
    deny: optional(networks, 'Addresses and networks that get 403, even if `allow` has them.'),
    rate: optional(
      rate,
      'Requests that one address (for IPv6: one /64 network) may make: `10/s`, `100/m`, `10/s burst 20`. More ' +
        'get 429 with `Retry-After`. Without `burst`, the whole number may come at once.',
    ),
    auth: optional(
      path,
      'Password file, as `htpasswd -B` writes it (bcrypt only). Visitors without a valid name and password get ' +
        '401. A relative path starts at the folder of this file.',
    ),
    realm: setting(realm, 'Restricted', 'What browsers show when they ask for the password.'),
  },
)

/** [headers] */
export const headersSection = anySection(
  'Headers to set on every answer of the site. `Name = value` replaces what the answer has; an empty value ' +
    'removes it. There are no variables.',
  z.string(),
  'single',
)

/** Names with the bcrypt hashes of their passwords. */
export interface AuthSettings {
  realm: string
  users: Record<string, string>
}

/** A header of every answer; undefined: it is taken away. */
export type OwnHeader = [name: string, value: string | undefined]

/** What stands before a site; what is undefined does not. Plain data. */
export interface SiteDoors {
  allow: Network[] | undefined
  deny: Network[] | undefined
  rate: Rate | undefined
  auth: AuthSettings | undefined
  headers: OwnHeader[] | undefined
  errors: ErrorPages | undefined
}

const NOTHING: SiteDoors = Object.freeze({
  allow: undefined,
  deny: undefined,
  rate: undefined,
  auth: undefined,
  headers: undefined,
  errors: undefined,
})

/** Reads what stands before a site; problems are added to the site's. @param root of the site, absolute */
export function readDoors(site: SiteBeingRead, root: string, kind: string): SiteDoors {
  const { door } = site.checked.value
  const doors: SiteDoors = {
    allow: door.allow,
    deny: door.deny,
    rate: door.rate,
    auth:
      door.auth === undefined ? undefined : readAuth(site, door.auth, door.realm, kind === 'static' ? root : undefined),
    headers: readHeaders(site),
    errors: readErrorPages(site.checked.value.errors, root, {
      addProblem: (status, message) => addProblem(site, 'errors', status, message),
      addWarning: (status, message) => addWarning(site, 'errors', status, message),
      dependencies: site.load.dependencies,
    }),
  }
  for (const key of ['allow', 'deny'] as const) {
    if (doors[key]?.length === 0)
      addProblem(site, 'door', key, 'is empty: name at least one network, or take the line away')
  }
  return Object.values(doors).every((value) => value === undefined) ? NOTHING : doors
}

/** @param servedRoot the folder that everybody may read, where there is one */
function readAuth(site: SiteBeingRead, path: string, realmName: string, servedRoot: string | undefined): AuthSettings {
  const file = pathOf(site, path)
  if (servedRoot !== undefined && isInside(file, servedRoot)) {
    addProblem(site, 'door', 'auth', `${file} lies in the root of the site, which is served: move it elsewhere`)
  }
  const text = readFileOf(site, 'door', 'auth', file)
  if (text === undefined) return { realm: realmName, users: {} }
  const { users, problems } = readHtpasswd(text)
  for (const { line, message } of problems) site.load.problems.push(fileProblem(file, message, line))
  if (Object.keys(users).length === 0 && problems.length === 0) {
    addProblem(site, 'door', 'auth', `${file} names nobody: add a user (htpasswd -B ${file} NAME)`)
  }
  return { realm: realmName, users }
}

// ---- headers ---------------------------------------------------------------------------------------------------

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const HEADER_VALUE = /^[\t\x20-\x7e]*$/
/** They say how an answer goes over this one connection; that is the server's to say (RFC 9110 §7.6.1). */
const CONNECTION_HEADERS = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** As nginx, Apache and Caddy have them. */
const VARIABLE = /\$(?:\{[a-z]\w*\}|[a-z]\w*)|%\{\w+\}[a-z]?|\{[a-z]+(?:\.[\w.-]+)+\}/
const NO_VARIABLES =
  'is sent as it is written, for headers have no variables here: what differs from answer to answer is set by the code of the site'

const ALWAYS = '"always" is sent as a part of the value; headers are on every answer without it'

function readHeaders(site: SiteBeingRead): OwnHeader[] | undefined {
  const seen = new Set<string>()
  const headers: OwnHeader[] = []
  for (const [name, value] of Object.entries(site.checked.value.headers)) {
    const fault = headerFault(name, value, seen)
    if (fault !== undefined) addProblem(site, 'headers', name, fault)
    const [variable] = VARIABLE.exec(value) ?? []
    if (variable !== undefined) addWarning(site, 'headers', name, `${quote(variable)} ${NO_VARIABLES}`)
    if (/\S always$/.test(value)) addWarning(site, 'headers', name, ALWAYS)
    seen.add(name.toLowerCase())
    headers.push([name, value === '' ? undefined : value])
  }
  return headers.length === 0 ? undefined : headers
}

function headerFault(name: string, value: string, seen: ReadonlySet<string>): string | undefined {
  if (!HEADER_NAME.test(name)) return `${quote(name)} is not the name of a header`
  if (CONNECTION_HEADERS.has(name.toLowerCase())) return 'is not yours to set: the server says how an answer is sent'
  if (name.includes('_') && foreignWord(name) !== undefined) {
    return 'is a word of another server, and would be sent as a header: write the name of the header (X-Frame-Options = DENY)'
  }
  if (seen.has(name.toLowerCase())) return 'is set twice, with other letters: take one away'
  return HEADER_VALUE.test(value) ? undefined : `${quote(value)} cannot be sent: only visible characters of ASCII can`
}
