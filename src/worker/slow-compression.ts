/**
 * Lets steps of slow compression into the helper threads of a shared process one at a time, and the sites of this thread in turn.
 * Brotli compresses at its highest quality unless it is told otherwise, 0.3 s for a large page in one step, so that neighbours
 * waited 11 s for a file behind two dozen of them. Steps of gzip, and of others at their usual levels, take 2 to 40 ms: they begin
 * at once.
 *
 * A stream that compresses has a native handle, whose `write` begins a step. Limits: where a version of Node has other handles,
 * steps begin at once. Invariant: at most one slow step of this thread is under way, and each one begins; a handle that is closed
 * meanwhile is closed behind its step, as Node itself does it.
 */
import type { Transform } from 'node:stream'
import { constants, createBrotliCompress, createZstdCompress } from 'node:zlib'
import { SLOW_JOBS_AT_ONCE } from '../core/helper-threads.ts'
import { JobTurns } from './job-turns.ts'
import { currentSite } from './request-context.ts'
import type { Site } from './site.ts'

type AnyFunction<This = unknown> = (this: This, ...args: unknown[]) => unknown

/** What of a native handle is used here. */
interface Handle {
  /** One argument is called when a step is over. */
  init: AnyFunction<Handle>
  write: AnyFunction<Handle>
  close: AnyFunction<Handle>
  /** Called in the place of that when the step failed. */
  onerror?: AnyFunction
}

/** A kind of compression: where its level stands in the settings of a handle, and from which one on its steps are slow. */
interface Kind {
  create(): Transform
  levelAt: number
  usual: number
  slowFrom: number
}

const KINDS: readonly Kind[] = [
  { create: createBrotliCompress, levelAt: constants.BROTLI_PARAM_QUALITY, usual: 11, slowFrom: 10 },
  { create: createZstdCompress, levelAt: constants.ZSTD_c_compressionLevel, usual: 3, slowFrom: 15 },
]
/** So many steps of a stream, those of a large page, go before streams that have not begun; one without end has turns with them. */
const STEPS_AHEAD = 64
/** The level of a handle that was told none. */
const UNSET = -1

const turns = new JobTurns<Site | undefined>(SLOW_JOBS_AT_ONCE)

/** The step of one handle: it has one at a time, and a page takes several. */
class Step {
  #isUnderWay = false
  #begun = 0
  #close: (() => void) | undefined
  isWaiting = false
  hearsErrors = false

  begin(write: () => void): void {
    const goesOn = this.#begun > 0 && this.#begun < STEPS_AHEAD
    this.#begun++
    this.isWaiting = true
    const run = (): void => {
      this.isWaiting = false
      this.#isUnderWay = true
      write()
      this.#close?.()
    }
    turns.begin(currentSite(), run, goesOn)
  }

  closeBehind(close: () => void): void {
    this.#close = close
  }

  /** Called back: an error may also come without a step. */
  end(): void {
    if (!this.#isUnderWay) return
    this.#isUnderWay = false
    turns.end()
  }
}

const steps = new WeakMap<object, Step>()

/** Once a thread that sites share, before any of them is loaded. */
export function installSlowCompression(): void {
  for (const kind of KINDS) {
    const stream = kind.create()
    const handle = (stream as { _handle?: object })._handle
    if (handle !== undefined) letStepsIn(Object.getPrototypeOf(handle) as Handle, kind)
    stream.destroy()
  }
}

function letStepsIn(prototype: Handle, kind: Kind): void {
  const { init, write, close } = prototype
  prototype.init = function initInTurn(this: Handle, ...args) {
    if (!isSlow(kind, args[0])) return Reflect.apply(init, this, args)
    const step = new Step()
    steps.set(this, step)
    const endingIt = args.map((arg) => (typeof arg === 'function' ? ending(step, arg as AnyFunction) : arg))
    return Reflect.apply(init, this, endingIt)
  }
  prototype.write = function writeInTurn(this: Handle, ...args) {
    const step = steps.get(this)
    if (step === undefined) return Reflect.apply(write, this, args)
    if (!step.hearsErrors && this.onerror !== undefined) this.onerror = ending(step, this.onerror)
    step.hearsErrors = true
    step.begin(() => Reflect.apply(write, this, args))
  }
  prototype.close = function closeInTurn(this: Handle) {
    const step = steps.get(this)
    const closing = (): unknown => Reflect.apply(close, this, [])
    return step?.isWaiting ? step.closeBehind(closing) : closing()
  }
}

function isSlow({ levelAt, usual, slowFrom }: Kind, settings: unknown): boolean {
  if (!(settings instanceof Uint32Array)) return false
  // The quick levels of zstd are below 0, and written into unsigned numbers.
  const level = (settings[levelAt] ?? UNSET) | 0
  return (level === UNSET ? usual : level) >= slowFrom
}

function ending(step: Step, callback: AnyFunction): AnyFunction {
  return function ended(...results) {
    step.end()
    return Reflect.apply(callback, this, results)
  }
}
