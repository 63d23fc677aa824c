/**
 * What the memory of this machine is used for, as the kernel tells it: the figures of the memory ceiling.
 *
 * Limit: Linux. Elsewhere, or where /proc is not to be read, there are no figures, and the advice says so.
 */
import { readFile } from 'node:fs/promises'
import { readPss } from '../core/footprint.ts'

/** All in bytes. */
export interface MemoryUse {
  ramBytes: number
  /** The kernel's own: slabs that it cannot give back, page tables, stacks. */
  systemBytes: number
  /** Pages of files that are in use: taken away, they would be read from the disk again. */
  diskCacheBytes: number
  /** Programs other than the server, and files in memory (tmpfs). */
  otherBytes: number
  /** The dispatcher. */
  dispatcherBytes: number
  /** Mean of the worker processes; 0 where there is none. */
  perProcessBytes: number
}

/** Our own processes: what each takes, by process id. */
export type ProcessMemory = ReadonlyMap<number, number>

/** @param pid of the dispatcher @returns undefined where the machine does not say */
export async function readMemory(pid: number | undefined, workers: ProcessMemory): Promise<MemoryUse | undefined> {
  const text = await readFile('/proc/meminfo', 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const pss = await Promise.all([...workers].map(async ([worker, rssBytes]) => (await readPss(worker)) ?? rssBytes))
  const dispatcherBytes = pid === undefined ? 0 : ((await readPss(pid)) ?? 0)
  return memoryUse(text, pss, dispatcherBytes)
}

/** The sum from the text of /proc/meminfo. @param workers memory of each worker process, in bytes */
export function memoryUse(meminfo: string, workers: readonly number[], dispatcherBytes: number): MemoryUse {
  const bytes = (key: string): number => 1024 * Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(meminfo)?.[1] ?? 0)
  const own = workers.reduce((sum, each) => sum + each, dispatcherBytes)
  return {
    ramBytes: bytes('MemTotal'),
    systemBytes: bytes('SUnreclaim') + bytes('KernelStack') + bytes('PageTables') + bytes('Percpu'),
    diskCacheBytes: bytes('Active\\(file\\)'),
    otherBytes: Math.max(0, bytes('AnonPages') + bytes('Shmem') - own),
    dispatcherBytes,
    perProcessBytes: workers.length === 0 ? 0 : (own - dispatcherBytes) / workers.length,
  }
}
