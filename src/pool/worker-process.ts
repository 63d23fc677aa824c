/**
 * One worker process from the dispatcher's side: starts it, passes orders to its supervisor, starts it again when it
 * ends. A process that keeps ending soon after its start is started more and more slowly: how slowly is its group's brake.
 *
 * Invariant: `onUp` and `onDown` alternate; no order is sent while the process is down.
 */
import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { setPriority } from 'node:os'
import { fileURLToPath } from 'node:url'
import { backOffMs } from '../core/back-off.ts'
import { failureText, readLimit } from '../core/descriptors.ts'
import { entryUrl } from '../core/entry.ts'
import type { Log } from '../core/log.ts'
import { VERSION } from '../core/version.ts'
import type { SupervisorOrder, SupervisorReport } from '../core/worker-orders.ts'
import type { MemoryCage } from './kernel-memory.ts'

/** How slowly a process that ends again and again is started, in ms. */
export interface Brake {
  /** How often it may end in a row before the brake is on. */
  free: number
  /** The first wait; each next one is twice as long. */
  firstMs: number
  lastMs: number
  /** A process that lived this long was healthy: the brake is released. */
  healthyMs: number
}

/** Whatever ends a process that many sites share, those that have nothing to do with it wait for it too. */
export const SHARED_BRAKE: Brake = { free: 1, firstMs: 200, lastMs: 1_000, healthyMs: 10_000 }
/** A process of one site's own hurts nobody else. */
export const OWN_BRAKE: Brake = { free: 0, firstMs: 1_000, lastMs: 180_000, healthyMs: 60_000 }

/** The longest wait for a process that cannot even be started: its folder is away, or there is no memory or descriptor left. */
const LONGEST_UNSTARTED_MS = 5_000

/**
 * Where processes are that sites share: what native code opens by a relative path would be one file for all of them, so not even
 * root can make one there. Where there is no such folder, that of the server.
 */
const NOWHERE = existsSync('/proc/self') ? '/proc' : undefined

/** The Node that runs this, also once its file is gone: who updates Node may have taken the one away that runs. */
const OWN_PROGRAM = '/proc/self/exe'

export interface ProcessOptions {
  /** The environment of the process itself; sites see only their own. */
  env: NodeJS.ProcessEnv
  /** Working directory, asked for at each start; one in which nothing can be made when undefined. */
  cwd?: (() => string | undefined) | undefined
  /** Whom it runs as; as the server when undefined. */
  uid?: number | undefined
  gid?: number | undefined
  /** How much it stands back for others once it has started, 0 to 19 (nice(2)). */
  nice?: number
  /** Where the kernel counts its memory. */
  cage?: MemoryCage | undefined
}

export interface WorkerProcessHandlers {
  onUp(process: WorkerProcess): void
  onReport(process: WorkerProcess, report: SupervisorReport): void
  /** @param end how it ended; `waitMs` until it is started again */
  onDown(process: WorkerProcess, end: ProcessEnd): void
}

export interface ProcessEnd {
  /** In words. */
  why: string
  signal: NodeJS.Signals | null
  /** Whether the kernel killed it for want of memory. */
  isOutOfMemory: boolean
  /** Whether it never ran, so that nobody's code ended it. */
  neverRan: boolean
  waitMs: number
}

export class WorkerProcess {
  readonly index: number
  /** Memory when it was last measured, shared pages and all, in bytes. */
  residentBytes = 0
  /** Open descriptors when they were last counted, as a share of those that it may have; see `countDescriptors`. */
  descriptorShare = 0
  /** It is about to be killed: no thread is started in it. */
  isDoomed = false
  /** Threads in a row that ended before they could take requests. */
  failedStarts = 0
  /** Its group does without it: it is emptied, and no thread is started in it, also if it has to be started again meanwhile. */
  isLeaving = false
  readonly #handlers: WorkerProcessHandlers
  readonly #log: Log
  readonly #options: ProcessOptions
  readonly #brake: Brake
  #child: ChildProcess | undefined
  #closing = false
  /** Whether its supervisor has said so: before that nobody's code runs in it. */
  #wasUp = false
  #quickEnds = 0
  #startedAt = 0
  #restart: NodeJS.Timeout | undefined
  #ended: (() => void) | undefined
  /** Settled once it has ended for good. */
  #closed: Promise<void> | undefined

  constructor(index: number, options: ProcessOptions, brake: Brake, handlers: WorkerProcessHandlers, log: Log) {
    this.index = index
    this.#options = options
    this.#brake = brake
    this.#handlers = handlers
    this.#log = log
    this.#start()
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  get up(): boolean {
    return this.#child?.connected === true && !this.#closing
  }

  /** Whether threads may be started in it. */
  get takesThreads(): boolean {
    return this.up && !this.isDoomed && !this.isLeaving
  }

  /** Passes an order on; dropped when the process is down, whose threads are then gone anyway. */
  order(order: SupervisorOrder): void {
    if (this.#child?.connected) this.#child.send(order, ignoreClosedPipe)
  }

  /** Ends the process: its supervisor leaves when it is told nothing more; after `graceMs` it is killed. */
  close(graceMs: number): Promise<void> {
    this.#closed ??= this.#close(graceMs)
    return this.#closed
  }

  async #close(graceMs: number): Promise<void> {
    this.#closing = true
    clearTimeout(this.#restart)
    const child = this.#child
    if (child === undefined) return this.#options.cage?.remove()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#ended = resolve
    if (child.connected) child.disconnect()
    const killer = setTimeout(() => child.kill('SIGKILL'), graceMs)
    await promise
    clearTimeout(killer)
    this.#options.cage?.remove()
  }

  /** Whether somebody has stopped it, as `kill -STOP` does (proc(5)). */
  get isStopped(): boolean {
    try {
      const stat = readFileSync(`/proc/${this.pid}/stat`, 'latin1')
      return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T')
    } catch {
      return false
    }
  }

  /** Counts its open descriptors (proc(5)); where that cannot be done, the last count stays. */
  async countDescriptors(): Promise<void> {
    const { pid } = this
    if (pid === undefined) return
    try {
      const most = readLimit(await readFile(`/proc/${pid}/limits`, 'latin1'))
      this.descriptorShare = (await readdir(`/proc/${pid}/fd`)).length / most
    } catch {
      // It has ended, or there is no /proc.
    }
  }

  /**
   * A thread of it is there, and the site's code comes next: from now on it stands back for others, as far as it was told to. Before,
   * it would take seconds to start on a busy machine, in which its site's visitors wait.
   */
  standBack(): void {
    const { nice = 0 } = this.#options
    const { pid } = this
    if (nice > 0 && pid !== undefined) for (const thread of kernelThreads(pid)) standBack(thread, nice)
  }

  /** Ends it at once, for one that cannot be ended in order; it is started again like any that ended. */
  kill(): void {
    this.#child?.kill('SIGKILL')
  }

  #start(): void {
    this.#startedAt = performance.now()
    this.#wasUp = false
    try {
      this.#attend(this.#fork())
    } catch (error) {
      // Some of what the kernel refuses (no memory) is thrown, and the rest emitted: later than now, either way.
      process.nextTick(() => this.#notStarted(error as Error))
    }
  }

  #notStarted(error: Error): void {
    const cwd = this.#options.cwd?.()
    // For the kernel it is the program that is not there.
    const isLost = cwd !== undefined && !existsSync(cwd)
    this.#down(`it could not be started: ${isLost ? `${cwd} is not there` : failureText(error)}`, null, true)
  }

  #fork(): ChildProcess {
    const entry = fileURLToPath(entryUrl(import.meta, '../worker/supervisor'))
    if (!existsSync(entry)) throw new Error(`${entry} is not there; is another version of vhostel being installed?`)
    // Without it glibc keeps an arena for each thread: 205 MB became 190 MB with fifty sites.
    const { uid, gid } = this.#options
    const cwd = this.#options.cwd?.() ?? NOWHERE
    const env = { MALLOC_ARENA_MAX: '2', ...this.#options.env }
    return fork(entry, [], {
      env,
      execArgv: [],
      ...(existsSync(process.execPath) ? {} : { execPath: OWN_PROGRAM }),
      serialization: 'json',
      ...(cwd === undefined ? {} : { cwd }),
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    })
  }

  #attend(child: ChildProcess): void {
    this.#child = child
    if (child.pid !== undefined) this.#options.cage?.admit(child.pid)
    child.on('message', (report: SupervisorReport) => {
      if (report.type === 'up') this.#up(report.version)
      this.#handlers.onReport(this, report)
    })
    child.on('error', (error) => {
      if (child.pid === undefined) this.#notStarted(error)
      else this.#log.error({ process: this.index, err: error }, 'worker process failed')
    })
    child.on('exit', (code, signal) => this.#down(signal ?? `exit code ${code}`, signal, !this.#wasUp))
  }

  #up(version: string): void {
    this.#wasUp = true
    // A package that was installed over the one that runs is loaded by every process that starts after that.
    if (version !== VERSION) {
      const what = { process: this.index, version, server: VERSION }
      this.#log.error(what, 'worker process runs another version than the server: restart the server')
    }
    this.#handlers.onUp(this)
  }

  #down(reason: string, signal: NodeJS.Signals | null, neverRan: boolean): void {
    this.#child = undefined
    this.isDoomed = false
    this.failedStarts = 0
    const isOutOfMemory = this.#options.cage?.takeKilled() === true
    const why = isOutOfMemory ? `${reason}: the kernel had no memory left for it` : reason
    this.descriptorShare = 0
    const livedMs = Math.round(performance.now() - this.#startedAt)
    const { free, firstMs, lastMs, healthyMs } = this.#brake
    this.#quickEnds = livedMs >= healthyMs ? 0 : this.#quickEnds + 1
    // To be killed once is no fault of what runs in it.
    const allowed = signal === 'SIGKILL' && !isOutOfMemory ? Math.max(1, free) : free
    // What keeps it from running may be over at any moment, and to try costs little.
    const most = neverRan ? Math.min(lastMs, LONGEST_UNSTARTED_MS) : lastMs
    const waitMs = this.#quickEnds <= allowed ? 0 : backOffMs(this.#quickEnds - allowed, firstMs, most)
    if (!this.#closing) {
      this.#log.error({ process: this.index, why, livedMs, waitMs }, 'worker process ended')
      this.#restart = setTimeout(() => this.#start(), waitMs)
    }
    this.#handlers.onDown(this, { why, signal, isOutOfMemory, neverRan, waitMs })
    this.#ended?.()
  }
}

/** Linux has a priority for each thread, which those that it starts take over; elsewhere the process has one. */
function kernelThreads(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number)
  } catch {
    return [pid]
  }
}

function standBack(threadOrProcess: number, nice: number): void {
  try {
    setPriority(threadOrProcess, nice)
  } catch {
    // It has ended already.
  }
}

/** The process ended between the check and the write; its end is reported on its own. */
function ignoreClosedPipe(): void {}
