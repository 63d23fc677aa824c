/**
 * What processes take in memory: as it was measured beforehand, and as the kernel says now.
 *
 * Limit: the kernel's word is to be had on Linux only.
 */
import { readFile } from 'node:fs/promises'

/** A worker process and a thread before any site is loaded, in bytes (measured: docs/sizing.md). */
export const PROCESS_BYTES = 46 * 1024 ** 2
export const THREAD_BYTES = 22 * 1024 ** 2

/**
 * Memory of a process with its part of what it shares, in bytes (proc(5), smaps_rollup).
 *
 * @returns undefined where it may not be read, or the process is gone
 */
export async function readPss(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'latin1').catch(() => '')
  const found = /^Pss:\s+(\d+) kB/m.exec(text)
  return found === null ? undefined : Number(found[1]) * 1024
}
