/**
 * How many processes and threads the pool has, and why. Pure: what the machine is comes in, a size and a sentence go
 * out. docs/sizing.md explains the rule to users.
 *
 * Invariant: at least one process with one thread; never more memory for empty threads than a quarter of the machine.
 */
import { availableParallelism, totalmem } from 'node:os'

/** What a process and a thread take before any site is loaded, in bytes (measured: docs/sizing.md). */
const PROCESS_BYTES = 46 * 1024 ** 2
const THREAD_BYTES = 22 * 1024 ** 2

const THREADS_PER_PROCESS = 2
const MAX_PROCESSES = 32

export interface Machine {
  /** Cores that may be used, cgroup quota and affinity counted. */
  cores: number
  /** Memory that may be used, in bytes, cgroup limit counted. */
  memoryBytes: number
}

export interface PoolSize {
  processes: number
  /** Threads in each process. */
  threads: number
  /** Such as `2 cores, 24 GB: 2 processes × 2 threads`. */
  reason: string
}

/** The machine as this process may use it: Node counts cgroup limits in both figures. */
export function thisMachine(): Machine {
  const constrained = process.constrainedMemory()
  const memoryBytes = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
  return { cores: availableParallelism(), memoryBytes }
}

/**
 * Sizes the pool: a process for each core (a crash costs one core's share), two threads in each (one may block while
 * the other works), fewer where memory is short. Numbers given by the user are taken as they are.
 */
export function poolSize(machine: Machine, wanted: { processes: number | 'auto'; threads: number | 'auto' }): PoolSize {
  const threads = wanted.threads === 'auto' ? THREADS_PER_PROCESS : wanted.threads
  const byMemory = Math.floor(machine.memoryBytes / 4 / (PROCESS_BYTES + threads * THREAD_BYTES))
  const byCores = Math.min(machine.cores, MAX_PROCESSES)
  const automatic = Math.max(1, Math.min(byCores, byMemory))
  const processes = wanted.processes === 'auto' ? automatic : wanted.processes
  const short = wanted.processes === 'auto' && byMemory < byCores ? ', as memory allows' : ''
  const given = wanted.processes !== 'auto' && wanted.threads !== 'auto' ? ', as configured' : ''
  return { processes, threads, reason: `${describe(machine)}: ${sizeText(processes, threads)}${short}${given}` }
}

/** `2 processes × 1 thread` */
function sizeText(processes: number, threads: number): string {
  return `${plural(processes, 'process', 'processes')} × ${plural(threads, 'thread', 'threads')}`
}

function describe(machine: Machine): string {
  const gigabytes = machine.memoryBytes / 1024 ** 3
  const memory = gigabytes >= 1 ? `${Math.round(gigabytes)} GB` : `${Math.round(gigabytes * 1024)} MB`
  return `${plural(machine.cores, 'core', 'cores')}, ${memory}`
}

function plural(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`
}
