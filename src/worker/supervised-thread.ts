/**
 * One thread as its supervisor sees it: measured, stopped and relieved of requests from outside, without its help.
 *
 * Limits: `stuckMs` needs the event loop to have been busy through a whole interval of the caller's; a thread in native
 * code tells no heap size within `HEAP_TIMEOUT_MS`, and keeps the last one.
 */
import { realpathSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import type { EventLoopUtilization } from 'node:perf_hooks'
import { Worker } from 'node:worker_threads'
import { entryUrl } from '../core/entry.ts'
import type { Running } from '../core/thread-board.ts'
import { boardMemory, ThreadBoard } from '../core/thread-board.ts'
import type { HelperUse, SupervisorOrder, ThreadLook, ThreadSample } from '../core/worker-orders.ts'
import { kernelTimes } from './kernel-thread.ts'
import type { HelperCount, ProcessQuestion, ThreadMessage, ThreadOptions } from './thread-options.ts'

/** How long a thread may take to tell its heap's size, in ms; one in native code may not answer at all. */
const HEAP_TIMEOUT_MS = 250
/** A tight loop allocates a gigabyte in a second, and V8 then ends the whole process: it is looked at more often. */
const GUARD_EVERY_MS = 20
/** The heap's own limit beside the guard's: V8 ends the thread where the guard is too slow, if it comes to it. */
const HEAP_HEADROOM = 1.5
/**
 * Three semi-spaces of 16 MB, as Node had them everywhere until 22; V8 itself goes by the machine's memory, and would let each
 * thread have 192 MB for what lives a few ms where there are 24 GB.
 */
const YOUNG_GENERATION_MB = 48

/** `UV_UNKNOWN`. */
const UNKNOWN_ERROR = -4094
const ANSWER_BYTES = 8

/** Where a site of its own had this process go, as it said it: by way of a link, that may be another folder later. */
let entered = '/'

type StartOrder = Extract<SupervisorOrder, { type: 'start' }>

export class SupervisedThread {
  readonly number: number
  /** Whether the process is one site's own. */
  readonly isAlone: boolean
  readonly worker: Worker
  readonly #board: ThreadBoard
  #lastLoad: EventLoopUtilization
  #lastDelayMs = 0
  #lastRanMs = 0
  #heap = { usedBytes: 0, externalBytes: 0 }
  #lastTurn: EventLoopUtilization
  readonly #memoryBytes: number | undefined
  #guard: NodeJS.Timeout | undefined
  /** Those that are on their way, and earlier ones. */
  #looks: Promise<void> | undefined
  /** It was told to end: the inspector must not be attached to it any more, which crashes the process (Node 24.21). */
  #isEnding = false
  /** Why it was ended by its supervisor. */
  failure: string | undefined
  /** Set while a ping is on its way. */
  #pinged: { pulse: number; busySince: number } | undefined

  /** Who waits for what is being counted. */
  #counted: ((uses: HelperCount['uses']) => void) | undefined

  readonly #onFailure: (thread: SupervisedThread, why: string) => void

  /** @param onFailure is told before its supervisor ends it, why */
  constructor(order: StartOrder, onFailure: (thread: SupervisedThread, why: string) => void) {
    this.#onFailure = onFailure
    const { thread, token, socket, memoryBytes, compileCache, alone = false } = order
    const board = boardMemory()
    const options: ThreadOptions = { thread, token, socket, compileCache, board, alone }
    this.number = thread
    this.isAlone = alone
    if (alone) leaveRemovedFolder()
    this.#board = new ThreadBoard(board)
    this.#memoryBytes = memoryBytes
    this.worker = new Worker(entryUrl(import.meta, './thread'), {
      name: `vhostel thread ${thread}`,
      workerData: options,
      stdout: true,
      stderr: true,
      resourceLimits: {
        maxYoungGenerationSizeMb: YOUNG_GENERATION_MB,
        ...(memoryBytes === undefined ? {} : { maxOldGenerationSizeMb: heapLimitMb(memoryBytes) }),
      },
    })
    this.#lastLoad = this.worker.performance.eventLoopUtilization()
    this.#lastTurn = this.#lastLoad
    this.worker.once('exit', () => clearInterval(this.#guard))
    this.worker.on('message', (message: ProcessQuestion | HelperCount | null) => {
      if (message?.type === 'helpers') this.#counted?.(message.uses)
      else if (alone && message !== null) answer(message)
    })
  }

  /** How long it was ready to run and got no processor, in ms. */
  get delayedMs(): number {
    return kernelTimes(this.#board.kernelId).delayedMs
  }

  get running(): Running {
    return this.#board.running
  }

  /** Lets it close its sites and leave; terminates it when `graceMs` have passed. */
  stop(graceMs: number): void {
    this.#isEnding = true
    this.#post({ type: 'stop', graceMs })
    const terminator = setTimeout(() => void this.#terminate(), graceMs)
    this.worker.once('exit', () => clearTimeout(terminator))
  }

  /** Lets it give back memory, unless it is about to end, when the inspector must not be attached. */
  trim(): void {
    if (!this.#isEnding) this.#post({ type: 'trim' })
  }

  /** What runs in it now. @returns undefined when it does not tell, or is about to end */
  async look(timeoutMs: number): Promise<ThreadLook | undefined> {
    // The inspector costs memory, and most supervisors never need it.
    const { stackOf } = await import('./thread-stack.ts')
    if (this.#isEnding) return undefined
    const looking = stackOf(this.worker, { timeoutMs })
    // Without their results: each would hold all those before it.
    this.#looks = Promise.all([this.#looks, looking]).then(() => {})
    const found = await looking
    return found && { stack: found.text, generation: found.generation, forRequest: found.forRequest }
  }

  /** Has it count for so long, in ms, which of its sites have jobs for the helper threads. @returns none where it does not answer */
  async countHelperUse(forMs: number): Promise<HelperUse[]> {
    const { promise, resolve } = Promise.withResolvers<HelperCount['uses']>()
    const timer = setTimeout(resolve, forMs * 2, [])
    this.#counted = resolve
    this.#post({ type: 'helpers', forMs })
    const uses = await promise
    clearTimeout(timer)
    this.#counted = undefined
    return uses.map((use) => ({ thread: this.number, ...use }))
  }

  /** Ends it at once; only after the looks at it, in which the order would be lost. */
  async #terminate(): Promise<void> {
    this.#isEnding = true
    await this.#looks
    await this.worker.terminate()
  }

  /**
   * Lets every other thread have the processor first; an ordinary user cannot take that back (setpriority(2)). Not the lowest of
   * priorities: on a machine that is overloaded it would not come to its end when it is told to.
   */
  standBack(): void {
    const { kernelId } = this.#board
    if (kernelId === 0) return
    try {
      setPriority(kernelId, constants.priority.PRIORITY_BELOW_NORMAL)
    } catch {
      // The thread has ended.
    }
  }

  /** Takes requests away that it has not begun. @returns those that it never will */
  revoke(ids: readonly number[]): number[] {
    return ids.filter((id) => this.#board.revoke(id))
  }

  /**
   * From now until its event loop comes round: ends it when it takes more memory than it may. A heap that is full in the
   * middle of a loop takes the whole process with it, `resourceLimits` or not (seen on Node 24).
   */
  guardMemory(): void {
    const limit = this.#memoryBytes
    if (limit === undefined || this.#guard !== undefined) return
    const { idle } = this.worker.performance.eventLoopUtilization()
    let isAsking = false
    this.#guard = setInterval(() => {
      if (this.worker.performance.eventLoopUtilization().idle > idle) return this.#unguard()
      if (isAsking) return
      isAsking = true
      void this.#heapNow().then((heap) => {
        isAsking = false
        if (heap.usedBytes + heap.externalBytes < limit || this.failure !== undefined) return
        this.failure = `ERR_WORKER_OUT_OF_MEMORY: it took ${Math.round((heap.usedBytes + heap.externalBytes) / 1024 ** 2)} MB`
        this.#onFailure(this, this.failure)
        void this.#terminate()
      })
    }, GUARD_EVERY_MS)
  }

  #unguard(): void {
    clearInterval(this.#guard)
    this.#guard = undefined
  }

  async sample(): Promise<ThreadSample> {
    const load = this.#loadSince()
    this.#heap = await this.#heapNow()
    const { usedBytes, externalBytes } = this.#heap
    return { thread: this.number, ...load, heapUsedBytes: usedBytes, externalBytes }
  }

  /**
   * Whether its event loop has not come round since the last call or longer. One that was busy all the time is asked for
   * a sign; one that is only busy gives it at its next turn, and one that had a pause is not asked.
   *
   * @returns for how long, in ms; 0 when it is not stuck
   */
  stuckMs(now: number): number {
    const turn = this.worker.performance.eventLoopUtilization()
    const { idle } = this.worker.performance.eventLoopUtilization(turn, this.#lastTurn)
    this.#lastTurn = turn
    if (idle > 0) this.#pinged = undefined
    if (idle > 0 || turn.active === 0) return 0
    if (this.#pinged === undefined || this.#pinged.pulse !== this.#board.pulse) {
      this.#pinged = { pulse: this.#board.pulse, busySince: now }
      this.#post({ type: 'ping' })
      return 0
    }
    return now - this.#pinged.busySince
  }

  #post(message: ThreadMessage): void {
    this.worker.postMessage(message)
  }

  /** What the event loop was busy with since the last call, without the time that it waited for a processor. */
  #loadSince(): Pick<ThreadSample, 'busyMs' | 'utilisation' | 'cpuMs' | 'wantedMs'> {
    const now = this.worker.performance.eventLoopUtilization()
    const { ranMs, delayedMs } = kernelTimes(this.#board.kernelId)
    const { active, idle } = this.worker.performance.eventLoopUtilization(now, this.#lastLoad)
    // The delay has what passed between the end of a wait and the first instruction too, which was no busy time.
    const withoutDelay = active - (delayedMs - this.#lastDelayMs)
    const busyMs = Math.min(active, Math.max(0, withoutDelay, ranMs - this.#lastRanMs))
    this.#lastLoad = now
    this.#lastDelayMs = delayedMs
    this.#lastRanMs = ranMs
    const utilisation = active + idle === 0 ? 0 : busyMs / (active + idle)
    return { busyMs, utilisation, cpuMs: ranMs, wantedMs: ranMs + delayedMs }
  }

  /** The sizes of now, or those of the last time when the thread does not answer. */
  async #heapNow(): Promise<{ usedBytes: number; externalBytes: number }> {
    const { promise, resolve } = Promise.withResolvers<{ usedBytes: number; externalBytes: number }>()
    const timer = setTimeout(() => resolve(this.#heap), HEAP_TIMEOUT_MS)
    this.worker
      .getHeapStatistics()
      .then(({ used_heap_size, external_memory }) =>
        resolve({ usedBytes: used_heap_size, externalBytes: external_memory }),
      )
      .catch(() => resolve(this.#heap))
      .finally(() => clearTimeout(timer))
    return promise
  }
}

/** Does for the site of this process what only a main thread can. */
function answer({ type, value, answer: memory }: ProcessQuestion): void {
  // The site's code can send messages as well.
  if (!(memory instanceof SharedArrayBuffer) || memory.byteLength < ANSWER_BYTES) return
  const words = new Int32Array(memory)
  let result = 0
  try {
    if (type === 'chdir') enter(String(value))
    else if (type === 'timezone') process.env.TZ = String(value)
    else result = process.umask(Number(value))
  } catch (error) {
    result = (error as NodeJS.ErrnoException).errno ?? UNKNOWN_ERROR
  }
  Atomics.store(words, 1, result)
  Atomics.store(words, 0, 1)
  Atomics.notify(words, 0)
}

function enter(path: string): void {
  process.chdir(path)
  entered = path
}

/** No thread starts in a folder that was removed. Another one may have its name by now; if not, the load tells so. */
function leaveRemovedFolder(): void {
  try {
    realpathSync.native('.')
  } catch {
    for (const folder of [entered, '/']) if (mayEnter(folder)) return
  }
}

function mayEnter(folder: string): boolean {
  try {
    process.chdir(folder)
    return true
  } catch {
    return false
  }
}

function heapLimitMb(memoryBytes: number): number {
  return Math.ceil((memoryBytes * HEAP_HEADROOM) / 1024 ** 2)
}
