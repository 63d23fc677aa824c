/**
 * The worker processes and their threads, in groups: starts them, keeps their number, notices when one is lost, ends
 * them. Knows nothing of sites and requests.
 *
 * Invariant: a thread is in `threads` from the order to start it until it has ended, whoever noticed that first; lost
 * threads are replaced where their process lives, and a process that comes up gets its share of its group's threads.
 */
import { randomUUID } from 'node:crypto'
import type { Server } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { backOffMs } from '../core/back-off.ts'
import { PoolNotStarted } from '../core/errors.ts'
import { listenUnix } from '../core/listen-unix.ts'
import type { Log } from '../core/log.ts'
import type { Running } from '../core/thread-board.ts'
import { installedVersion, VERSION } from '../core/version.ts'
import type { SupervisorReport } from '../core/worker-orders.ts'
import type { Exchange } from './exchange.ts'
import type { HelpersReport } from './helper-threads.ts'
import type { KernelMemory } from './kernel-memory.ts'
import { admit } from './other-user.ts'
import type { ThreadFate } from './pool-thread.ts'
import { PoolThread } from './pool-thread.ts'
import type { GroupSettings } from './process-group.ts'
import { DEFAULT_GROUP, ProcessGroup } from './process-group.ts'
import type { Scheduler } from './scheduler.ts'
import type { ThreadLinkHandlers } from './thread-link.ts'
import { ThreadLink } from './thread-link.ts'
import type { ProcessEnd, WorkerProcessHandlers } from './worker-process.ts'
import { WorkerProcess } from './worker-process.ts'

export interface WorkforceSettings {
  /** The groups that are there from the start; the first is `DEFAULT_GROUP`. */
  groups: GroupSettings[]
  /** Folder for the pool's socket, absolute, 0700. */
  runFolder: string
  /** Limits the memory of processes, where the kernel lets us. */
  memory?: KernelMemory | undefined
}

/** What a supervisor says of a thread; see `SupervisorReport`. */
export type ThreadReport = Extract<SupervisorReport, { type: 'revoked' | 'delay' | 'look' | 'stuck' }>
type SampleReport = Extract<SupervisorReport, { type: 'sample' }>

export interface WorkforceHandlers {
  /** A thread can take requests; what it says goes to the handlers returned. */
  onReady(thread: PoolThread): ThreadLinkHandlers
  /** A thread is gone; its place in the scheduler is gone too. */
  onGone(thread: PoolThread): void
  /** A supervisor told of a thread that is there. */
  onReport(thread: PoolThread, report: ThreadReport): void
  /** The supervisor of a process has found that its helper threads are late. */
  onHelpers(process: WorkerProcess, report: HelpersReport): void
  /** A thread was measured: its event loop was busy for so long since the last time. */
  onSampled(thread: PoolThread, busyMs: number): void
  /** A process ended by itself. @param threads those it had */
  onProcessLost(group: ProcessGroup, end: ProcessEnd, threads: PoolThread[]): void
}

const START_TIMEOUT_MS = 30_000
/** Between being told to end and being ended, for a thread and for a process, in ms. */
const CLOSE_GRACE_MS = 2_000
const SAMPLE_EVERY_MS = 250
const SAMPLE_TIMEOUT_MS = 1_000
/** How long after a thread's socket its supervisor, or its process' end, may take to be heard of, in ms. */
const FATE_TIMEOUT_MS = 1_000
/** The second start in a row that came to nothing waits so long for the next, each further one twice as long, in ms. */
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5_000
/** Share of `thread_memory` from which a thread counts as full. */
const FULL = 0.5
/** A thread that takes so much more than the size at which it is replaced is ended at once. */
const MEMORY_GUARD = 2

export class Workforce {
  readonly threads = new Map<number, PoolThread>()
  /** Threads that are gone, and why is not known yet. */
  readonly #fallen = new Set<PoolThread>()
  /** By name. */
  readonly groups = new Map<string, ProcessGroup>()
  /** Those that are being closed, while others may have their names. */
  readonly #leaving = new Set<ProcessGroup>()
  /** Those that are being closed while their groups go on. */
  readonly #closingProcesses = new Set<WorkerProcess>()
  readonly #homes = new WeakMap<PoolThread, ProcessGroup>()
  readonly #settings: WorkforceSettings
  readonly #scheduler: Scheduler<Exchange>
  readonly #handlers: WorkforceHandlers
  readonly #log: Log
  readonly #socketPath: string
  /** Folder where Node keeps compiled code: a site loads faster in its second thread, and after a restart. */
  readonly #cache: string
  readonly #server: Server
  #lastThread = 0
  #lastProcess = 0
  readonly #sampleWaiters = new Set<(process: WorkerProcess) => void>()
  #sampler: NodeJS.Timeout | undefined
  #closing = false
  /** The version that was installed over this one, once that was told. */
  #toldVersion = VERSION
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

  /** The group of the sites that say nothing else. */
  get defaultGroup(): ProcessGroup {
    return this.groups.get(DEFAULT_GROUP) as ProcessGroup
  }

  /** Threads that are wanted, in all groups. */
  get size(): number {
    return sum(this.groups.values(), (group) => group.size)
  }

  /** Threads that take requests, in all groups. */
  get ready(): number {
    return sum(this.groups.values(), (group) => group.ready)
  }

  /**
   * Starts the groups that are there from the start; resolves when every thread is ready.
   *
   * @throws VHOSTEL_POOL_NOT_STARTED when they are not within 30 s
   */
  async start(): Promise<void> {
    const onRestored = (): void =>
      this.#log.warn({ socket: this.#socketPath }, 'the sockets in the run folder were taken away, and are made again')
    await listenUnix(this.#server, this.#socketPath, { onRestored })
    for (const settings of this.#settings.groups) this.openGroup(settings)
    await this.#allReady()
  }

  /** Whether everything is being ended. */
  get closing(): boolean {
    return this.#closing
  }

  /** Starts a group that is not there yet. @throws VHOSTEL_RUN_UNREACHABLE for a user who cannot reach the pool's socket */
  openGroup(settings: GroupSettings): ProcessGroup {
    const group = new ProcessGroup(settings)
    admit(settings.process, this.#socketPath, this.#cacheOf(group))
    this.groups.set(group.name, group)
    for (let count = 0; count < settings.processes.min; count++) this.#startProcess(group)
    return group
  }

  /** Ends a group in order: what its threads have, then its processes; at the latest after `graceMs`. Its name is free at once. */
  async closeGroup(group: ProcessGroup, graceMs: number): Promise<void> {
    if (group.closing) return
    group.close()
    this.groups.delete(group.name)
    this.#leaving.add(group)
    await Promise.all([...group.threads].map((thread) => this.retire(thread, graceMs)))
    await Promise.all(group.processes.map((process) => process.close(CLOSE_GRACE_MS)))
    this.#leaving.delete(group)
  }

  /**
   * Starts one thread more, in the process of the group that has the fewest.
   *
   * @returns the thread once it takes requests; undefined when no process is up, or it did not come up
   */
  async startThread(groupName: string): Promise<PoolThread | undefined> {
    const group = this.groups.get(groupName)
    const process = group?.roomiest()
    if (group === undefined || process === undefined || this.#closing) return undefined
    const thread = this.#startThread(group, process)
    return (await thread.started) ? thread : undefined
  }

  /** Starts a process more for a group whose wanted threads do not fit in those it has. Its threads come with it. */
  startProcess(group: ProcessGroup): void {
    if (!this.#closing && !group.closing) this.#startProcess(group)
  }

  /** Ends a process for good that has no thread left, while its group goes on without it. */
  async closeProcess(group: ProcessGroup, process: WorkerProcess): Promise<void> {
    const at = group.processes.indexOf(process)
    if (at === -1) return
    group.processes.splice(at, 1)
    this.#closingProcesses.add(process)
    await process.close(CLOSE_GRACE_MS)
    this.#closingProcesses.delete(process)
  }

  /** Whether a thread is in a process of one site's own. */
  isOwn(thread: PoolThread): boolean {
    return this.homeOf(thread).settings.isOwn
  }

  /** The group of a thread, which may be closing while another has its name. */
  homeOf(thread: PoolThread): ProcessGroup {
    return this.#homes.get(thread) as ProcessGroup
  }

  /** Whether whoever runs there may be paying for the garbage collection of what another has left: that is no offence. */
  isFull(thread: PoolThread): boolean {
    const { limits } = this.homeOf(thread).settings
    return thread.sites().size > 1 && thread.memoryBytes > limits.threadMemoryBytes * FULL
  }

  /** Ends a thread in order: nothing new, then what it has, then the thread; at the latest after `graceMs`. */
  async retire(thread: PoolThread, graceMs: number): Promise<void> {
    if (thread.state === 'ended') return
    this.noNewRequests(thread)
    await thread.idle(graceMs)
    this.endThread(thread, CLOSE_GRACE_MS)
    await thread.ended
  }

  /** From now on a thread only finishes what it has. */
  noNewRequests(thread: PoolThread): void {
    thread.state = 'retiring'
    if (thread.slot !== undefined) this.#scheduler.retireSlot(thread.slot)
  }

  /** Has a thread ended, whatever it is doing, within `graceMs` (unless it is in native code). */
  endThread(thread: PoolThread, graceMs: number): void {
    thread.process.order({ type: 'stop', thread: thread.id, graceMs })
  }

  /** Some thread has a crowd: its event loop is looked at until none has. An idle pool is not woken. */
  watchCrowd(isCrowded: (inFlight: number) => boolean): void {
    this.#sampler ??= setInterval(() => {
      this.#sample()
      for (const slot of this.#scheduler.slots) if (isCrowded(slot.inFlight)) return
      clearInterval(this.#sampler)
      this.#sampler = undefined
    }, SAMPLE_EVERY_MS).unref()
  }

  /**
   * Has every thread measured; resolves when all figures are there, or after a second. A process that does not answer because it was
   * stopped is killed: what waits there for a thread to start, or a site to load, would wait for ever.
   */
  async measure(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const missing = new Set(this.#sample())
    const waiter = (process: WorkerProcess): void => {
      missing.delete(process)
      if (missing.size === 0) resolve()
    }
    this.#sampleWaiters.add(waiter)
    const timer = setTimeout(resolve, SAMPLE_TIMEOUT_MS)
    if (missing.size > 0) await promise
    clearTimeout(timer)
    this.#sampleWaiters.delete(waiter)
    for (const process of missing) {
      if (!process.isStopped) continue
      const what = { process: process.index, pid: process.pid, forMs: SAMPLE_TIMEOUT_MS }
      this.#log.error(what, 'worker process stands still and is killed')
      process.kill()
    }
  }

  /** All groups that have processes, also those that are being closed. */
  present(): ProcessGroup[] {
    return [...this.groups.values(), ...this.#leaving]
  }

  /** @returns the processes that were asked */
  #sample(): WorkerProcess[] {
    const processes = this.present().flatMap((group) => group.processes.filter(({ up }) => up))
    for (const process of processes) process.order({ type: 'sample' })
    return processes
  }

  /** Ends every thread and process; within a few seconds, whatever runs in them. */
  async close(): Promise<void> {
    this.#closing = true
    clearInterval(this.#sampler)
    this.#server.close()
    // Who waits for a thread of theirs would keep the server from its end.
    for (const group of this.groups.values()) group.close()
    const threads = [...this.threads.values()]
    for (const thread of threads) this.endThread(thread, CLOSE_GRACE_MS)
    const allEnded = Promise.all(threads.map((thread) => thread.ended))
    await Promise.race([allEnded, delay(CLOSE_GRACE_MS * 2, undefined, { ref: false })])
    const processes = [...this.present().flatMap((group) => group.processes), ...this.#closingProcesses]
    await Promise.all(processes.map((process) => process.close(CLOSE_GRACE_MS)))
  }

  // ---- threads -------------------------------------------------------------------------------------------------

  #startThread(group: ProcessGroup, process: WorkerProcess): PoolThread {
    this.#tellUpgrade()
    const id = ++this.#lastThread
    const thread = new PoolThread(id, randomUUID(), process, group.name)
    this.threads.set(id, thread)
    this.#homes.set(thread, group)
    group.threads.add(thread)
    process.order({
      type: 'start',
      thread: id,
      token: thread.token,
      socket: this.#socketPath,
      compileCache: this.#cacheOf(group),
      memoryBytes: group.settings.limits.threadMemoryBytes * MEMORY_GUARD,
      alone: group.settings.isOwn,
    })
    const late = setTimeout(() => this.#ended(thread, 'it did not start in time'), START_TIMEOUT_MS)
    void thread.started.then(() => clearTimeout(late))
    return thread
  }

  /** A thread runs the files that are there when it starts, in a process that was started with others. */
  #tellUpgrade(): void {
    const version = installedVersion()
    if (version === undefined || version === this.#toldVersion) return
    this.#toldVersion = version
    if (version !== VERSION) this.#log.error({ version, server: VERSION }, UPGRADED)
  }

  /** Users do not share compiled code: who can write it can have others run it. */
  #cacheOf({ settings }: ProcessGroup): string {
    return settings.process.uid === undefined ? this.#cache : `${this.#cache}-${settings.process.uid}`
  }

  #greet(link: ThreadLink, id: number, token: string): ThreadLinkHandlers | undefined {
    const thread = this.threads.get(id)
    if (thread === undefined || thread.token !== token || thread.state !== 'starting') return undefined
    thread.connected(link, this.#scheduler.addSlot(id, thread.group))
    thread.process.standBack()
    thread.process.failedStarts = 0
    const handlers = this.#handlers.onReady(thread)
    this.homeOf(thread).becameReady()
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
    const { state } = thread
    thread.end()
    this.threads.delete(thread.id)
    const group = this.homeOf(thread)
    group.threads.delete(thread)
    if (thread.slot !== undefined) this.#scheduler.removeSlot(thread.slot)
    thread.link?.close()
    this.#awaitFate(thread, why)
    if (this.#closing) return
    if (state !== 'retiring') this.#replace(group, thread, why, state === 'starting')
    this.#handlers.onGone(thread)
  }

  /** @param neverRan it came to nothing, as the next may: what is in its way (files, descriptors, memory) may be over soon */
  #replace(group: ProcessGroup, thread: PoolThread, why: string, neverRan: boolean): void {
    const { process } = thread
    this.#log.error({ thread: thread.id, process: process.index, why }, 'thread ended')
    this.endThread(thread, 0)
    const pauses = neverRan ? process.failedStarts++ : 0
    if (pauses === 0) return this.#fill(group, process)
    const waitMs = backOffMs(pauses, FIRST_PAUSE_MS, LONGEST_PAUSE_MS)
    setTimeout(() => this.#fill(group, process), waitMs).unref()
  }

  /** Starts the thread that a group lacks, if it still does. */
  #fill(group: ProcessGroup, process: WorkerProcess): void {
    if (this.#closing || group.closing || !process.takesThreads) return
    if (group.present < group.size) this.#startThread(group, process)
  }

  // ---- processes -----------------------------------------------------------------------------------------------

  #startProcess(group: ProcessGroup): void {
    const { process, brake, pool } = group.settings
    const index = this.#lastProcess++
    const options = { ...process, cage: this.#settings.memory?.cageFor(pool, index) }
    group.processes.push(new WorkerProcess(index, options, brake, this.#processHandlers(group), this.#log))
  }

  #processHandlers(group: ProcessGroup): WorkerProcessHandlers {
    return {
      onUp: (process) => {
        if (process.isLeaving || this.#closing) return
        // Some may have been ordered while it was still starting.
        const share = Math.ceil(group.size / group.processes.length)
        for (let count = group.threadsOf(process).length; count < share && group.present < group.size; count++) {
          this.#startThread(group, process)
        }
      },
      onReport: (process, report) => this.#report(process, report),
      onDown: (process, end) => {
        const threads = group.threadsOf(process)
        const all = [...threads, ...[...this.#fallen].filter((thread) => thread.process === process)]
        for (const thread of all) {
          this.#fated(thread, { what: 'process', why: end.why, signal: end.signal, running: undefined })
        }
        if (!this.#closing && !group.closing) this.#handlers.onProcessLost(group, end, all)
        for (const thread of threads) this.#ended(thread, `its process ended: ${end.why}`)
      },
    }
  }

  #report(process: WorkerProcess, report: SupervisorReport): void {
    switch (report.type) {
      case 'up':
        return
      case 'ending':
        return void this.#reportedFate(report.thread, report.error, report.running)
      case 'ended':
        return this.#reportedEnd(report)
      case 'sample':
        return this.#sampled(process, report)
      case 'helpers':
        return this.#handlers.onHelpers(process, report)
      case 'revoked':
      case 'delay':
      case 'look':
      case 'stuck': {
        const thread = this.threads.get(report.thread)
        return thread === undefined ? undefined : this.#handlers.onReport(thread, report)
      }
      default:
        return report satisfies never
    }
  }

  #sampled(process: WorkerProcess, report: SampleReport): void {
    process.residentBytes = report.rssBytes
    for (const sample of report.threads) {
      const thread = this.threads.get(sample.thread)
      if (thread?.slot === undefined) continue
      thread.memoryBytes = sample.heapUsedBytes + sample.externalBytes
      thread.cpuMs = sample.cpuMs
      thread.wantedMs = sample.wantedMs
      this.#scheduler.sampled(thread.slot, sample.utilisation, sample.busyMs)
      this.#handlers.onSampled(thread, sample.busyMs)
    }
    for (const waiter of this.#sampleWaiters) waiter(process)
  }

  #reportedEnd(report: Extract<SupervisorReport, { type: 'ended' }>): void {
    const why = report.error ?? `exit code ${report.code}`
    const thread = this.#reportedFate(report.thread, why, report.running)
    if (thread !== undefined) this.#ended(thread, why)
  }

  #reportedFate(id: number, why: string, running: Running): PoolThread | undefined {
    const thread = this.threads.get(id) ?? [...this.#fallen].find((one) => one.id === id)
    if (thread !== undefined) this.#fated(thread, { what: 'thread', why, signal: null, running })
    return thread
  }

  /** A thread's socket tells of its end before its supervisor, or the end of its process, says why. */
  #awaitFate(thread: PoolThread, why: string): void {
    if (thread.hasFate) return
    this.#fallen.add(thread)
    const unknown = (): void => this.#fated(thread, { what: 'thread', why, signal: null, running: undefined })
    setTimeout(unknown, FATE_TIMEOUT_MS).unref()
  }

  #fated(thread: PoolThread, fate: ThreadFate): void {
    this.#fallen.delete(thread)
    thread.fated(fate)
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
}

const UPGRADED =
  'another version of vhostel was installed over the one that runs, and threads that start now run its code: restart the server'

function sum<T>(values: Iterable<T>, of: (value: T) => number): number {
  let total = 0
  for (const value of values) total += of(value)
  return total
}
