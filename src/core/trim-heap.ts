/**
 * Gives back to the system what the heap of this thread holds and does not need: V8 keeps what a burst of work made it take
 * (most of all the young generation) until the next one, which on a calm site may be hours away.
 *
 * Limits: the thread stands still for a full collection; a heap beyond `MOST_BYTES` is left alone, for that would be
 * noticed. Invariant: the session is not closed from within the answer, where V8 (Node 24.21) still holds the lock that
 * closing takes: the thread would stand still for ever.
 *
 * The inspector is asked because that leaves no trace: `--expose-gc` is seen in every `vm` context of every site.
 */
import { executionAsyncResource } from 'node:async_hooks'
import { getHeapStatistics } from 'node:v8'

/** A collection takes about a ms for each MB in use. */
const MOST_BYTES = 64 * 1024 ** 2

// Taken before any site's code can change it.
const Session = process.features.inspector ? process.getBuiltinModule('node:inspector').Session : undefined

/**
 * What `process.nextTick` has made of a callback; read by nobody but the garbage collector. A collection like this one drops hidden
 * classes that no object has. Where that of ticks is dropped, V8 (Node 24.21) makes each later one by three calls of its runtime, for
 * good: 4 % of the time of a dispatcher under load, 11 % of that of a thread.
 */
export const kept: { tick: object | undefined } = { tick: undefined }

/** Resolves when it is done, at once where the heap is too large or Node was built without inspector; never rejects. */
export function trimHeap(): Promise<void> {
  if (Session === undefined || getHeapStatistics().used_heap_size > MOST_BYTES) return Promise.resolve()
  // Runs before the collection, which is a task of its own.
  if (kept.tick === undefined) process.nextTick(() => Object.assign(kept, { tick: executionAsyncResource() }))
  const { promise, resolve } = Promise.withResolvers<void>()
  const session = new Session()
  session.connect()
  session.post('HeapProfiler.collectGarbage', () => {
    setImmediate(() => {
      session.disconnect()
      resolve()
    })
  })
  return promise
}
