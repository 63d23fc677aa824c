/**
 * What the pool tells of its work to whoever records it (advice/recorder.ts), so that neither needs to know the other.
 * Types only. All times are of the clock of `performance.now()`, in ms.
 *
 * The handles are made once and kept: what is called for each request looks nothing up.
 */

/** A group of threads. */
export interface RecordedPool {
  readonly name: string
}

/** The requests of one site in one group. */
export interface RecordedFlow {
  readonly site: string
}

export interface RecordedThread {
  /** It has ended. What it had is not counted; what is told of it later does nothing. */
  gone(nowMs: number): void
}

export interface PoolRecorder {
  /** @param concurrency most requests in one of its threads */
  pool(name: string, concurrency: number, nowMs: number): RecordedPool
  flow(pool: RecordedPool, site: string): RecordedFlow
  /** A thread is ready. */
  thread(pool: RecordedPool, nowMs: number): RecordedThread
  /** A request came in, and has not been placed. */
  arrived(flow: RecordedFlow, nowMs: number): void
  /** It was handed to a thread. Then `finished` or `returned` follows, once, unless the thread is gone. */
  started(flow: RecordedFlow, thread: RecordedThread, nowMs: number): void
  /** It has left its thread for good, however it ended. @param wasCold its site was loaded in no thread when it came */
  finished(
    flow: RecordedFlow,
    thread: RecordedThread,
    nowMs: number,
    arrivedMs: number,
    startedMs: number,
    wasCold: boolean,
  ): void
  /** It was taken back before it had an answer, and waits again. */
  returned(flow: RecordedFlow, thread: RecordedThread, nowMs: number): void
  /** It left the queue without having been with a thread. */
  refused(flow: RecordedFlow, nowMs: number): void
  /** @param loopMs busy time of its event loop since the last sample @param cpuTotalMs processor time since it began */
  sampled(thread: RecordedThread, nowMs: number, loopMs: number, cpuTotalMs: number): void
  /** A site's code kept an event loop from coming round for so long. Once for each block, when it is over. */
  blocked(flow: RecordedFlow, nowMs: number, forMs: number): void
  /** What a site takes in memory, in all threads; only where that is known of it alone. */
  memory(flow: RecordedFlow, nowMs: number, bytes: number): void
}
