/**
 * What the kernel knows of a thread: its number, how long it ran, and how long it was ready to run and got no processor.
 * Linux only; elsewhere, and where the kernel does not count (CONFIG_SCHED_INFO), the times are 0, and a thread that is
 * starved looks like one that is busy.
 *
 * Why: an event loop counts as busy while its thread waits for a processor. On a box whose cores are all in use every
 * thread looks busy then, and a site that spreads to more threads makes it worse (18,000 requests/s with two threads
 * beside 31,000 with one, docs/performance.md).
 */
import { readFileSync, readlinkSync } from 'node:fs'

/** Times since the thread began, in ms. */
export interface KernelTimes {
  ranMs: number
  /** Ready to run, without a processor. */
  delayedMs: number
}

/** The kernel's number of the calling thread; 0 where there is no /proc. */
export function kernelThreadId(): number {
  try {
    // `/proc/thread-self` is `PID/task/TID`.
    return Number(readlinkSync('/proc/thread-self').split('/').at(-1))
  } catch {
    return 0
  }
}

/** The times of a thread of this process; 0 when they cannot be known (Documentation/scheduler/sched-stats.rst). */
export function kernelTimes(threadId: number): KernelTimes {
  if (threadId === 0) return { ranMs: 0, delayedMs: 0 }
  try {
    const [ranNs, delayedNs] = readFileSync(`/proc/self/task/${threadId}/schedstat`, 'latin1').split(' ')
    return { ranMs: Number(ranNs) / 1e6, delayedMs: Number(delayedNs) / 1e6 }
  } catch {
    return { ranMs: 0, delayedMs: 0 }
  }
}
