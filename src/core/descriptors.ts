/**
 * How many file descriptors this process may have, and how many of them clients may take. The kernel gives out the lowest
 * number that is free, so the number of a new one says how many there are.
 *
 * Limit: only Linux tells (proc(5)); elsewhere clients may take all. Invariant: what is kept free is enough for the server to start
 * processes, open files and answer its administrator while clients have all the rest.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** What is kept free: an eighth, within these bounds. */
const LEAST_RESERVE = 32
const MOST_RESERVE = 1024
/** Errors of a process, or a whole machine, that has no descriptor left. */
const EXHAUSTED = new Set(['EMFILE', 'ENFILE'])

/** Descriptors that this process may have; Infinity where that is not known. */
export function mostDescriptors(): number {
  try {
    return readLimit(readFileSync('/proc/self/limits', 'latin1'))
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** What `/proc/PID/limits` says of open files; Infinity where it says nothing, or unlimited. */
export function readLimit(limits: string): number {
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY)
}

/** The first descriptor that is not for clients, of a process that may have `most`. */
export function descriptorsForClients(most: number): number {
  return most - Math.min(MOST_RESERVE, Math.max(LEAST_RESERVE, Math.floor(most / 8)))
}

/** How many clients may have a descriptor, beside what this process has open now; Infinity where that is not known. */
export function roomForClients(): number {
  try {
    const open = readdirSync('/proc/self/fd').length - 1 // the folder itself
    return Math.max(0, descriptorsForClients(mostDescriptors()) - open)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** What a person reads of a failed system call: with the cure where descriptors have run out. */
export function failureText({ code, message }: NodeJS.ErrnoException): string {
  const isExhausted = code !== undefined && EXHAUSTED.has(code)
  return isExhausted ? `${message}: no file descriptor is left; raise LimitNOFILE of the unit, or ulimit -n` : message
}
