/**
 * What else the machine is doing: a figure taken while others work is about them as well.
 *
 * Others are all but this process and its descendants. Other guests of the same host are not seen.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { cpuUs, US_PER_TICK } from './process-tree.ts'

/** Share of the machine from which others count as disturbing. */
export const DISTURBING = 0.08

const LOOK_MS = 500
const PATIENCE_MS = 60_000

/** @returns a function that says which share of the machine's CPU time others have had since, 0 to 1 */
export function watchOthers(): () => number {
  const startedAt = performance.now()
  const before = othersCpuUs()
  return () => {
    const machineUs = (performance.now() - startedAt) * 1000 * availableParallelism()
    return Math.max(0, othersCpuUs() - before) / machineUs
  }
}

/** Resolves when others do little, after a minute in any case. */
export async function quietMoment(): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (performance.now() < deadline) {
    const others = watchOthers()
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    if (others() < DISTURBING) return
  }
}

function othersCpuUs(): number {
  // proc(5): user nice system idle iowait irq softirq. What the kernel does for a process in interrupts is counted here
  // by itself, and in the process's own time as well.
  const fields = readFileSync('/proc/stat', 'utf8').split(/\s+/, 8).map(Number)
  const ticks = [1, 2, 3, 6, 7].reduce((sum, at) => sum + (fields[at] ?? 0), 0)
  return ticks * US_PER_TICK - cpuUs([process.pid])
}
