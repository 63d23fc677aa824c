/**
 * Watches the helper threads of a worker process from its supervisor: libuv's pool, which all its sites share. A site that
 * gives it more than it can do has every neighbour wait that reads a file or looks a name up, while no thread is late.
 *
 * A small job is sent through the pool with each sample; when it waits, the threads count whose jobs there are. Limits: lookups
 * that wait for name servers take half of the helper threads at most, and delay no job of another kind, so they are not seen.
 * Invariant: one job of its own is in the pool at the most, and one count is under way.
 */
import { readdirSync, readFileSync, stat } from 'node:fs'
import type { SupervisorReport } from '../core/worker-orders.ts'
import { kernelThreadId, kernelTimes } from './kernel-thread.ts'
import type { SupervisedThread } from './supervised-thread.ts'

/** From this wait on neighbours notice, in ms. */
const LATE_MS = 250
const COUNT_MS = 500
/** What libuv calls them (uv_thread_setname, since 1.50). */
const HELPER = 'libuv-worker'

type HelpersReport = Extract<SupervisorReport, { type: 'helpers' }>

export class HelperWatch {
  readonly #threads: () => Iterable<SupervisedThread>
  readonly #report: (report: HelpersReport) => void
  readonly #self = kernelThreadId()
  /** Since when the present job is in the pool. */
  #sentAt: number | undefined
  /** How long the last one took. */
  #tookMs = 0
  #isCounting = false

  /** @param threads of the process, as far as sites share it */
  constructor(threads: () => Iterable<SupervisedThread>, report: (report: HelpersReport) => void) {
    this.#threads = threads
    this.#report = report
  }

  /** To be called now and then, while there are requests. */
  look(): void {
    const waitedMs = this.#sentAt === undefined ? this.#tookMs : performance.now() - this.#sentAt
    if (this.#sentAt === undefined) this.#send()
    if (waitedMs < LATE_MS || this.#isCounting) return
    this.#isCounting = true
    void this.#count(waitedMs).finally(() => {
      this.#isCounting = false
    })
  }

  #send(): void {
    const from = performance.now()
    const { delayedMs } = kernelTimes(this.#self)
    this.#sentAt = from
    stat('/', () => {
      // Where this thread itself got no processor, the pool is not to blame.
      this.#tookMs = performance.now() - from - (kernelTimes(this.#self).delayedMs - delayedMs)
      this.#sentAt = undefined
    })
  }

  async #count(lateMs: number): Promise<void> {
    const from = performance.now()
    const ranBefore = ranMs()
    const counted = await Promise.all([...this.#threads()].map((thread) => thread.countHelperUse(COUNT_MS)))
    const countedMs = performance.now() - from
    this.#report({ type: 'helpers', lateMs, ranMs: ranMs() - ranBefore, countedMs, uses: counted.flat() })
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
