/** What a visitor asks for, and what comes of it. */
import type { Random } from './random.ts'
import type { Outcome } from './record.ts'
import type { Ask } from './sites.ts'

/** Longer than any of the server's own limits. */
const PATIENCE_MS = 130_000

export interface Result {
  outcome: Outcome
  mark?: string | undefined
  detail?: string
}

export interface Question {
  port: number
  site: string
  ask: Ask
  id: string
  /** Over TLS: by HTTP/2, but for WebSockets. */
  isSecond: boolean
  /** After so many ms the visitor leaves; undefined: stays. */
  leavesAfterMs: number | undefined
  random: Random
}

/** What a request came to that ended without an answer. */
export function lostBy(signal: AbortSignal, { leavesAfterMs }: Question, kind: 'cut' | 'reset'): Outcome {
  if (!signal.aborted) return kind
  return leavesAfterMs === undefined ? 'none' : 'left'
}

/** When its visitor gives up, or leaves. */
export function signalOf({ leavesAfterMs }: Question): AbortSignal {
  return AbortSignal.timeout(leavesAfterMs ?? PATIENCE_MS)
}
