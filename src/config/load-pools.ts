/**
 * The pools of vhostel.ini: [pool] for all sites, and a [pool NAME] for each that has processes of its own.
 *
 * Invariant: the default pool is always the first, also in a file that says nothing of pools.
 */
import type { z } from 'zod'
import type { Checked } from './check.ts'
import { checkDocument, createChecker, keyProblem } from './check.ts'
import type { Identity } from './identity.ts'
import { readIdentity } from './identity.ts'
import type { IniDocument, IniSection } from './ini.ts'
import { formatSize } from './measures.ts'
import type { Problem } from './problems.ts'
import { fileProblem, quote } from './problems.ts'
import type { PoolConfig } from './server-schema.ts'
import { namedPoolSchema, serverSchema } from './server-schema.ts'
import { DEFAULT_POOL } from './site-schema.ts'

export interface PoolsRead {
  pools: [PoolConfig, ...PoolConfig[]]
  problems: Problem[]
}

type PoolKeys = z.output<typeof namedPoolSchema>['pool']

const HEADER = /^pool (.+)$/
const NAME = /^[a-z][a-z0-9_-]{0,31}$/
const checker = createChecker(namedPoolSchema, [{ file: undefined, schema: serverSchema }])

/** Takes the [pool NAME] sections out of a document. */
export function splitPools(document: IniDocument): { document: IniDocument; named: Map<string, IniSection> } {
  const sections = new Map<string, IniSection>()
  const named = new Map<string, IniSection>()
  for (const [header, section] of document.sections) {
    const name = HEADER.exec(header)?.[1]
    if (name === undefined) sections.set(header, section)
    else named.set(name, section)
  }
  return { document: { ...document, sections }, named }
}

/** Says that a key of a pool is wrong. */
type AddProblem = (key: string, message: string) => void

/** Checks all pools. @param checked what the rest of the file came to */
export function readPools(
  file: string,
  document: IniDocument,
  named: ReadonlyMap<string, IniSection>,
  checked: Checked<z.output<typeof serverSchema>>,
): PoolsRead {
  const problems: Problem[] = []
  const add: AddProblem = (key, message) => problems.push(keyProblem(document, file, 'pool', key, message))
  const pools: PoolsRead['pools'] = [poolConfig(DEFAULT_POOL, checked.value.pool, add)]
  for (const [name, section] of named) {
    const read = readNamedPool(file, name, section)
    pools.push(read.pool)
    problems.push(...read.problems.map((problem) => ({ ...problem, section: `pool ${name}` })))
  }
  return { pools, problems }
}

function readNamedPool(file: string, name: string, section: IniSection): { pool: PoolConfig; problems: Problem[] } {
  const own: IniDocument = { sections: new Map([['pool', section]]), problems: [] }
  const problems: Problem[] = []
  if (name === DEFAULT_POOL || !NAME.test(name)) problems.push(nameProblem(file, name, section.line))
  const read = checkDocument(checker, own, file)
  problems.push(...read.problems)
  const add: AddProblem = (key, message) => problems.push(keyProblem(own, file, 'pool', key, message))
  return { pool: poolConfig(name, read.value.pool, add), problems }
}

function nameProblem(file: string, name: string, line: number): Problem {
  const rule =
    name === DEFAULT_POOL
      ? 'is the name of [pool] itself: write [pool]'
      : 'cannot be the name of a pool: lower-case letters, digits, "-" and "_", beginning with a letter, 32 at most'
  return fileProblem(file, `${quote(name)} ${rule}`, line)
}

function poolConfig(name: string, keys: PoolKeys, addProblem: AddProblem): PoolConfig {
  const { memory, process_memory: ofProcess } = keys
  if (memory !== undefined && ofProcess !== undefined && ofProcess > memory) {
    const why = 'which all processes take together: it would never be reached'
    addProblem('process_memory', `is more than memory (${formatSize(memory)}), ${why}`)
  }
  return {
    name,
    processes: keys.processes,
    threads: keys.threads,
    memoryBytes: keys.memory,
    processMemoryBytes: keys.process_memory,
    threadMemoryBytes: keys.thread_memory,
    maxRequests: keys.max_requests,
    maxAgeMs: keys.max_age,
    identity: identityOf(keys, addProblem),
  }
}

function identityOf({ user, group }: PoolKeys, addProblem: AddProblem): Identity | undefined {
  if (user === undefined) {
    if (group !== undefined) addProblem('group', 'has no use without user: name the user too, or take the line away')
    return undefined
  }
  const identity = readIdentity(user, group)
  if ('value' in identity) return identity.value
  addProblem(identity.key, identity.problem)
  return undefined
}
