/**
 * How long a thread was ready to run and got no processor, as the kernel counts it. Linux only; elsewhere, and where the
 * kernel does not count (CONFIG_SCHED_INFO), it is 0, and a thread that is starved looks like one that is busy.
 *
 * Why: an event loop counts as busy while its thread waits for a processor. On a box whose cores are all in use every
 * thread looks busy then, and a site that spreads to more threads makes it worse (18,000 requests/s with two threads
 * beside 31,000 with one, docs/performance.md).
 */
import { readFileSync, readlinkSync } from 'node:fs'

/** The kernel's number of the calling thread; 0 where there is no /proc. */
export function kernelThreadId(): number {
  try {
    // `/proc/thread-self` is `PID/task/TID`.
    return Number(readlinkSync('/proc/thread-self').split('/').at(-1))
  } catch {
    return 0
  }
}

/** Total run delay of a thread of this process, in ms; 0 when it cannot be known (Documentation/scheduler/sched-stats.rst). */
export function runDelayMs(threadId: number): number {
  if (threadId === 0) return 0
  try {
    const [, delayNs] = readFileSync(`/proc/self/task/${threadId}/schedstat`, 'latin1').split(' ')
    return Number(delayNs) / 1e6
  } catch {
    return 0
  }
}
