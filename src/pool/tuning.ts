/**
 * The figures by which the scheduler (scheduler.ts) decides in a running pool, and where they come from.
 *
 * Invariant: they are the same for all groups; what differs by site is in its lane.
 */
import type { SchedulerSettings } from './scheduler.ts'

/** From this many requests in flight on, a busy thread makes a site spread to one more. */
const SPREAD_AT = 4
/** Share of time from which an event loop counts as busy. */
const BUSY_AT = 0.8
/**
 * Work in hand up to which a thread is as good as an idle one, in ms; a hundred small requests, or one of a slow site.
 * To wake another thread costs up to 0.1 ms of CPU in a virtual machine, and batches half as large (docs/performance.md).
 */
const PACK_MS = 2
/** Work that a thread may be handed before it has begun it, in ms: so long at the most a site waits for another's requests. */
const BACKLOG_MS = 8

/** @param concurrency most requests in one thread at once */
export function tuned(concurrency: number): SchedulerSettings {
  return { concurrency, spreadAt: SPREAD_AT, busyAt: BUSY_AT, packMs: PACK_MS, backlogMs: BACKLOG_MS }
}

/** Whether a thread with so many requests is worth a closer look: a busy one makes its sites spread. */
export function isCrowded(inFlight: number): boolean {
  return inFlight >= SPREAD_AT
}
