/**
 * Tells a recorder what the pool does with its requests, by the handles of thread, group and site that it keeps.
 *
 * Invariant: each `started` is followed by one of `finished`, `returned`, or the end of its thread.
 */
import type { PoolRecorder, RecordedFlow, RecordedPool } from '../core/pool-recorder.ts'
import type { Exchange } from './exchange.ts'
import type { PoolSite } from './pool-site.ts'
import type { PoolThread } from './pool-thread.ts'

export class Recording {
  readonly #recorder: PoolRecorder
  readonly #concurrency: number
  readonly #pools = new Map<string, RecordedPool>()

  /** @param concurrency most requests in one thread */
  constructor(recorder: PoolRecorder, concurrency: number) {
    this.#recorder = recorder
    this.#concurrency = concurrency
  }

  ready(thread: PoolThread): void {
    thread.record = this.#recorder.thread(this.#pool(thread.group), performance.now())
  }

  /** The only site of a group is gone. */
  forget(group: string): void {
    this.#pools.delete(group)
  }

  gone(thread: PoolThread): void {
    thread.record?.gone(performance.now())
    thread.record = undefined
  }

  arrived(exchange: Exchange): void {
    exchange.wasCold = exchange.site.lane.warm.size === 0
    this.#recorder.arrived(this.#flow(exchange.site), exchange.arrivedAt)
  }

  started(exchange: Exchange, thread: PoolThread): void {
    exchange.startedAt = performance.now()
    exchange.flow = this.#flow(exchange.site)
    if (thread.record !== undefined) this.#recorder.started(exchange.flow, thread.record, exchange.startedAt)
  }

  finished({ flow, arrivedAt, startedAt, wasCold }: Exchange, thread: PoolThread | undefined): void {
    if (flow === undefined || thread?.record === undefined) return
    this.#recorder.finished(flow, thread.record, performance.now(), arrivedAt, startedAt, wasCold)
  }

  returned({ flow }: Exchange, thread: PoolThread | undefined): void {
    if (flow === undefined || thread?.record === undefined) return
    this.#recorder.returned(flow, thread.record, performance.now())
  }

  /** It left the queue without having been with a thread. */
  refused({ site }: Exchange): void {
    this.#recorder.refused(this.#flow(site), performance.now())
  }

  sampled(thread: PoolThread, busyMs: number): void {
    const now = performance.now()
    if (thread.record !== undefined) this.#recorder.sampled(thread.record, now, busyMs, thread.cpuMs)
    const [only, ...others] = thread.sites()
    if (only !== undefined && others.length === 0) this.#recorder.memory(this.#flow(only), now, thread.memoryBytes)
  }

  /** A site's code kept a thread for so long. */
  blocked(site: PoolSite, forMs: number): void {
    this.#recorder.blocked(this.#flow(site), performance.now(), forMs)
  }

  #pool(group: string): RecordedPool {
    const known = this.#pools.get(group)
    if (known !== undefined) return known
    const pool = this.#recorder.pool(group, this.#concurrency, performance.now())
    this.#pools.set(group, pool)
    return pool
  }

  /** The handle of the site in the group where it is now. */
  #flow(site: PoolSite): RecordedFlow {
    if (site.flow !== undefined && site.flowGroup === site.lane.group) return site.flow
    site.flow = this.#recorder.flow(this.#pool(site.lane.group), site.name)
    site.flowGroup = site.lane.group
    return site.flow
  }
}
