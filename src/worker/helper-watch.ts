/**
 * Watches the helper threads of a worker process from its supervisor: libuv's pool, which all its sites share. A site that
 * gives it more than it can do has every neighbour wait that reads a file or looks a name up, while no thread is late.
 *
 * A small job is sent through the pool with each sample; when it waits, the threads count whose jobs there are. Limits: lookups
 * that wait for name servers take half of the helper threads at most, and delay no job of another kind, so they are not seen.
 * Invariant: one job of its own is in the pool at the most, and one count is under way.
 */
import { readdirSync, readFileSync, stat } from 'node:fs'
import { setTimeout as delay, setImmediate } from 'node:timers/promises'
import type { SupervisorReport } from '../core/worker-orders.ts'
import { kernelThreadId, kernelTimes } from './kernel-thread.ts'
import type { SupervisedThread } from './supervised-thread.ts'

/** From this wait on neighbours notice, in ms. */
const LATE_MS = 250
const COUNT_MS = 300
/** What libuv calls them (uv_thread_setname, since 1.50). */
const HELPER = 'libuv-worker'

/** A job that is in the pool: since when, and how long this thread had waited for a processor by then. */
interface Sent {
  at: number
  delayedMs: number
}

type HelpersReport = Extract<SupervisorReport, { type: 'helpers' }>

export class HelperWatch {
  readonly #threads: () => Iterable<SupervisedThread>
  readonly #report: (report: HelpersReport) => void
  readonly #self = kernelThreadId()
  /** Undefined while no job is in the pool. */
  #sent: Sent | undefined
  #isTelling = false

  /** @param threads of the process, as far as sites share it */
  constructor(threads: () => Iterable<SupervisedThread>, report: (report: HelpersReport) => void) {
    this.#threads = threads
    this.#report = report
  }

  /** To be called now and then, while there are requests. */
  look(): void {
    const [first] = this.#threads()
    if (this.#sent !== undefined || first === undefined) return
    this.#sent = { at: performance.now(), delayedMs: kernelTimes(this.#self).delayedMs }
    const late = setTimeout(() => void this.#tell(), LATE_MS)
    stat('/', () => {
      clearTimeout(late)
      this.#sent = undefined
    })
  }

  /** Tells of the job until it is done, and of those that follow it meanwhile. */
  async #tell(): Promise<void> {
    if (this.#isTelling) return
    this.#isTelling = true
    // Where this thread itself was late, the job may be done, and its turn comes now.
    await setImmediate()
    while (this.#sent !== undefined) await this.#count(this.#sent)
    this.#isTelling = false
  }

  async #count(sent: Sent): Promise<void> {
    const before = this.#waitedMs(sent)
    if (before < LATE_MS) return delay(LATE_MS - before)
    const from = performance.now()
    const ranBefore = ranMs()
    const counts = [...this.#threads()].map((thread) => thread.countHelperUse(COUNT_MS))
    const [uses] = await Promise.all([Promise.all(counts), delay(COUNT_MS)])
    const lateMs = this.#sent === sent ? this.#waitedMs(sent) : before
    const countedMs = performance.now() - from
    this.#report({ type: 'helpers', lateMs, ranMs: ranMs() - ranBefore, countedMs, uses: uses.flat() })
  }

  /** Without the time in which this thread got no processor: for that the pool is not to blame. */
  #waitedMs({ at, delayedMs }: Sent): number {
    return performance.now() - at - (kernelTimes(this.#self).delayedMs - delayedMs)
  }
}

/** Processor time of all helper threads since they began, in ms. */
function ranMs(): number {
  let sum = 0
  for (const id of helperIds()) sum += kernelTimes(id).ranMs
  return sum
}

function helperIds(): number[] {
  try {
    return readdirSync('/proc/self/task').map(Number).filter(isHelper)
  } catch {
    return []
  }
}

function isHelper(id: number): boolean {
  try {
    return readFileSync(`/proc/self/task/${id}/comm`, 'latin1').trimEnd() === HELPER
  } catch {
    // It has just ended.
    return false
  }
}
