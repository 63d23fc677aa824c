/**
 * What processes and all their descendants have used, from `/proc`: Linux only.
 *
 * CPU time is utime + stime, in ticks of 10 ms, with what ended children left to their parents. Memory is the
 * proportional set size: a page that several processes map counts for each with its share, so sums are right.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** `sysconf(_SC_CLK_TCK)` is 100 on every Linux of today. */
export const US_PER_TICK = 10_000
/** Fields of /proc/PID/stat behind the name, from `state` on: utime, stime, cutime, cstime (proc(5): 14 to 17). */
const FIRST_TIME_FIELD = 11

/** The processes and all below them, each once. */
export function processTree(roots: readonly number[]): number[] {
  const pids = new Set<number>()
  const open = [...roots]
  for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
    if (pids.has(pid)) continue
    pids.add(pid)
    open.push(...childrenOf(pid))
  }
  return [...pids]
}

/** CPU time of the processes and all below them since they started, in µs. */
export function cpuUs(roots: readonly number[]): number {
  let ticks = 0
  for (const pid of processTree(roots)) ticks += cpuTicks(pid)
  return ticks * US_PER_TICK
}

/** Memory of the processes and all below them (PSS), in bytes. */
export function pssBytes(roots: readonly number[]): number {
  let kilobytes = 0
  for (const pid of processTree(roots)) kilobytes += pssKilobytes(pid)
  return kilobytes * 1024
}

function childrenOf(pid: number): number[] {
  return ifThere(() => readdirSync(`/proc/${pid}/task`), []).flatMap((thread) => {
    const text = ifThere(() => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8'), '')
    return text.split(' ').filter(Boolean).map(Number)
  })
}

function cpuTicks(pid: number): number {
  const text = ifThere(() => readFileSync(`/proc/${pid}/stat`, 'utf8'), '')
  // The name may hold blanks and parentheses: what counts begins behind its last one.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const times = fields.slice(FIRST_TIME_FIELD, FIRST_TIME_FIELD + 4)
  return times.reduce((sum, field) => sum + Number(field), 0)
}

function pssKilobytes(pid: number): number {
  const text = ifThere(() => readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'), '')
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0)
}

/** A process may end between being listed and being read: it counts no more then. */
function ifThere<T>(read: () => T, otherwise: T): T {
  try {
    return read()
  } catch {
    return otherwise
  }
}
