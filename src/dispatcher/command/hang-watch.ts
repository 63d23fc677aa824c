/**
 * Tells when a program hangs: requests wait for it, and it does nothing at all. Slow with some requests is not that, and neither
 * is busy with long ones: whatever the program sends, or takes of a body, shows that it is there.
 *
 * The time in which somebody waited and nothing came is added up, over visitors who left, until something comes. When it has
 * reached `hangMs` the program is asked for a sign of life; it hangs if it gives none either. One that has answered nobody yet has ten
 * times as long: gunicorn accepts connections before its workers have loaded an application, which may take minutes.
 *
 * Limits: one timer for a program, and one question at a time; while nobody waits there is neither. Invariant: nothing is told
 * of a program from which anything was heard in the last `hangMs`.
 */
import type { Attendance } from '../proxy/attendance.ts'

export interface HangWatchParts {
  /** How long it may do nothing, in ms; 0: for as long as it likes. Asked anew each time: settings change. */
  hangMs(): number
  /** Whether it has not answered anything yet: then it may still be loading what it is to answer with. */
  isNew(): boolean
  /** Asks it for a sign of life, and for less if `signal` says that there was one. @returns whether it gave one */
  isAlive(signal: AbortSignal): Promise<boolean>
  /** It hangs. @param silentMs how long somebody waited for it meanwhile */
  onHang(silentMs: number): void
}

/** So many times as long a new one has. */
const NEW_FACTOR = 10

export class HangWatch implements Attendance {
  readonly #parts: HangWatchParts
  #waiting = 0
  /** Somebody waits since then, or since it was heard last, as `performance.now()`. */
  #since = 0
  /** How long others waited before that. */
  #silentMs = 0
  #timer: NodeJS.Timeout | undefined
  #question: AbortController | undefined
  #isClosed = false

  constructor(parts: HangWatchParts) {
    this.#parts = parts
  }

  asked(): void {
    if (this.#waiting++ > 0) return
    this.#since = performance.now()
    this.#lookLater()
  }

  settled(): void {
    if (--this.#waiting === 0) this.#silentMs += performance.now() - this.#since
  }

  heard(): void {
    this.#silentMs = 0
    this.#since = performance.now()
    this.#question?.abort()
  }

  /** Tells nothing more. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#question?.abort()
  }

  get #silent(): number {
    return this.#silentMs + (this.#waiting > 0 ? performance.now() - this.#since : 0)
  }

  get #limitMs(): number {
    return this.#parts.hangMs() * (this.#parts.isNew() ? NEW_FACTOR : 1)
  }

  #lookLater(): void {
    const hangMs = this.#parts.hangMs()
    if (this.#isClosed || hangMs === 0 || this.#timer !== undefined || this.#question !== undefined) return
    // No later than that also where it is new: it may not be any more.
    const leftMs = Math.min(hangMs, this.#limitMs - this.#silent)
    this.#timer = setTimeout(() => this.#look(), Math.max(1, leftMs)).unref()
  }

  #look(): void {
    this.#timer = undefined
    const limitMs = this.#limitMs
    if (limitMs > 0 && this.#silent >= limitMs) void this.#ask()
    else if (this.#waiting > 0) this.#lookLater()
  }

  /** It cannot fail. */
  async #ask(): Promise<void> {
    const question = new AbortController()
    this.#question = question
    const isAlive = await this.#parts.isAlive(question.signal).catch(() => false)
    this.#question = undefined
    if (this.#isClosed) return
    const silentMs = this.#silent
    const wasHeard = question.signal.aborted
    // Whatever comes of it, it is not asked again at once.
    if (!wasHeard) this.heard()
    if (!isAlive && !wasHeard) this.#parts.onHang(silentMs)
    if (this.#waiting > 0) this.#lookLater()
  }
}
