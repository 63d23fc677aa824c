/**
 * All files that logs are written to, by path: gives each its lines, and sees to it that neither a slow nor a full disk
 * ever keeps a request waiting.
 *
 * Limits: `MAX_CHARS` of lines wait in memory, of one file `MAX_FILE_CHARS`; more are dropped, counted, and told once a
 * minute. `MAX_OPEN` descriptors; `MAX_WRITING` files are written at a time, so that a disk that hangs does not take all
 * the threads that Node reads files with. Invariant: `write` never waits and never throws.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import type { LogFileSettings } from './log-file.ts'
import { LogFile, MAX_FILE_CHARS, OPEN_FLAGS, OPEN_MODE } from './log-file.ts'

/** What a log has to say of its own file. */
export interface LogTrouble {
  /** `failing`: it cannot be written; `slow`: not as fast as lines come; `over`: it is written again. */
  kind: 'failing' | 'slow' | 'over'
  path: string
  /** Lines lost since the last time that something was told of this file. */
  dropped: number
  /** Of the system, where it is `failing`. */
  reason: string | undefined
}

/** Of all files together. */
const MAX_CHARS = 64 * 1024 * 1024
const MAX_OPEN = 256
const MAX_WRITING = 2
/** So much is written at once. */
const PORTION_CHARS = 256 * 1024
/** How long files may take at the end for what waits, in ms. */
const CLOSE_MS = 3_000

/** All in ms. */
export interface LogTiming {
  /** How long a line waits for others. */
  gatherMs: number
  /** After how long a file is tried again that could not be written. */
  retryMs: number
  /** How often at the most it is told that it cannot. */
  tellMs: number
  /** Without a line for so long, a file is closed. */
  idleMs: number
  /** How often it is looked whether a file still has its name. */
  lookMs: number
}

const TIMING: LogTiming = { gatherMs: 100, retryMs: 1_000, tellMs: 60_000, idleMs: 30_000, lookMs: 5_000 }

/** A file, and how it does. */
interface Entry {
  readonly file: LogFile
  /** Being written. */
  writing: Promise<void> | undefined
  /** Waits for its turn. */
  isQueued: boolean
  /** Why it cannot be written; undefined where it can. */
  reason: string | undefined
  /** Not tried again before; `performance.now()`. */
  retryAt: number
  /** When that it fails, and that it is slow, were told last, or -Infinity. */
  failingToldAt: number
  slowToldAt: number
  /** Something was told, and not yet that it is over. */
  isTroubled: boolean
}

export class LogFiles {
  /** Hears of files that cannot be written. Must not throw. */
  onTrouble: (trouble: LogTrouble) => void = () => {}
  readonly #settings: LogFileSettings
  readonly #timing: LogTiming
  /** In the order in which they were written last. */
  readonly #entries = new Map<string, Entry>()
  /** Those with lines that wait. */
  readonly #dirty = new Set<Entry>()
  #queue: Entry[] = []
  #writing = 0
  #open = 0
  /** As of the last look at all files, and what came since. */
  #chars = 0
  #gathering: NodeJS.Timeout | undefined
  #sweeping: NodeJS.Timeout | undefined

  constructor(settings: Omit<LogFileSettings, 'lookMs'>, timing: Partial<LogTiming> = {}) {
    this.#timing = { ...TIMING, ...timing }
    this.#settings = { ...settings, lookMs: this.#timing.lookMs }
  }

  /** Files that are open. */
  get openCount(): number {
    return this.#open
  }

  /** Files that cannot be written at the moment, and why. */
  get failing(): { path: string; reason: string }[] {
    return [...this.#entries.values()].flatMap(({ file: { path }, reason }) =>
      reason === undefined ? [] : [{ path, reason }],
    )
  }

  /**
   * Appends a line to a file, soon. Where there is no room for it, it is dropped.
   *
   * @param path absolute
   * @param line with its line feed
   */
  write(path: string, line: string): void {
    const entry = this.#entries.get(path) ?? this.#add(path)
    const { file } = entry
    if (file.held + line.length > MAX_FILE_CHARS || this.#chars + line.length > MAX_CHARS) {
      file.dropped++
      return
    }
    this.#chars += line.length
    file.add(line)
    this.#dirty.add(entry)
    if (file.waiting >= PORTION_CHARS && entry.retryAt === 0) this.#enqueue(entry)
    this.#gathering ??= setTimeout(() => this.#gathered(), this.#timing.gatherMs).unref()
  }

  /** Lets go of all files: what comes next is written to whatever has their names by then. */
  reopen(): void {
    for (const entry of this.#entries.values()) {
      entry.file.reopen()
      entry.retryAt = 0
      if (entry.writing === undefined && !this.#dirty.has(entry)) void this.#close(entry)
    }
    this.#gathered()
  }

  /** Writes what waits, for `CLOSE_MS` at the most. Lines may come later nevertheless: they are written as ever. */
  async close(): Promise<void> {
    const deadline = performance.now() + CLOSE_MS
    // Each has one more try, also where it went wrong the last time.
    for (const entry of this.#dirty) {
      entry.retryAt = 0
      entry.reason = undefined
    }
    while (this.#isBusy() && performance.now() < deadline) {
      this.#gathered()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    for (const entry of this.#entries.values()) if (entry.writing === undefined) this.#forget(entry)
  }

  #isBusy(): boolean {
    return this.#writing > 0 || [...this.#dirty].some(({ reason }) => reason === undefined)
  }

  #add(path: string): Entry {
    const entry: Entry = {
      file: new LogFile(path, this.#settings),
      writing: undefined,
      isQueued: false,
      reason: undefined,
      retryAt: 0,
      failingToldAt: Number.NEGATIVE_INFINITY,
      slowToldAt: Number.NEGATIVE_INFINITY,
      isTroubled: false,
    }
    if (this.#entries.size === 0) process.on('exit', this.#writeRest)
    this.#entries.set(path, entry)
    this.#sweeping ??= setInterval(() => this.#sweep(), this.#timing.idleMs / 3).unref()
    return entry
  }

  /** The lines of the last moments are written. */
  #gathered(): void {
    clearTimeout(this.#gathering)
    this.#gathering = undefined
    const now = performance.now()
    this.#chars = 0
    for (const entry of this.#dirty) {
      this.#chars += entry.file.held
      if (now >= entry.retryAt) this.#enqueue(entry)
      if (entry.file.dropped > 0 || entry.reason !== undefined) this.#tell(entry, now)
    }
    if (this.#dirty.size > 0) this.#gathering = setTimeout(() => this.#gathered(), this.#timing.gatherMs).unref()
  }

  #enqueue(entry: Entry): void {
    if (entry.isQueued || entry.writing !== undefined) return
    entry.isQueued = true
    this.#queue.push(entry)
    this.#next()
  }

  #next(): void {
    while (this.#writing < MAX_WRITING) {
      const entry = this.#queue.shift()
      if (entry === undefined) return
      entry.isQueued = false
      this.#writing++
      entry.writing = this.#write(entry).finally(() => {
        entry.writing = undefined
        this.#writing--
        this.#next()
      })
    }
  }

  /** Never rejects. */
  async #write(entry: Entry): Promise<void> {
    const { file } = entry
    try {
      if (!file.isOpen && this.#open >= MAX_OPEN) await this.#closeOldest()
      this.#open -= Number(file.isOpen)
      await file.write()
      this.#isWritten(entry)
    } catch (error) {
      this.#failed(entry, error as NodeJS.ErrnoException)
    }
    this.#open += Number(file.isOpen)
  }

  #isWritten(entry: Entry): void {
    const { file } = entry
    // A line may have come since.
    if (file.isIdle) this.#dirty.delete(entry)
    entry.reason = undefined
    entry.retryAt = 0
    file.usedAt = performance.now()
    // Behind all others, of which the first is closed where there are too many.
    this.#entries.delete(file.path)
    this.#entries.set(file.path, entry)
    if (!entry.isTroubled) return
    entry.isTroubled = false
    this.#say(entry, 'over')
  }

  #failed(entry: Entry, error: NodeJS.ErrnoException): void {
    const now = performance.now()
    // A pipe whose reader is slow: nothing is wrong, it only takes longer.
    if (error.code === 'EAGAIN') {
      entry.retryAt = now + this.#timing.gatherMs
      return
    }
    entry.retryAt = now + this.#timing.retryMs
    entry.reason = error.message
    this.#tell(entry, now)
  }

  /** Says what is wrong with a file, unless that was said not long ago. */
  #tell(entry: Entry, now: number): void {
    const isSlow = entry.reason === undefined
    if (now - (isSlow ? entry.slowToldAt : entry.failingToldAt) < this.#timing.tellMs) return
    if (isSlow) entry.slowToldAt = now
    else entry.failingToldAt = now
    entry.isTroubled = true
    this.#say(entry, isSlow ? 'slow' : 'failing')
  }

  #say({ file, reason }: Entry, kind: LogTrouble['kind']): void {
    const { path, dropped } = file
    file.dropped = 0
    this.onTrouble({ kind, path, dropped, reason })
  }

  async #closeOldest(): Promise<void> {
    for (const entry of this.#entries.values()) {
      if (entry.file.isOpen && entry.writing === undefined) return this.#close(entry)
    }
  }

  /** What the system says of a descriptor that is given up helps nobody. */
  async #close({ file }: Entry): Promise<void> {
    this.#open -= Number(file.isOpen)
    await file.close().catch(() => {})
  }

  /** Closes and forgets the files that nothing was written to for a while. */
  #sweep(): void {
    const now = performance.now()
    for (const entry of this.#entries.values()) {
      if (entry.file.dropped > 0) this.#tell(entry, now)
      if (this.#dirty.has(entry) || entry.writing !== undefined || now - entry.file.usedAt < this.#timing.idleMs)
        continue
      if (entry.file.dropped === 0) this.#forget(entry)
      else void this.#close(entry)
    }
  }

  /** What it has to write is written, or cannot be. */
  #forget(entry: Entry): void {
    void this.#close(entry)
    if (this.#dirty.has(entry)) return
    this.#entries.delete(entry.file.path)
    if (this.#entries.size > 0) return
    process.off('exit', this.#writeRest)
    clearInterval(this.#sweeping)
    this.#sweeping = undefined
  }

  /** At the very end, when nothing can be waited for. */
  #writeRest = (): void => {
    for (const { file, writing } of this.#dirty) {
      if (writing !== undefined) continue
      try {
        const descriptor = openSync(file.path, OPEN_FLAGS, OPEN_MODE)
        writeSync(descriptor, file.rest())
        closeSync(descriptor)
      } catch {
        // There is nobody left to tell.
      }
    }
  }
}
