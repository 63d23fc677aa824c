/**
 * Tells from outside what runs in a thread: the supervisor has the thread's inspector evaluate an expression (look.ts) in
 * the middle of whatever the thread does, also in `while (true) {}`, a regular expression or `Atomics.wait`. It gives the
 * JavaScript stack, and whose code that is by the async context. Nothing is paused, and no port is opened.
 *
 * Limits: a thread in native code (`execSync`, one long `JSON.parse`) does not answer: undefined, and nothing is left behind in
 * it. In a tight promise loop most looks fall between two functions, so one that shows no code of a site is repeated.
 *
 * Never call it for a thread that is ending (after `terminate()`, or while it calls `process.exit()`): Node 24.21 crashes the
 * process (SIGSEGV) when an inspector attaches just then. `terminate()` after the call was not seen to do harm.
 *
 * Measured on Node 24.21, 2 cores: 2 ms for the first look at a thread, 0.6 for further ones, with 600 scripts loaded there
 * as with ten. `Debugger.pause`, which shows the same, kept the thread for 130 to 490 ms at the first look with 600 scripts,
 * 20 to 70 at further ones, because `Debugger.enable` describes every script.
 */
import type { NodeWorker, Session } from 'node:inspector'
import { dirname, sep } from 'node:path'
import type { Worker } from 'node:worker_threads'
import type { Looked, RawFrame } from './look.ts'
import { scriptPath } from './script-path.ts'
import { LOOK_FUNCTION } from './thread-options.ts'

/** How long it is looked for a site's function where the async context says that one is at work, in ms. */
const MOST_MS = 100
/** Looks where it says nothing: the thread is idle, as a rule. */
const MOST_IDLE_LOOKS = 5
const OWN_FOLDER = dirname(import.meta.dirname) + sep

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
  /** Whose code runs, as far as its async context says: a generation; 0 for none. */
  generation: number
  /** Whether it runs for a request that is open. */
  forRequest: boolean
}

/**
 * The JavaScript stack of a thread at this moment.
 *
 * @param worker one that has called `installLook`
 * @param options `timeoutMs`: after this the answer is undefined; `internals`: put Node's and our own frames in `text` too
 * @returns undefined when the thread does not answer, has ended, or Node has no inspector; never throws for these
 */
export async function stackOf(
  worker: Worker,
  options: { timeoutMs: number; internals?: boolean },
): Promise<ThreadStack | undefined> {
  if (!process.features.inspector || worker.threadId === -1) return undefined
  // Not `import()`: nothing may come between the call and the connection, see the limits above.
  const { Session } = process.getBuiltinModule('node:inspector')
  using look = new Look(worker, new Session())
  const expired = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => expired.resolve(undefined), options.timeoutMs)
  let stack: ThreadStack | undefined
  const since = performance.now()
  for (let count = 0; stack?.frames.some(isOfSite) !== true; count++) {
    if (stack?.generation === 0 ? count >= MOST_IDLE_LOOKS : performance.now() - since > MOST_MS) break
    const answer = await Promise.race([look.ask(), expired.promise])
    if (answer === undefined) break
    stack = toStack(answer, options.internals === true)
  }
  clearTimeout(timer)
  return stack
}

/** The connection to one thread's inspector, by way of this one's. */
class Look implements Disposable {
  readonly #session: Session
  readonly #worker: Worker
  readonly #attached = Promise.withResolvers<string | undefined>()
  #answered = Promise.withResolvers<Looked | undefined>()
  #target: string | undefined
  #lastId = 0
  readonly #gone = (): void => {
    this.#attached.resolve(undefined)
    this.#answered.resolve(undefined)
  }

  constructor(worker: Worker, session: Session) {
    this.#worker = worker
    this.#session = session
    const title = `[worker ${worker.threadId}]`
    worker.once('exit', this.#gone)
    session.on('NodeWorker.attachedToWorker', ({ params }) => this.#offered(params, title))
    session.on('NodeWorker.receivedMessageFromWorker', ({ params }) => this.#received(params))
    session.on('NodeWorker.detachedFromWorker', ({ params }) => {
      if (params.sessionId === this.#target) this.#gone()
    })
    session.connect()
    session.post('NodeWorker.enable', { waitForDebuggerOnStart: false })
  }

  /** @returns undefined when the thread is gone, or what it gave is no answer */
  async ask(): Promise<Looked | undefined> {
    const sessionId = await this.#attached.promise
    if (sessionId === undefined) return undefined
    this.#answered = Promise.withResolvers()
    const params = { expression: `${LOOK_FUNCTION}()`, returnByValue: true, silent: true }
    const message = JSON.stringify({ id: ++this.#lastId, method: 'Runtime.evaluate', params })
    this.#session.post('NodeWorker.sendMessageToWorker', { sessionId, message }, (error) => {
      if (error !== null) this.#gone()
    })
    return this.#answered.promise
  }

  [Symbol.dispose](): void {
    this.#worker.off('exit', this.#gone)
    this.#session.disconnect()
  }

  #offered({ sessionId, workerInfo }: NodeWorker.AttachedToWorkerEventDataType, title: string): void {
    // The session is offered every thread of the process; the others are left alone at once.
    if (this.#target !== undefined || !isTitled(workerInfo.title, title)) {
      return this.#session.post('NodeWorker.detach', { sessionId })
    }
    this.#target = sessionId
    this.#attached.resolve(sessionId)
  }

  #received({ sessionId, message }: NodeWorker.ReceivedMessageFromWorkerEventDataType): void {
    if (sessionId !== this.#target) return
    const { id, result } = JSON.parse(message) as { id?: number; result?: { result?: { value?: unknown } } }
    const value = result?.result?.value
    // Without room on its stack, or about to end, the thread gives an error, or its words in the place of a value.
    const isLooked = typeof value === 'string' && value.startsWith('[')
    if (id === this.#lastId) this.#answered.resolve(isLooked ? (JSON.parse(value) as Looked) : undefined)
  }
}

/** `[worker 3]`, or `[worker 3] and its name`. */
function isTitled(title: string, start: string): boolean {
  return title === start || title.startsWith(`${start} `)
}

function isOfSite({ of }: StackFrame): boolean {
  return of === 'site'
}

function toStack([generation, forRequest, ...raw]: Looked, internals: boolean): ThreadStack {
  const frames = raw.map(toFrame)
  const ofSite = frames.filter(isOfSite)
  const shown = internals || ofSite.length === 0 ? frames : ofSite
  return { frames, text: shown.map(lineOf).join('\n'), generation, forRequest: forRequest === 1 }
}

function toFrame([line, column, script, name]: RawFrame): StackFrame {
  const file = script === '' ? '<anonymous>' : scriptPath(script)
  const of = file.startsWith('node:') ? 'node' : file.startsWith(OWN_FOLDER) ? 'vhostel' : 'site'
  return { name, file, line, column, of }
}

function lineOf({ name, file, line, column }: StackFrame): string {
  const place = `${file}:${line}:${column}`
  return name === '' ? `    at ${place}` : `    at ${name} (${place})`
}
