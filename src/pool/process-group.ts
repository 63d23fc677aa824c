/**
 * One group of worker processes and their threads: the default pool, a named one, or the process of a single site. Knows
 * how many threads are wanted now, where the next one goes and which process is one too many; starts and ends nothing
 * itself.
 *
 * Invariant: `size` is between the least and the most that the settings allow.
 */
import { DEFAULT_POOL } from '../config/site-schema.ts'
import type { Range } from '../config/units.ts'
import type { PoolThread } from './pool-thread.ts'
import type { RecyclingLimits } from './recycling.ts'
import type { Brake, ProcessOptions, WorkerProcess } from './worker-process.ts'

/** What its threads and processes may take. */
export interface GroupLimits extends RecyclingLimits {
  /** All processes of the group together, in bytes; undefined: no limit. */
  memoryBytes: number | undefined
}

export interface GroupSettings {
  name: string
  /** The pool whose memory it shares: itself, or where its only site belongs. */
  pool: string
  processes: Range
  /** In each process. */
  threads: Range
  /** Why this size, in words. */
  reason: string
  limits: GroupLimits
  process: ProcessOptions
  brake: Brake
  /** Whether it is the process of one site. */
  isOwn: boolean
}

const READY_TIMEOUT_MS = 30_000

/** The group of the sites that say nothing else. */
export const DEFAULT_GROUP = DEFAULT_POOL

export class ProcessGroup {
  readonly settings: GroupSettings
  readonly processes: WorkerProcess[] = []
  readonly threads = new Set<PoolThread>()
  #isClosing = false
  #size: number
  readonly #waiters = new Set<(isReady: boolean) => void>()

  constructor(settings: GroupSettings) {
    this.settings = settings
    this.#size = this.least
  }

  get name(): string {
    return this.settings.name
  }

  /** Whether it is being taken away. */
  get closing(): boolean {
    return this.#isClosing
  }

  get least(): number {
    return this.settings.processes.min * this.settings.threads.min
  }

  get most(): number {
    return this.settings.processes.max * this.settings.threads.max
  }

  /** Threads that are wanted now. */
  get size(): number {
    return this.#size
  }

  /** Wants so many threads from now on, as far as the settings allow. */
  resize(threads: number): void {
    this.#size = Math.min(this.most, Math.max(this.least, threads))
  }

  /** Threads that take requests. */
  get ready(): number {
    let count = 0
    for (const thread of this.threads) if (thread.state === 'ready') count++
    return count
  }

  /** Threads that take requests, or are about to. */
  get present(): number {
    let count = 0
    for (const thread of this.threads) if (thread.state === 'ready' || thread.state === 'starting') count++
    return count
  }

  /** Resolves once a thread takes requests, with true; with false when none does within 30 s, or the group is closed. */
  whenReady(): Promise<boolean> {
    if (this.#isClosing) return Promise.resolve(false)
    if (this.ready > 0) return Promise.resolve(true)
    return new Promise((resolve) => {
      const settle = (isReady: boolean): void => {
        clearTimeout(timer)
        this.#waiters.delete(settle)
        resolve(isReady)
      }
      const timer = setTimeout(settle, READY_TIMEOUT_MS, false)
      this.#waiters.add(settle)
    })
  }

  /** To be called when a thread takes requests. */
  becameReady(): void {
    for (const settle of this.#waiters) settle(true)
  }

  /** It is taken away: nothing of it is replaced, and nobody waits for it any more. */
  close(): void {
    this.#isClosing = true
    for (const settle of this.#waiters) settle(false)
  }

  threadsOf(process: WorkerProcess): PoolThread[] {
    return [...this.threads].filter((thread) => thread.process === process)
  }

  /** Where one thread more goes: the process that is up, for longer, and has the fewest. */
  roomiest(): WorkerProcess | undefined {
    let best: { process: WorkerProcess; threads: number } | undefined
    for (const process of this.processes) {
      const threads = this.threadsOf(process).length
      if (process.takesThreads && (best === undefined || threads < best.threads)) best = { process, threads }
    }
    return best?.process
  }

  /** Whether the next thread is better off in a process more. */
  get needsProcess(): boolean {
    const { processes, threads } = this.settings
    return this.processes.length < processes.max && this.#size > this.processes.length * threads.max
  }

  /** Whether the threads that are wanted fit in a process fewer, and that may be. */
  get needsProcessLess(): boolean {
    const { processes, threads } = this.settings
    const others = this.processes.length - 1
    return others >= processes.min && this.#size <= others * threads.max
  }

  /**
   * The process that is one too many, if there is one that can be emptied: of these the one whose sites keep the least, then
   * the one with the fewest threads, then the youngest.
   */
  get spareProcess(): WorkerProcess | undefined {
    if (!this.needsProcessLess) return undefined
    const [spare] = this.processes
      .map((process) => ({ process, threads: this.threadsOf(process) }))
      .filter((one) => one.threads.every((thread) => thread.mayLeave))
      .filter((one) => this.processes.some((other) => other !== one.process && other.takesThreads))
      .sort(
        (a, b) =>
          statefulOf(a.threads) - statefulOf(b.threads) ||
          a.threads.length - b.threads.length ||
          b.process.index - a.process.index,
      )
    return spare?.process
  }
}

function statefulOf(threads: readonly PoolThread[]): number {
  return threads.reduce((sum, { stateful }) => sum + stateful, 0)
}
