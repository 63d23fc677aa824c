/**
 * The worker processes and their threads: starts them, keeps their number, notices when one is lost, ends them. Knows
 * nothing of sites and requests.
 *
 * Invariant: a thread is in `threads` from the order to start it until it has ended, whoever noticed that first; lost
 * threads are replaced where their process lives, and a process that comes up gets its number of threads.
 */
import { randomUUID } from 'node:crypto'
import type { Server } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { PoolNotStarted } from '../core/errors.ts'
import { listenUnix } from '../core/listen-unix.ts'
import type { Log } from '../core/log.ts'
import type { SupervisorReport } from '../core/worker-orders.ts'
import type { Exchange } from './exchange.ts'
import { PoolThread } from './pool-thread.ts'
import type { Scheduler } from './scheduler.ts'
import type { PoolSize } from './sizing.ts'
import type { ThreadLinkHandlers } from './thread-link.ts'
import { ThreadLink } from './thread-link.ts'
import { WorkerProcess } from './worker-process.ts'

export interface WorkforceSettings {
  size: PoolSize
  /** Folder for the pool's socket, absolute, 0700. */
  runFolder: string
  /** Environment of the worker processes themselves. */
  env: NodeJS.ProcessEnv
}

export interface WorkforceHandlers {
  /** A thread can take requests; what it says goes to the handlers returned. */
  onReady(thread: PoolThread): ThreadLinkHandlers
  /** A thread is gone; its place in the scheduler is gone too. */
  onGone(thread: PoolThread): void
}

const START_TIMEOUT_MS = 30_000
/** Between being told to end and being ended, for a thread and for a process, in ms. */
const CLOSE_GRACE_MS = 2_000
const SAMPLE_EVERY_MS = 250

export class Workforce {
  readonly threads = new Map<number, PoolThread>()
  readonly #settings: WorkforceSettings
  readonly #scheduler: Scheduler<Exchange>
  readonly #handlers: WorkforceHandlers
  readonly #log: Log
  readonly #processes: WorkerProcess[] = []
  readonly #socketPath: string
  /** Folder where Node keeps compiled code: a site loads faster in its second thread, and after a restart. */
  readonly #cache: string
  readonly #server: Server
  #lastThread = 0
  #sampler: NodeJS.Timeout | undefined
  #closing = false
  #onReady = (): void => {}

  constructor(settings: WorkforceSettings, scheduler: Scheduler<Exchange>, handlers: WorkforceHandlers, log: Log) {
    this.#settings = settings
    this.#scheduler = scheduler
    this.#handlers = handlers
    this.#log = log
    this.#socketPath = join(settings.runFolder, 'pool.sock')
    this.#cache = join(settings.runFolder, 'compile-cache')
    this.#server = createServer((socket) => new ThreadLink(socket, (...hello) => this.#greet(...hello)))
  }

  /** Threads that are wanted. */
  get size(): number {
    return this.#settings.size.processes * this.#settings.size.threads
  }

  /** Threads that take requests. */
  get ready(): number {
    let count = 0
    for (const thread of this.threads.values()) if (thread.state === 'ready') count++
    return count
  }

  /**
   * Starts all processes and threads; resolves when every thread is ready.
   *
   * @throws VHOSTEL_POOL_NOT_STARTED when they are not within 30 s
   */
  async start(): Promise<void> {
    await listenUnix(this.#server, this.#socketPath)
    const ready = this.#allReady()
    for (let index = 0; index < this.#settings.size.processes; index++) {
      this.#processes.push(new WorkerProcess(index, this.#settings.env, this.#processHandlers(), this.#log))
    }
    await ready
  }

  /**
   * Starts one thread more, in the process with the fewest.
   *
   * @returns the thread once it takes requests; undefined when no process is up, or it did not come up
   */
  async startThread(): Promise<PoolThread | undefined> {
    let fewest: { process: WorkerProcess; threads: number } | undefined
    for (const process of this.#processes) {
      const threads = this.#threadsOf(process).length
      if (process.up && (fewest === undefined || threads < fewest.threads)) fewest = { process, threads }
    }
    if (fewest === undefined) return undefined
    const thread = this.#startThread(fewest.process)
    return (await thread.started) ? thread : undefined
  }

  /** Ends a thread in order: nothing new, then what it has, then the thread; at the latest after `graceMs`. */
  async retire(thread: PoolThread, graceMs: number): Promise<void> {
    if (thread.state === 'ended') return
    thread.state = 'retiring'
    if (thread.slot !== undefined) this.#scheduler.retireSlot(thread.slot)
    await thread.idle(graceMs)
    thread.process.order({ type: 'stop', thread: thread.id, graceMs: CLOSE_GRACE_MS })
    await thread.ended
  }

  /** Some thread has a crowd: its event loop is looked at until none has. An idle pool is not woken. */
  watchCrowd(isCrowded: (inFlight: number) => boolean): void {
    this.#sampler ??= setInterval(() => {
      for (const process of this.#processes) process.order({ type: 'sample' })
      for (const slot of this.#scheduler.slots) if (isCrowded(slot.inFlight)) return
      clearInterval(this.#sampler)
      this.#sampler = undefined
    }, SAMPLE_EVERY_MS).unref()
  }

  /** Ends every thread and process; within a few seconds, whatever runs in them. */
  async close(): Promise<void> {
    this.#closing = true
    clearInterval(this.#sampler)
    this.#server.close()
    const threads = [...this.threads.values()]
    for (const thread of threads) {
      thread.process.order({ type: 'stop', thread: thread.id, graceMs: CLOSE_GRACE_MS })
    }
    const allEnded = Promise.all(threads.map((thread) => thread.ended))
    await Promise.race([allEnded, delay(CLOSE_GRACE_MS * 2, undefined, { ref: false })])
    await Promise.all(this.#processes.map((process) => process.close(CLOSE_GRACE_MS)))
  }

  // ---- threads -------------------------------------------------------------------------------------------------

  #startThread(process: WorkerProcess): PoolThread {
    const id = ++this.#lastThread
    const thread = new PoolThread(id, randomUUID(), process)
    this.threads.set(id, thread)
    process.order({
      type: 'start',
      thread: id,
      token: thread.token,
      socket: this.#socketPath,
      compileCache: this.#cache,
    })
    const late = setTimeout(() => this.#ended(thread, 'it did not start in time'), START_TIMEOUT_MS)
    void thread.started.then(() => clearTimeout(late))
    return thread
  }

  #greet(link: ThreadLink, id: number, token: string): ThreadLinkHandlers | undefined {
    const thread = this.threads.get(id)
    if (thread === undefined || thread.token !== token || thread.state !== 'starting') return undefined
    thread.connected(link, this.#scheduler.addSlot(id))
    const handlers = this.#handlers.onReady(thread)
    this.#onReady()
    return {
      ...handlers,
      onClosed: (open, error) => {
        handlers.onClosed(open, error)
        this.#ended(thread, error?.message ?? 'its socket closed')
      },
    }
  }

  /** The thread is gone, whoever noticed first. Its replacement starts where its process lives. */
  #ended(thread: PoolThread, why: string): void {
    if (thread.state === 'ended') return
    const wasRetiring = thread.state === 'retiring'
    thread.end()
    this.threads.delete(thread.id)
    if (thread.slot !== undefined) this.#scheduler.removeSlot(thread.slot)
    thread.link?.close()
    if (!this.#closing && !wasRetiring) this.#replace(thread, why)
    if (!this.#closing) this.#handlers.onGone(thread)
  }

  #replace(thread: PoolThread, why: string): void {
    this.#log.error({ thread: thread.id, process: thread.process.index, why }, 'thread ended')
    thread.process.order({ type: 'stop', thread: thread.id, graceMs: 0 })
    if (thread.process.up && this.threads.size < this.size) this.#startThread(thread.process)
  }

  // ---- processes -----------------------------------------------------------------------------------------------

  #processHandlers(): ConstructorParameters<typeof WorkerProcess>[2] {
    return {
      onUp: (process) => {
        // Some may have been ordered while it was still starting.
        const present = this.#threadsOf(process).length
        for (let count = present; count < this.#settings.size.threads; count++) this.#startThread(process)
      },
      onReport: (report) => this.#report(report),
      onDown: (process, why) => {
        for (const thread of this.#threadsOf(process)) this.#ended(thread, `its process ended: ${why}`)
      },
    }
  }

  #report(report: SupervisorReport): void {
    if (report.type === 'ended') {
      const thread = this.threads.get(report.thread)
      if (thread !== undefined) this.#ended(thread, report.error ?? `exit code ${report.code}`)
    } else if (report.type === 'sample') {
      for (const sample of report.threads) {
        const slot = this.threads.get(sample.thread)?.slot
        if (slot !== undefined) this.#scheduler.sampled(slot, sample.utilisation, sample.busyMs)
      }
    }
  }

  #allReady(): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new PoolNotStarted(this.ready, this.size)), START_TIMEOUT_MS)
      this.#onReady = () => {
        if (this.ready < this.size) return
        clearTimeout(late)
        this.#onReady = () => {}
        resolve()
      }
    })
  }

  #threadsOf(process: WorkerProcess): PoolThread[] {
    return [...this.threads.values()].filter((thread) => thread.process === process)
  }
}
