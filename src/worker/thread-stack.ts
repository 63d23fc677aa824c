/**
 * Tells from outside what runs in a thread: the supervisor asks the thread's inspector to pause, reads the JavaScript stack
 * and lets it go on. Works on any thread that runs JavaScript, also in `while (true) {}`. Opens no port.
 *
 * Steps, each waiting for the answer to the one before: probe, `Debugger.enable`, `Debugger.pause`, `Debugger.disable` (which
 * also resumes). Invariant: a session that has sent `enable` is not closed before `disable` is answered. Node 24.21 leaves a
 * thread whose session is closed earlier paused for ever, and then even `terminate()` and the exit of the process hang.
 *
 * Limits: a thread in native code (`execSync`, one long `JSON.parse`) answers no probe: undefined, and nothing is left behind
 * in it; `Atomics.wait` does answer. One that begins a callback within `QUIET_MS` after it was idle tells of that callback.
 *
 * Never call it for a thread that is ending (after `terminate()`, or while it calls `process.exit()`): Node 24.21 crashes the
 * process (SIGSEGV) when an inspector attaches just then. `terminate()` after the call was not seen to do harm.
 *
 * Measured on Node 24.21, 2 cores: 40-70 ms for the first stack of a thread, 6-9 ms for further ones, 20 ms more when it is
 * idle; the thread stands still for most of that. A stack 7,000 calls deep takes 0.6-0.9 s. Afterwards a hot loop runs as
 * fast as before, and threads that were not asked do not notice.
 */
import type { Debugger, NodeWorker, Session } from 'node:inspector'
import { dirname, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Worker } from 'node:worker_threads'

/** A thread that is in JavaScript pauses at once; one that has not after this long, in ms, is idle. */
const QUIET_MS = 20
/** Frames beyond these are left out: the top ones tell what runs. */
const MAX_FRAMES = 50
const OWN_FOLDER = dirname(import.meta.dirname) + sep

/**
 * Requests to a thread's inspector, by id. They are sent in this order; the step only when a pause fell between a site's
 * functions, as it does in a tight promise loop; the last one on every way out after `enable`.
 */
const REQUESTS = {
  1: 'Runtime.getIsolateId',
  2: 'Debugger.enable',
  3: 'Debugger.pause',
  4: 'Debugger.stepInto',
  5: 'Debugger.disable',
} as const
const PROBE = 1
const ENABLE = 2
const PAUSE = 3
const STEP = 4
const DISABLE = 5

/** One call, the innermost first. */
export interface StackFrame {
  /** Empty at the top level of a module and in functions without a name. */
  name: string
  /** A path, `node:…`, or `<anonymous>`. */
  file: string
  /** From 1. */
  line: number
  /** From 1. */
  column: number
  of: 'site' | 'node' | 'vhostel'
}

export interface ThreadStack {
  /** All of them, at most 50; none when the thread is idle. */
  frames: StackFrame[]
  /** As V8 prints a stack, without the first line. Only the site's frames, or all when none is a site's or `internals` is set. */
  text: string
}

type ThreadMessage =
  | { id: keyof typeof REQUESTS; error?: object }
  | { id?: undefined; method: 'Debugger.scriptParsed'; params: Debugger.ScriptParsedEventDataType }
  | { id?: undefined; method: 'Debugger.paused'; params: Debugger.PausedEventDataType }

const looks = new Map<Worker, Look>()

/**
 * The JavaScript stack of a thread at this moment. Calls at once for one thread share one look at it.
 *
 * @param options `timeoutMs`: after this the answer is undefined; `internals`: put Node's and our own frames in `text` too
 * @returns undefined when the thread does not answer, has ended, or Node has no inspector; never throws for these
 */
export async function stackOf(
  worker: Worker,
  options: { timeoutMs: number; internals?: boolean },
): Promise<ThreadStack | undefined> {
  if (!process.features.inspector) return undefined
  // Not `import()`: nothing may come between the call and the connection, see the limits above.
  const { Session } = process.getBuiltinModule('node:inspector')
  const expired = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => expired.resolve(undefined), options.timeoutMs)
  try {
    const earlier = looks.get(worker)
    if (earlier?.callers === 0) await Promise.race([earlier.done, expired.promise])
    if (looks.get(worker)?.callers === 0 || worker.threadId === -1) return undefined
    const look = looks.get(worker) ?? new Look(worker, new Session())
    const frames = await look.askedBy(expired.promise)
    return frames && { frames, text: textOf(frames, options.internals === true) }
  } finally {
    clearTimeout(timer)
  }
}

/**
 * One look at one thread, from the first request until its session is closed. Messages of a thread interrupt whatever
 * JavaScript the supervisor is in: state is set before a request is sent.
 */
class Look {
  callers = 0
  readonly #done = Promise.withResolvers<StackFrame[] | undefined>()
  readonly #worker: Worker
  readonly #session: Session
  #target: string | undefined
  #lastSent = 0
  #isClosed = false
  #quiet: NodeJS.Timeout | undefined
  #frames: StackFrame[] | undefined
  readonly #scripts = new Map<string, string>()
  readonly #close = (): void => this.#end(undefined)

  constructor(worker: Worker, session: Session) {
    this.#worker = worker
    this.#session = session
    if (looks.size === 0) process.on('exit', resumeAll)
    looks.set(worker, this)
    worker.once('exit', this.#close)
    const title = `[worker ${worker.threadId}]`
    session.on('NodeWorker.attachedToWorker', ({ params }) => this.#attached(params, title))
    session.on('NodeWorker.receivedMessageFromWorker', ({ params }) => this.#received(params))
    session.on('NodeWorker.detachedFromWorker', ({ params }) => {
      if (params.sessionId === this.#target) this.#close()
    })
    session.connect()
    session.post('NodeWorker.enable', { waitForDebuggerOnStart: false })
  }

  /** Resolves when the session is closed, and nothing of this look is left in the thread. */
  get done(): Promise<StackFrame[] | undefined> {
    return this.#done.promise
  }

  /** What the thread runs, or undefined when `expired` comes first; with its last caller the look is given up. */
  async askedBy(expired: Promise<undefined>): Promise<StackFrame[] | undefined> {
    this.callers += 1
    const frames = await Promise.race([this.#done.promise, expired])
    this.callers -= 1
    if (this.callers > 0 || this.#isClosed) return frames
    if (this.#lastSent < ENABLE) this.#close()
    else this.resume()
    return frames
  }

  /** Makes a thread that is or will be paused go on. */
  resume(): void {
    if (this.#lastSent >= ENABLE && this.#lastSent < DISABLE) this.#send(DISABLE)
  }

  #attached({ sessionId, workerInfo }: NodeWorker.AttachedToWorkerEventDataType, title: string): void {
    // The session is offered every thread of the process; the others are left alone at once.
    if (this.#target !== undefined || !isTitled(workerInfo.title, title)) {
      return this.#session.post('NodeWorker.detach', { sessionId })
    }
    this.#target = sessionId
    this.#send(PROBE)
  }

  #received({ sessionId, message }: NodeWorker.ReceivedMessageFromWorkerEventDataType): void {
    if (sessionId !== this.#target) return
    const news: ThreadMessage = JSON.parse(message)
    if (news.id !== undefined) return this.#answered(news.id, news.error !== undefined)
    if (news.method === 'Debugger.scriptParsed') this.#scripts.set(news.params.scriptId, news.params.url)
    if (news.method !== 'Debugger.paused') return
    this.#paused(news.params.callFrames)
  }

  /** Also called for a `debugger` statement of the site that was faster than `pause`. */
  #paused(callFrames: readonly Debugger.CallFrame[]): void {
    const frames = callFrames.slice(0, MAX_FRAMES).map((frame) => toFrame(frame, this.#scripts))
    const isFound = frames.some((frame) => frame.of === 'site')
    if (isFound || this.#frames === undefined) this.#frames = frames
    if (isFound || this.#lastSent !== PAUSE) return this.resume()
    clearTimeout(this.#quiet)
    this.#send(STEP)
    this.#quiet = setTimeout(() => this.resume(), QUIET_MS)
  }

  #answered(id: keyof typeof REQUESTS, hasFailed: boolean): void {
    if (id === DISABLE) return this.#end(this.#frames ?? [])
    if (this.#lastSent === DISABLE) return
    if (hasFailed && id < PAUSE) return this.#close()
    if (id === PROBE) this.#send(ENABLE)
    if (id === ENABLE) this.#send(PAUSE)
    if (id === PAUSE && this.#lastSent === PAUSE) this.#quiet = setTimeout(() => this.resume(), QUIET_MS)
  }

  #send(id: keyof typeof REQUESTS): void {
    if (this.#isClosed || this.#target === undefined) return
    this.#lastSent = id
    const message = JSON.stringify({ id, method: REQUESTS[id] })
    this.#session.post('NodeWorker.sendMessageToWorker', { sessionId: this.#target, message }, (error) => {
      if (error !== null) this.#close()
    })
  }

  #end(frames: StackFrame[] | undefined): void {
    if (this.#isClosed) return
    this.#isClosed = true
    clearTimeout(this.#quiet)
    this.#worker.off('exit', this.#close)
    this.#session.disconnect()
    looks.delete(this.#worker)
    if (looks.size === 0) process.off('exit', resumeAll)
    this.#done.resolve(frames)
  }
}

/** A process waits at its exit for its threads to end, and a paused one never would. */
function resumeAll(): void {
  for (const look of looks.values()) look.resume()
}

/** `[worker 3]`, or `[worker 3] and its name`. */
function isTitled(title: string, start: string): boolean {
  return title === start || title.startsWith(`${start} `)
}

function toFrame(frame: Debugger.CallFrame, scripts: ReadonlyMap<string, string>): StackFrame {
  // Node leaves `frame.url` empty; the script's own is the one.
  const file = fileOf(scripts.get(frame.location.scriptId) || frame.url)
  const of = file.startsWith('node:') ? 'node' : file.startsWith(OWN_FOLDER) ? 'vhostel' : 'site'
  const line = frame.location.lineNumber + 1
  return { name: frame.functionName, file, line, column: (frame.location.columnNumber ?? 0) + 1, of }
}

function fileOf(url: string): string {
  if (url === '') return '<anonymous>'
  try {
    return url.startsWith('file:') ? fileURLToPath(url) : url
  } catch {
    // `//# sourceURL=file:%` is the site's to write.
    return url
  }
}

function textOf(frames: readonly StackFrame[], internals: boolean): string {
  const ofSite = frames.filter((frame) => frame.of === 'site')
  const shown = internals || ofSite.length === 0 ? frames : ofSite
  return shown.map(lineOf).join('\n')
}

function lineOf({ name, file, line, column }: StackFrame): string {
  const place = `${file}:${line}:${column}`
  return name === '' ? `    at ${place}` : `    at ${name} (${place})`
}
