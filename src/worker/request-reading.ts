/**
 * Who reads the body of a request, as Node's http tells it from the state of the stream. Pure.
 */
import type { IncomingMessage } from 'node:http'
import type { RequestInternals } from './node-internals.ts'

/** Whether somebody reads the body, or will in the next tick: `resOnFinish` of Node's http asks this. */
export function isConsumed(request: RequestInternals): boolean {
  return request._consuming || request._readableState.resumeScheduled
}

/** Whether somebody goes on reading the body: not one who has paused it for good, as parsers do at their limits. */
export function isBeingRead(request: RequestInternals): boolean {
  if (!isConsumed(request) || request._dumped || request.destroyed) return false
  const isPiped = request._readableState.pipes.length > 0
  return isPiped || request.readableFlowing === true || request.listenerCount('readable') > 0
}

const STREAM_EVENTS = ['end', 'close', 'data', 'readable', 'error', 'aborted'] as const

/** Whether somebody would notice how the body ends. */
export function hasStreamListeners(request: IncomingMessage): boolean {
  return STREAM_EVENTS.some((event) => request.listenerCount(event) > 0)
}
