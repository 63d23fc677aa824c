/**
 * Entry of a worker process: starts and ends threads as the dispatcher orders, and watches them from outside. Runs no
 * code of any site, so that it can always answer, and always end a thread that cannot.
 *
 * It lives as long as its IPC channel: without a dispatcher there is nothing to do, and no worker process stays behind.
 * Signals of a terminal go to all processes of a group; what they mean is the dispatcher's to decide. Invariant: every
 * thread that was started is reported as `ended` exactly once, unless the process ends first.
 */
import { trimHeap } from '../core/trim-heap.ts'
import { VERSION } from '../core/version.ts'
import type { SupervisorOrder, SupervisorReport } from '../core/worker-orders.ts'
import { HelperWatch } from './helper-watch.ts'
import { SupervisedThread } from './supervised-thread.ts'

/**
 * How often threads that nobody waits for are looked at, in ms: a loop in a timer is to be found without a request. Reading
 * the figures of a thread takes some microseconds.
 */
const WATCH_EVERY_MS = 1_000
/** A thread that is in native code does not tell its stack at all. */
const LOOK_TIMEOUT_MS = 900

const threads = new Map<number, SupervisedThread>()
/** Those that were reported as stuck and have not come round since. */
const stuck = new Set<SupervisedThread>()

const helpers = new HelperWatch(() => [...threads.values()].filter(({ isAlone }) => !isAlone), report)

function report(message: SupervisorReport): void {
  // The callback takes the error of a channel that has just closed; 'disconnect' follows.
  process.send?.(message, undefined, undefined, () => {})
}

function obey(order: SupervisorOrder): void {
  switch (order.type) {
    case 'start':
      return start(order)
    case 'stop':
      return threads.get(order.thread)?.stop(order.graceMs)
    case 'sample':
      return void sample()
    case 'revoke':
      return revoke(order.thread, order.ids)
    case 'standBack':
      return threads.get(order.thread)?.standBack()
    case 'delay':
      return tellDelay(order.thread, order.question)
    case 'trim':
      return trim(order.threads)
    case 'look':
      return void tellLook(order.thread, order.question).catch(() => {})
    default:
      return order satisfies never
  }
}

function start(order: Extract<SupervisorOrder, { type: 'start' }>): void {
  const thread = new SupervisedThread(order, ({ running }, error) => {
    report({ type: 'ending', thread: order.thread, error, running })
  })
  const { number, worker } = thread
  let failure: string | undefined
  threads.set(number, thread)
  // What comes this way was written by nobody in particular: sites' own lines go as frames.
  worker.stdout.pipe(process.stdout, { end: false })
  worker.stderr.pipe(process.stderr, { end: false })
  worker.on('error', (error) => {
    failure = error instanceof Error ? (error.stack ?? error.message) : String(error)
  })
  worker.on('exit', (code) => {
    threads.delete(number)
    stuck.delete(thread)
    const why = thread.failure ?? failure
    const error = why === undefined ? {} : { error: why }
    report({ type: 'ended', thread: number, code, running: thread.running, ...error })
  })
}

async function sample(): Promise<void> {
  helpers.look()
  const samples = await Promise.all([...threads.values()].map((thread) => thread.sample()))
  report({ type: 'sample', threads: samples, rssBytes: process.memoryUsage.rss() })
}

function revoke(number: number, ids: number[]): void {
  const thread = threads.get(number)
  if (thread === undefined) return
  const revoked = thread.revoke(ids)
  thread.guardMemory()
  report({ type: 'revoked', thread: number, ids: revoked, running: thread.running, delayedMs: thread.delayedMs })
}

function tellDelay(number: number, question: number): void {
  report({ type: 'delay', thread: number, question, delayedMs: threads.get(number)?.delayedMs ?? 0 })
}

async function tellLook(number: number, question: number): Promise<void> {
  const look = await threads.get(number)?.look(LOOK_TIMEOUT_MS)
  report({ type: 'look', thread: number, question, look })
}

function trim(numbers: readonly number[]): void {
  for (const number of numbers) threads.get(number)?.trim()
  void trimHeap()
}

/** Tells of threads whose event loop stands still, and when it goes on. */
function watch(): void {
  const now = performance.now()
  for (const thread of threads.values()) {
    const forMs = thread.stuckMs(now)
    if (forMs === 0 && !stuck.delete(thread)) continue
    if (forMs > 0) {
      stuck.add(thread)
      thread.guardMemory()
    }
    report({ type: 'stuck', thread: thread.number, forMs, running: thread.running })
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const)
  process.on(signal, () => {})
// An exit in order waits for its threads, and one in native code may never come back.
process.on('disconnect', () => (threads.size === 0 ? process.exit(0) : process.kill(process.pid, 'SIGKILL')))
process.on('message', (order: SupervisorOrder) => obey(order))
setInterval(watch, WATCH_EVERY_MS).unref()
report({ type: 'up', pid: process.pid, version: VERSION })
