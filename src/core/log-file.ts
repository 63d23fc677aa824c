/**
 * One file that lines are appended to: gathered in memory, written in portions, moved aside when it is large.
 *
 * Opened without waiting (a FIFO that nobody reads is an error here, not a thread that hangs), and not by sonic-boom, whose
 * `open` waits for such a reader and whose `reopen` leaves half of a line in each of two files after an error.
 *
 * Limits: `MAX_FILE_CHARS` of lines that are not written; more are dropped and counted. Invariant: a line that was taken
 * is in one file, once and whole, or in the count of what was dropped.
 */
import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { lstat, mkdir, open, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/** What all log files have in common. */
export interface LogFileSettings {
  /** Size from which on a file is moved aside, in bytes; 0: never. */
  rotateBytes: number
  /** How many that were moved aside are kept. */
  keep: number
  /** How often it is looked whether a file still has its name, in ms. */
  lookMs: number
}

/** Characters that may wait for one file: some seconds of a busy server. */
export const MAX_FILE_CHARS = 8 * 1024 * 1024
/** Whoever owns a log may read it, and its group: it has the addresses of people. */
export const OPEN_MODE = 0o640
const LINE_FEED = 0x0a
/** A FIFO is opened without waiting for its reader. */
export const OPEN_FLAGS =
  constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOCTTY

export class LogFile {
  readonly path: string
  /** Lines that were dropped since somebody took note of it. */
  dropped = 0
  /** When a line came last; `performance.now()`. */
  usedAt = 0
  readonly #settings: LogFileSettings
  #handle: FileHandle | undefined
  /** Which file that is: its device and its number. */
  #identity = ''
  #mayRotate = false
  #size = 0
  #lookedAt = 0
  #wantsReopen = false
  /** Size at which to try again to move it aside, where that went wrong. */
  #rotateFrom = 0
  #lines = ''
  /** What is being written, and how far it is. */
  #portion: Buffer | undefined
  #written = 0

  constructor(path: string, settings: LogFileSettings) {
    this.path = path
    this.#settings = settings
  }

  /** Characters that wait for the next portion. */
  get waiting(): number {
    return this.#lines.length
  }

  /** Characters, or bytes, that are held in memory. */
  get held(): number {
    return this.#lines.length + (this.#portion === undefined ? 0 : this.#portion.byteLength - this.#written)
  }

  /** Whether everything that was taken is written. */
  get isIdle(): boolean {
    return this.#lines.length === 0 && this.#portion === undefined
  }

  get isOpen(): boolean {
    return this.#handle !== undefined
  }

  /** @param line with its line feed */
  add(line: string): void {
    this.#lines += line
  }

  /** From the next portion on it is written to whatever has its name by then. */
  reopen(): void {
    this.#wantsReopen = true
  }

  /**
   * Writes everything that waits. One call at a time.
   *
   * @throws what the system says; what is not written stays, and the next call goes on with it
   */
  async write(): Promise<void> {
    while (!this.isIdle) {
      const portion = this.#takePortion()
      await this.#prepare()
      await this.#writeOut(portion)
      this.#portion = undefined
      this.#written = 0
    }
  }

  /** Gives up its descriptor; the next line opens it again. */
  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close()
  }

  /** What has not been written yet, for whoever writes it in another way. */
  rest(): Buffer {
    return Buffer.concat([this.#portion?.subarray(this.#written) ?? Buffer.alloc(0), Buffer.from(this.#lines)])
  }

  #takePortion(): Buffer {
    if (this.#portion === undefined) {
      this.#portion = Buffer.from(this.#lines)
      this.#written = 0
      this.#lines = ''
    }
    return this.#portion
  }

  /** Sees to it that the right file is open, and has room. */
  async #prepare(): Promise<void> {
    const now = performance.now()
    if (this.#handle !== undefined && now - this.#lookedAt > this.#settings.lookMs) await this.#look(now)
    if (this.#wantsReopen) await this.close()
    if (this.#handle === undefined) await this.#open(now)
    const { rotateBytes } = this.#settings
    if (rotateBytes === 0 || !this.#mayRotate || this.#written > 0) return
    if (this.#size >= Math.max(rotateBytes, this.#rotateFrom)) await this.#rotate(now)
  }

  /** Somebody may have moved or removed it without saying so. */
  async #look(now: number): Promise<void> {
    this.#lookedAt = now
    const found = await stat(this.path).catch(() => undefined)
    if (found === undefined || `${found.dev}:${found.ino}` !== this.#identity) this.#wantsReopen = true
  }

  async #open(now: number): Promise<void> {
    this.#wantsReopen = false
    const handle = await openMaking(this.path)
    try {
      const found = await handle.stat()
      const identity = `${found.dev}:${found.ino}`
      // The rest of a line would be of no use in another file: there it stands from its beginning.
      if (identity !== this.#identity && this.#portion !== undefined && this.#written > 0) {
        this.#written = this.#portion.lastIndexOf(LINE_FEED, this.#written - 1) + 1
      }
      this.#identity = identity
      // A link is somebody's order where to write; `/dev/stdout` is one.
      const named = await lstat(this.path).catch(() => undefined)
      this.#mayRotate = found.isFile() && named?.isSymbolicLink() !== true
      this.#size = found.size
      this.#rotateFrom = 0
      this.#lookedAt = now
    } catch (error) {
      await handle.close()
      throw error
    }
    this.#handle = handle
  }

  /** `log` becomes `log.1`, that `log.2`, and so on; the last is overwritten. Where that cannot be, it grows on. */
  async #rotate(now: number): Promise<void> {
    const { keep, rotateBytes } = this.#settings
    this.#rotateFrom = this.#size + rotateBytes
    for (let number = await this.#firstFree(keep); number > 1; number--) {
      await rename(`${this.path}.${number - 1}`, `${this.path}.${number}`).catch(ignoreMissing)
    }
    await rename(this.path, `${this.path}.1`).catch(ignoreMissing)
    await this.close()
    await this.#open(now)
  }

  /** The first number that no file has that was moved aside, or the last there may be. */
  async #firstFree(keep: number): Promise<number> {
    let number = 1
    while (number < keep && (await stat(`${this.path}.${number}`).catch(() => undefined)) !== undefined) number++
    return number
  }

  async #writeOut(portion: Buffer): Promise<void> {
    while (this.#written < portion.byteLength) {
      const handle = this.#handle
      if (handle === undefined) throw new Error('the log file was closed')
      const { bytesWritten } = await handle.write(portion, this.#written)
      this.#written += bytesWritten
      this.#size += bytesWritten
    }
  }
}

/** Opens a file for appending, and makes it and its folders where they are missing. */
async function openMaking(path: string): Promise<FileHandle> {
  try {
    return await open(path, OPEN_FLAGS, OPEN_MODE)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  await mkdir(dirname(path), { recursive: true })
  return open(path, OPEN_FLAGS, OPEN_MODE)
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}
