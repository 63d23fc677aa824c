/**
 * How many processes and threads the pool has, and why. Pure: what the machine is comes in, a size and a sentence go
 * out. docs/sizing.md explains the rule to users.
 *
 * Invariant: at least one process with one thread; never more memory for empty threads than a quarter of the machine.
 */
import { availableParallelism, totalmem } from 'node:os'
import type { Range } from '../config/units.ts'
import { PROCESS_BYTES, THREAD_BYTES } from '../core/footprint.ts'
import { memoryLimit, ownCgroup } from './cgroup.ts'

const MAX_THREADS = 4
const MAX_PROCESSES = 32

export interface Machine {
  /** Cores that may be used, cgroup quota and affinity counted. */
  cores: number
  /** Memory that may be used, in bytes, cgroup limit counted. */
  memoryBytes: number
}

/** What the user said of a pool. */
export interface WantedSize {
  processes: Range | 'auto'
  threads: Range | 'auto'
  /** What all its processes may take together; undefined: no limit. */
  memoryBytes?: number | undefined
}

export interface PoolSize {
  processes: Range
  /** Threads in each process. */
  threads: Range
  /** Such as `2 cores, 24 GB: 2 processes × 1–4 threads`. */
  reason: string
}

/**
 * The machine as this process may use it. Node counts the cgroup's limits in both figures, of cgroup v2 only those of the
 * very cgroup that the process is in, so those above it are looked at here.
 */
export function thisMachine(): Machine {
  const own = ownCgroup()
  const constrained = process.constrainedMemory() || Number.POSITIVE_INFINITY
  const above = own === undefined ? Number.POSITIVE_INFINITY : memoryLimit(own)
  return { cores: availableParallelism(), memoryBytes: Math.min(constrained, above, totalmem()) }
}

/**
 * Sizes the pool: a process for each core (a crash costs one core's share), one thread in each and up to four as there is
 * work; two where there is one process, so that one may block while the other works. Fewer processes where memory is
 * short. Numbers given by the user are taken as they are.
 */
export function poolSize(machine: Machine, wanted: WantedSize): PoolSize {
  const least = wanted.threads === 'auto' ? 1 : wanted.threads.min
  const byMemory = Math.floor(
    Math.min(machine.memoryBytes, wanted.memoryBytes ?? machine.memoryBytes) /
      4 /
      (PROCESS_BYTES + least * THREAD_BYTES),
  )
  const byCores = Math.min(machine.cores, MAX_PROCESSES)
  const automatic = Math.max(1, Math.min(byCores, byMemory))
  const processes = wanted.processes === 'auto' ? { min: automatic, max: automatic } : wanted.processes
  const threads = wanted.threads === 'auto' ? { min: processes.min === 1 ? 2 : 1, max: MAX_THREADS } : wanted.threads
  const short = wanted.processes === 'auto' && byMemory < byCores ? ', as memory allows' : ''
  const given = wanted.processes !== 'auto' && wanted.threads !== 'auto' ? ', as configured' : ''
  return { processes, threads, reason: `${describe(machine)}: ${sizeText(processes, threads)}${short}${given}` }
}

/** `2 processes × 1–4 threads` */
function sizeText(processes: Range, threads: Range): string {
  return `${counted(processes, 'process', 'processes')} × ${counted(threads, 'thread', 'threads')}`
}

function counted({ min, max }: Range, one: string, many: string): string {
  return min === max ? plural(min, one, many) : `${min}–${max} ${many}`
}

function describe(machine: Machine): string {
  const gigabytes = machine.memoryBytes / 1024 ** 3
  const memory = gigabytes >= 1 ? `${Math.round(gigabytes)} GB` : `${Math.round(gigabytes * 1024)} MB`
  return `${plural(machine.cores, 'core', 'cores')}, ${memory}`
}

function plural(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`
}
