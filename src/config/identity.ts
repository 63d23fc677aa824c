/**
 * Names of users and groups to their numbers, as the system's own files have them (passwd(5), group(5)).
 *
 * Limits: users of a directory service that are not in these files have to be given by number. Only a server that runs as
 * root can become somebody else.
 */
import { readFileSync } from 'node:fs'
import { quote } from './problems.ts'
import { nearest } from './suggest.ts'
import type { Read } from './units.ts'

/** A user and a group of the system, by number. */
export interface Identity {
  uid: number
  gid: number
}

/** One line of passwd or group. */
interface Entry {
  name: string
  id: number
  /** The user's own group; not there in group. */
  gid: number
  /** Of a user, where they are known. */
  home: string | undefined
  shell: string | undefined
}

/** Node starts no process for a higher one. Directory services give out numbers of ten digits. */
const MAX_ID = 2_147_483_647

/** Who is meant, or why nobody can be, and which of the two keys is wrong. */
export type IdentityRead = { value: Identity } | { problem: string; key: 'user' | 'group' }

/** Reads `user` and `group`. @param group without it, the user's own */
export function readIdentity(user: string, group: string | undefined): IdentityRead {
  const found = find('/etc/passwd', user, 'user')
  if ('problem' in found) return { ...found, key: 'user' }
  const own = group === undefined ? undefined : find('/etc/group', group, 'group')
  if (own !== undefined && 'problem' in own) return { ...own, key: 'group' }
  const identity = { uid: found.value.id, gid: own?.value.id ?? found.value.gid }
  const isOwn = process.getuid?.() === identity.uid && process.getgid?.() === identity.gid
  if (process.getuid?.() === 0 || isOwn) return { value: identity }
  const problem = `${quote(user)}: only a server that is started as root can run sites as somebody else`
  return { problem, key: 'user' }
}

/** What says in an environment who and where at home somebody is. */
const OF_A_USER = ['HOME', 'USER', 'LOGNAME', 'SHELL'] as const
/** The home of who has none, as Debian has it: without HOME `os.homedir()` throws for a user whom the system does not know. */
const NO_HOME = '/nonexistent'

/**
 * The environment for a process of a user's, made of that of the server: a program that took the server's home for its own would
 * look there for what it may not read, and write where it may not.
 *
 * @param identity as the server where undefined. The home of a user that the system does not know is `NO_HOME`
 */
export function environmentAs<V extends string | undefined>(
  identity: Identity | undefined,
  env: Readonly<Record<string, V>>,
): Record<string, V | string> {
  if (identity === undefined || identity.uid === process.getuid?.()) return env
  const made: Record<string, V | string> = { ...env }
  for (const name of OF_A_USER) delete made[name]
  const entry = entriesOf('/etc/passwd').find((one) => one.id === identity.uid)
  if (entry === undefined) return { ...made, HOME: NO_HOME }
  const { name, home = NO_HOME, shell } = entry
  return {
    ...made,
    USER: name,
    LOGNAME: name,
    HOME: home,
    ...(shell === undefined ? {} : { SHELL: shell }),
  }
}

/** The name of a user; the number where the system does not know it. */
export function userName(uid: number): string {
  return entriesOf('/etc/passwd').find((one) => one.id === uid)?.name ?? String(uid)
}

function find(file: string, name: string, what: string): Read<Entry> {
  const entries = entriesOf(file)
  const entry = entries.find((one) => one.name === name) ?? entryOf(name, entries)
  if (entry !== undefined && entry.id <= MAX_ID) return { value: entry }
  if (entry !== undefined) return { problem: `${quote(name)} is no ${what}: the highest number is ${MAX_ID}` }
  const meant = nearest(
    name,
    entries.map((one) => one.name),
  )
  const hint = meant === undefined ? '; write a number for one that is not in that file' : `; did you mean ${meant}?`
  return { problem: `there is no ${what} ${quote(name)} in ${file}${hint}` }
}

/** @param id in digits: also of one whom the file does not have */
function entryOf(id: string, entries: readonly Entry[]): Entry | undefined {
  if (!isNumber(id)) return undefined
  const unknown = { name: id, id: Number(id), gid: Number(id), home: undefined, shell: undefined }
  return entries.find((one) => one.id === unknown.id) ?? unknown
}

function isNumber(text: string | undefined): text is string {
  return text !== undefined && /^\d+$/.test(text)
}

function entriesOf(file: string): Entry[] {
  try {
    const lines = readFileSync(file, 'utf8').split('\n')
    return lines
      .map((line) => line.split(':'))
      .flatMap(([name, , id, gid, , home, shell]) =>
        // A number that is missing would be read as that of root.
        name === undefined || !isNumber(id)
          ? []
          : [
              {
                name,
                id: Number(id),
                gid: Number(isNumber(gid) ? gid : id),
                home: home || undefined,
                shell: shell || undefined,
              },
            ],
      )
  } catch {
    return [] // not to be read: numbers still work
  }
}
