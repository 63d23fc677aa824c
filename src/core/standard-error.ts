/**
 * Standard error, as the place of the server's log: lines are written in the background, in their order.
 *
 * It may be a file on a full disk, a pipe that nobody reads, or a terminal that was closed. Not by sonic-boom, which at the end of
 * the process tries for ever to write what cannot be written.
 *
 * Limits: `MAX_UNREAD_CHARS` of lines wait; more are dropped, counted and told. Where it is a pipe, the end of the process waits
 * `END_MS` for its reader. Invariant: `write` never waits and never throws, and what is written here keeps no process from its end.
 */
import { constants, fstatSync, openSync, write, writeSync } from 'node:fs'

const STANDARD_ERROR = 2
/** What may wait for whoever reads it. */
const MAX_UNREAD_CHARS = 8 * 1024 * 1024
/** After how long it is tried again, in ms: to a reader that is slow, and to what cannot be written. */
const SLOW_MS = 50
const FAILED_MS = 1_000
const END_MS = 1_000
const NOTHING = Buffer.alloc(0)
const WARN = 40

export class StandardError {
  readonly #descriptor: number
  #lines = ''
  #portion: Buffer = NOTHING
  #isWriting = false
  #retry: NodeJS.Timeout | undefined
  #dropped = 0

  constructor() {
    this.#descriptor = openWithoutWaiting()
    process.once('exit', () => this.#end())
  }

  /** @param line with its line feed */
  write(line: string): void {
    if (this.#lines.length + line.length > MAX_UNREAD_CHARS) {
      this.#dropped++
      return
    }
    this.#lines += line
    if (!this.#isWriting && this.#retry === undefined) this.#writeOut()
  }

  #writeOut(): void {
    if (this.#portion.byteLength === 0) this.#portion = this.#takeLines()
    if (this.#portion.byteLength === 0) return
    this.#isWriting = true
    write(this.#descriptor, this.#portion, (error, written) => {
      this.#isWriting = false
      if (error !== null) return this.#later(error)
      this.#portion = this.#portion.subarray(written)
      this.#writeOut()
    })
  }

  /** Does not keep the process alive. */
  #later({ code }: NodeJS.ErrnoException): void {
    const again = (): void => {
      this.#retry = undefined
      this.#writeOut()
    }
    this.#retry = setTimeout(again, code === 'EAGAIN' ? SLOW_MS : FAILED_MS).unref()
  }

  #takeLines(): Buffer {
    const lines = this.#dropped === 0 ? this.#lines : this.#lines + this.#droppedLine()
    this.#lines = ''
    this.#dropped = 0
    return lines === '' ? NOTHING : Buffer.from(lines)
  }

  #droppedLine(): string {
    const line = { level: WARN, time: new Date().toISOString(), dropped: this.#dropped, msg: UNREAD }
    return `${JSON.stringify(line)}\n`
  }

  #end(): void {
    // What is being written at this moment, Node waits for.
    let rest = Buffer.concat([this.#isWriting ? NOTHING : this.#portion, this.#takeLines()])
    const deadline = performance.now() + END_MS
    while (rest.byteLength > 0 && performance.now() < deadline) {
      try {
        rest = rest.subarray(writeSync(this.#descriptor, rest))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SLOW_MS)
      }
    }
  }
}

const UNREAD = 'standard error is read more slowly than its lines come; some were dropped'

/**
 * A write to a pipe that is full takes one of Node's few threads until somebody reads, and Node does not end before it. So a pipe
 * is opened once more, without waiting; whoever shares it keeps it as it is.
 */
function openWithoutWaiting(): number {
  try {
    if (!fstatSync(STANDARD_ERROR).isFIFO()) return STANDARD_ERROR
    return openSync('/proc/self/fd/2', constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    return STANDARD_ERROR
  }
}
