/**
 * Keeps one request that is over, with its answer and its connection, for the shapes of their objects: when nothing is open and
 * a heap is collected, V8 drops the hidden classes that no object has any more, and all code that was optimised for them
 * with them. Without it the first second after a calm has half as many requests (docs/performance.md).
 *
 * Limit: one request. Invariant: none whose body is still in memory.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'

/** What the requests of modules have in common, as far as it is kept. */
interface Over {
  readonly req: IncomingMessage
  readonly res: ServerResponse
}

/** Read by nobody but the garbage collector. */
export const kept: { request: Over | undefined; readonly immediate: NodeJS.Immediate } = {
  request: undefined,
  // What is written once a turn waits in one of these.
  immediate: setImmediate(() => {}),
}
