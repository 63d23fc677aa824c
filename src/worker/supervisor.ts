/**
 * Entry of a worker process: starts and ends threads as the dispatcher orders, and measures them from outside. Runs no
 * code of any site, so that it can always answer, and always end a thread that cannot.
 *
 * It lives as long as its IPC channel: without a dispatcher there is nothing to do, and no worker process stays behind.
 * Signals of a terminal go to all processes of a group; what they mean is the dispatcher's to decide. Invariant: every
 * thread that was started is reported as `ended` exactly once, unless the process ends first.
 */
import type { EventLoopUtilization } from 'node:perf_hooks'
import { Worker } from 'node:worker_threads'
import { entryUrl } from '../core/entry.ts'
import type { SupervisorOrder, SupervisorReport, ThreadSample } from '../core/worker-orders.ts'
import { runDelayMs } from './run-delay.ts'
import type { StopMessage, ThreadOptions } from './thread-options.ts'

/** How long a thread may take to tell its heap's size, in ms; one in native code may not answer at all. */
const HEAP_TIMEOUT_MS = 250

interface Thread {
  worker: Worker
  kernelId: Int32Array
  lastUtilisation: EventLoopUtilization
  lastDelayMs: number
  heap: { usedBytes: number; externalBytes: number }
  error: string | undefined
}

const threads = new Map<number, Thread>()

function report(message: SupervisorReport): void {
  // The callback takes the error of a channel that has just closed; 'disconnect' follows.
  process.send?.(message, undefined, undefined, () => {})
}

function obey(order: SupervisorOrder): void {
  switch (order.type) {
    case 'start':
      return start(order)
    case 'stop':
      return stop(order.thread, order.graceMs)
    case 'sample':
      return void sample()
    default:
      return order satisfies never
  }
}

function start(order: Extract<SupervisorOrder, { type: 'start' }>): void {
  const { thread: number, token, socket, heapMb, compileCache } = order
  const kernelId = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)
  const options: ThreadOptions = { thread: number, token, socket, compileCache, kernelId }
  const worker = new Worker(entryUrl(import.meta, './thread'), {
    name: `vhostel thread ${number}`,
    workerData: options,
    stdout: true,
    stderr: true,
    ...(heapMb === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: heapMb } }),
  })
  const thread: Thread = {
    worker,
    kernelId: new Int32Array(kernelId),
    lastUtilisation: worker.performance.eventLoopUtilization(),
    lastDelayMs: 0,
    heap: { usedBytes: 0, externalBytes: 0 },
    error: undefined,
  }
  threads.set(number, thread)
  // What comes this way was written by nobody in particular: sites' own lines go as frames.
  worker.stdout.pipe(process.stdout, { end: false })
  worker.stderr.pipe(process.stderr, { end: false })
  worker.on('error', (error) => {
    thread.error = error instanceof Error ? (error.stack ?? error.message) : String(error)
  })
  worker.on('exit', (code) => {
    threads.delete(number)
    report({ type: 'ended', thread: number, code, ...(thread.error === undefined ? {} : { error: thread.error }) })
  })
}

function stop(number: number, graceMs: number): void {
  const thread = threads.get(number)
  if (thread === undefined) return
  const message: StopMessage = { type: 'stop', graceMs }
  thread.worker.postMessage(message)
  const terminator = setTimeout(() => void thread.worker.terminate(), graceMs)
  thread.worker.once('exit', () => clearTimeout(terminator))
}

async function sample(): Promise<void> {
  const samples = await Promise.all([...threads].map(([number, thread]) => sampleThread(number, thread)))
  report({ type: 'sample', threads: samples, rssBytes: process.memoryUsage.rss() })
}

async function sampleThread(number: number, thread: Thread): Promise<ThreadSample> {
  const { busyMs, utilisation } = loadSince(thread)
  thread.heap = await heapOf(thread)
  const { usedBytes, externalBytes } = thread.heap
  return { thread: number, utilisation, busyMs, heapUsedBytes: usedBytes, externalBytes }
}

/** What the event loop was busy with since the last call, without the time that it waited for a processor. */
function loadSince(thread: Thread): { busyMs: number; utilisation: number } {
  const now = thread.worker.performance.eventLoopUtilization()
  const delayMs = runDelayMs(thread.kernelId[0] as number)
  const { active, idle } = thread.worker.performance.eventLoopUtilization(now, thread.lastUtilisation)
  const busyMs = Math.max(0, active - (delayMs - thread.lastDelayMs))
  thread.lastUtilisation = now
  thread.lastDelayMs = delayMs
  return { busyMs, utilisation: active + idle === 0 ? 0 : busyMs / (active + idle) }
}

/** The sizes of now, or those of the last time when the thread does not answer. */
function heapOf(thread: Thread): Promise<Thread['heap']> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(thread.heap), HEAP_TIMEOUT_MS)
    thread.worker
      .getHeapStatistics()
      .then(({ used_heap_size, external_memory }) =>
        resolve({ usedBytes: used_heap_size, externalBytes: external_memory }),
      )
      .catch(() => resolve(thread.heap))
      .finally(() => clearTimeout(timer))
  })
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
process.on('disconnect', () => process.exit(0))
process.on('message', (order: SupervisorOrder) => obey(order))
report({ type: 'up', pid: process.pid })
