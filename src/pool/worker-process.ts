/**
 * One worker process from the dispatcher's side: starts it, passes orders to its supervisor, starts it again when it
 * ends. A process that keeps ending soon after its start is started more and more slowly.
 *
 * Invariant: `onUp` and `onDown` alternate; no order is sent while the process is down.
 */
import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { entryUrl } from '../core/entry.ts'
import type { Log } from '../core/log.ts'
import type { SupervisorOrder, SupervisorReport } from '../core/worker-orders.ts'

/** A process that lived this long, in ms, was healthy: the brake is released. */
const HEALTHY_MS = 10_000
const FIRST_BRAKE_MS = 50
/** Short: whatever ends a process, the sites that have nothing to do with it wait for this one too. */
const LAST_BRAKE_MS = 1_000

export interface WorkerProcessHandlers {
  onUp(process: WorkerProcess): void
  onReport(report: SupervisorReport): void
  onDown(process: WorkerProcess, why: string): void
}

export class WorkerProcess {
  readonly index: number
  readonly #handlers: WorkerProcessHandlers
  readonly #log: Log
  readonly #env: NodeJS.ProcessEnv
  #child: ChildProcess | undefined
  #closing = false
  #quickEnds = 0
  #startedAt = 0
  #restart: NodeJS.Timeout | undefined
  #ended: (() => void) | undefined

  /** @param env the environment of the process itself; sites see only their own */
  constructor(index: number, env: NodeJS.ProcessEnv, handlers: WorkerProcessHandlers, log: Log) {
    this.index = index
    this.#env = env
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

  /** Passes an order on; dropped when the process is down, whose threads are then gone anyway. */
  order(order: SupervisorOrder): void {
    if (this.#child?.connected) this.#child.send(order, ignoreClosedPipe)
  }

  /** Ends the process: its supervisor leaves when it is told nothing more; after `graceMs` it is killed. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true
    clearTimeout(this.#restart)
    const child = this.#child
    if (child === undefined) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#ended = resolve
    if (child.connected) child.disconnect()
    const killer = setTimeout(() => child.kill('SIGKILL'), graceMs)
    await promise
    clearTimeout(killer)
  }

  #start(): void {
    this.#startedAt = performance.now()
    const entry = fileURLToPath(entryUrl(import.meta, '../worker/supervisor'))
    // Without it glibc keeps an arena for each thread: 205 MB became 190 MB with fifty sites.
    const env = { MALLOC_ARENA_MAX: '2', ...this.#env }
    const child = fork(entry, [], { env, execArgv: [], serialization: 'json' })
    this.#child = child
    child.on('message', (report: SupervisorReport) => {
      if (report.type === 'up') this.#handlers.onUp(this)
      this.#handlers.onReport(report)
    })
    child.on('error', (error) => this.#log.error({ process: this.index, err: error }, 'worker process failed'))
    child.on('exit', (code, signal) => this.#down(signal ?? `exit code ${code}`))
  }

  #down(why: string): void {
    this.#child = undefined
    this.#handlers.onDown(this, why)
    this.#ended?.()
    if (this.#closing) return
    const livedMs = performance.now() - this.#startedAt
    this.#quickEnds = livedMs >= HEALTHY_MS ? 0 : this.#quickEnds + 1
    const waitMs = this.#quickEnds <= 1 ? 0 : Math.min(LAST_BRAKE_MS, FIRST_BRAKE_MS * 2 ** this.#quickEnds)
    this.#log.error({ process: this.index, why, livedMs: Math.round(livedMs), waitMs }, 'worker process ended')
    this.#restart = setTimeout(() => this.#start(), waitMs)
  }
}

/** The process ended between the check and the write; its end is reported on its own. */
function ignoreClosedPipe(): void {}
