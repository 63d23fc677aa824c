/**
 * Bodies on streams of HTTP/2 that have not come to their end: those that stop, or come more slowly than their site allows, are
 * ended, as connections.ts does it for HTTP/1.1.
 *
 * Limit: one look at each in `SWEEP_MS`, which is how late an end can be; no timer while there is none.
 */
import type { SiteLimits } from '../config/site-schema.ts'
import { IdTable } from '../core/id-table.ts'
import { BodyPace } from './body-pace.ts'

const SWEEP_MS = 1_000

/** A request whose body is on its way. */
export interface Upload {
  /** Of its body, in bytes. */
  readonly received: number
  /** Whether somebody waits for more of it. */
  readonly isAwaited: boolean
  readonly isOver: boolean
  /** Whether its answer has begun: then it may be a talk, which has no rate. */
  readonly isAnswered: boolean
  /** Its client is too late. */
  endLate(): void
}

type BodyLimits = Pick<SiteLimits, 'bodyTimeoutMs' | 'bodyRate'>

export class Uploads {
  readonly #open = new IdTable<{ upload: Upload; pace: BodyPace; limits: BodyLimits }>()
  #lastId = 0
  #timer: NodeJS.Timeout | undefined

  /** Looks at a body until it is over. */
  add(upload: Upload, limits: BodyLimits): void {
    this.#lastId = (this.#lastId + 1) >>> 0
    this.#open.set(this.#lastId, { upload, pace: new BodyPace(upload.received, performance.now()), limits })
    this.#timer ??= setInterval(() => this.sweep(performance.now()), SWEEP_MS).unref()
  }

  /** Ends those that are too late. @param now as `performance.now()` */
  sweep(now: number): void {
    for (const [id, { upload, pace, limits }] of this.#open.entries()) {
      if (upload.isOver) {
        this.#open.delete(id)
        continue
      }
      pace.look(upload.received, upload.isAwaited, now)
      const isLate = pace.hasStopped(limits.bodyTimeoutMs) || (!upload.isAnswered && pace.isTooSlow(limits.bodyRate))
      if (!isLate) continue
      this.#open.delete(id)
      upload.endLate()
    }
    if (this.#open.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
