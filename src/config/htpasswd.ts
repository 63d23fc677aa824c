/**
 * Files of names and passwords, as Apache's `htpasswd -B` writes them: `name:$2y$10$…`, one a line. Pure.
 *
 * Limits: bcrypt alone, because the other kinds (MD5, SHA-1, crypt) are guessed in hours; costs up to `MAX_COST`, because
 * one of 20 would keep a processor for a minute.
 */
import { quote } from './problems.ts'

export interface Htpasswd {
  /** The hash of each name. */
  users: Record<string, string>
  problems: { line: number; message: string }[]
}

const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/
const MIN_COST = 4
const MAX_COST = 14
const MAX_USERS = 10_000
const CURE = 'make it anew with htpasswd -B'

/** Names of the other kinds by how they begin. */
const OTHER_KINDS: [string, string][] = [
  ['$apr1$', 'MD5 (apr1)'],
  ['$1$', 'MD5'],
  ['{SHA}', 'SHA-1'],
  ['{SSHA}', 'SHA-1'],
  ['$5$', 'SHA-256 crypt'],
  ['$6$', 'SHA-512 crypt'],
  ['$y$', 'yescrypt'],
  ['$argon2', 'Argon2'],
]

/** Reads the text of a file. A message never repeats a hash or a password. */
export function readHtpasswd(text: string): Htpasswd {
  const users = new Map<string, string>()
  const problems: Htpasswd['problems'] = []
  let line = 0
  for (const raw of text.split(/\r\n|\n|\r/)) {
    line++
    const written = raw.trim()
    if (written === '' || written.startsWith('#')) continue
    const colon = written.indexOf(':')
    const name = written.slice(0, Math.max(colon, 0))
    // What stands behind another colon is a comment, as for Apache and nginx.
    const [hash = ''] = written.slice(colon + 1).split(':', 1)
    const message = name === '' ? 'is not name:hash' : fault(name, hash, users)
    if (message === undefined) users.set(name, hash)
    else problems.push({ line, message })
    if (users.size > MAX_USERS) {
      problems.push({ line, message: `more than ${MAX_USERS} names: use another way to know that many people` })
      break
    }
  }
  return { users: Object.fromEntries(users), problems }
}

function fault(name: string, hash: string, users: ReadonlyMap<string, string>): string | undefined {
  if (users.has(name)) return `${quote(name)} is there twice: take one away`
  const cost = Number(BCRYPT.exec(hash)?.[1])
  if (Number.isNaN(cost)) return `the password of ${quote(name)} is ${kindOf(hash)}, not bcrypt: ${CURE}`
  if (cost < MIN_COST)
    return `the password of ${quote(name)} has the cost ${cost}; bcrypt begins at ${MIN_COST}: ${CURE}`
  if (cost > MAX_COST) {
    return `the password of ${quote(name)} has the cost ${cost}, which takes seconds to check; at most ${MAX_COST}: ${CURE}`
  }
  return undefined
}

function kindOf(hash: string): string {
  const kind = OTHER_KINDS.find(([start]) => hash.startsWith(start))?.[1]
  if (kind !== undefined) return kind
  return hash.startsWith('$2') ? 'a damaged hash' : 'no hash that is known, or the password itself'
}
