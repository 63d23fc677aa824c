/**
 * Records what the pool does, always: what the advice is drawn from cannot be asked for afterwards. Data only: no timer,
 * no clock, no socket; the time is handed in, in ms of any clock that does not go back.
 *
 * Limits: about 4 MB of closed intervals (intervals.ts), 5 MB of arrivals (stretches.ts), and 4 KB for each site that had a
 * request in the minute that is open, `MAX_SITES` at most; the sites beyond are counted together. Nothing is older than 24
 * hours. A request costs four calls of tens of nanoseconds (bench/recorder.ts).
 *
 * Invariant: every request that was handed over is counted once, in the interval in which it ended.
 */
import type { AdviceSnapshot, ProcessRecord } from '../core/advice-report.ts'
import type { PoolRecorder } from '../core/pool-recorder.ts'
import { Flow, PoolFlow, Tally } from './flow.ts'
import { Histogram } from './histogram.ts'
import type { Interval } from './intervals.ts'
import { Intervals, mergePools, mergeSites } from './intervals.ts'
import { Stretches } from './stretches.ts'
import { ThreadMark } from './thread-mark.ts'

const INTERVAL_MS = 60_000
/** Sites that are told apart within one minute. */
const MAX_SITES = 2048
/** The name under which those beyond are counted. */
export const OTHER_SITES = '(other sites)'
/** Longest window that can be asked for. */
export const MAX_WINDOW_MS = 86_400_000

export interface SnapshotOptions {
  nowMs: number
  /** How far back; at most `MAX_WINDOW_MS`. */
  windowMs: number
  machine: { cores: number; memoryBytes: number }
  processes: ProcessRecord[]
  /** `nowMs` in Unix time, which may have been set since the start. Left out: as it was then. */
  unixMs?: number
  /** Of the dispatcher. */
  pid?: number
  source?: AdviceSnapshot['source']
}

export class Recorder implements PoolRecorder {
  readonly #pools = new Map<string, PoolFlow>()
  /** Flows that have a tally of their own in the interval that is open, and those that share `#others`. */
  readonly #active: Flow[] = []
  readonly #lumped: Flow[] = []
  readonly #spare: Tally[] = []
  readonly #others = new Tally()
  readonly #intervals = new Intervals()
  readonly #stretches: Stretches
  /** What is added to `nowMs` to give Unix time. */
  readonly #unixMs: number
  #fromMs: number
  #endsMs: number

  /** @param nowMs the recorder's clock @param unixMs the same moment in Unix time */
  constructor(nowMs: number, unixMs: number) {
    this.#unixMs = unixMs - nowMs
    this.#fromMs = nowMs
    this.#endsMs = nowMs + INTERVAL_MS
    this.#stretches = new Stretches(nowMs)
  }

  /** The handle of a pool (`default`, a named one, a site's own). @param concurrency most requests in one of its threads */
  pool(name: string, concurrency: number, nowMs: number): PoolFlow {
    const known = this.#pools.get(name)
    if (known !== undefined) {
      known.concurrency = concurrency
      return known
    }
    const pool = new PoolFlow(name, concurrency, nowMs)
    this.#pools.set(name, pool)
    return pool
  }

  /** The handle of one site's requests in one pool. Keep it: a second one for the same is a second entry until it is packed. */
  flow(pool: PoolFlow, site: string): Flow {
    return new Flow(pool, site)
  }

  /** A thread is ready. */
  thread(pool: PoolFlow, nowMs: number): ThreadMark {
    if (this.#pools.get(pool.name) !== pool) {
      pool.resume(nowMs)
      this.#pools.set(pool.name, pool)
    }
    return new ThreadMark(pool, nowMs)
  }

  /** A request came in, and has not been placed. */
  arrived(flow: Flow, nowMs: number): void {
    if (nowMs >= this.#endsMs) this.#roll(nowMs)
    flow.pool.arrived()
    ;(flow.tally ?? this.#open(flow)).arrived++
  }

  /** It was handed to a thread. */
  started(flow: Flow, thread: ThreadMark, nowMs: number): void {
    if (nowMs >= this.#endsMs) this.#roll(nowMs)
    thread.started(flow, nowMs)
  }

  /** It has left its thread for good, however it ended: `finished` or `returned`, exactly once for each `started`. */
  finished(flow: Flow, thread: ThreadMark, nowMs: number, arrivedMs: number, startedMs: number, wasCold = false): void {
    thread.finished(flow, nowMs)
    this.ended(flow, nowMs, arrivedMs, startedMs, wasCold)
  }

  /** It was taken back before it had an answer, and waits again: it is as if it had not been started. */
  returned(flow: Flow, thread: ThreadMark, nowMs: number): void {
    thread.finished(flow, nowMs)
  }

  /** As `finished`, where there is no thread (an access log). */
  ended(flow: Flow, nowMs: number, arrivedMs: number, startedMs: number, wasCold = false): void {
    if (nowMs >= this.#endsMs) this.#roll(nowMs)
    const tally = flow.tally ?? this.#open(flow)
    const serviceMs = nowMs - startedMs
    tally.service.record(serviceMs)
    if (wasCold) tally.cold ??= new Histogram()
    const waits = wasCold ? tally.cold : tally.wait
    waits?.record(startedMs - arrivedMs)
    this.#stretches.record(flow, nowMs, arrivedMs, serviceMs)
  }

  /** A request left the queue without a thread: it was full, it waited too long, its client went away. */
  refused(flow: Flow, nowMs: number): void {
    if (nowMs >= this.#endsMs) this.#roll(nowMs)
    ;(flow.tally ?? this.#open(flow)).refused++
  }

  /**
   * The supervisor measured a thread.
   *
   * @param loopMs busy time of its event loop since the last sample
   * @param cpuTotalMs its processor time since it began
   */
  sampled(thread: ThreadMark, nowMs: number, loopMs: number, cpuTotalMs: number): void {
    if (nowMs >= this.#endsMs) this.#roll(nowMs)
    for (const share of thread.divide(loopMs, cpuTotalMs)) {
      const tally = share.flow.tally ?? this.#open(share.flow)
      tally.loopMs += share.loopMs
      tally.cpuMs += share.cpuMs
      tally.measured = true
    }
  }

  /** A site's code kept an event loop from coming round for so long. Once for each block, when it is over. */
  blocked(flow: Flow, nowMs: number, forMs: number): void {
    if (nowMs >= this.#endsMs) this.#roll(nowMs)
    const tally = flow.tally ?? this.#open(flow)
    tally.blocks ??= new Histogram()
    tally.blocks.record(forMs)
  }

  /** What a site takes in memory, in all threads; only where that is known of it alone. */
  memory(flow: Flow, nowMs: number, bytes: number): void {
    if (nowMs >= this.#endsMs) this.#roll(nowMs)
    const tally = flow.tally ?? this.#open(flow)
    tally.memoryBytes = Math.max(tally.memoryBytes, bytes)
  }

  /** The window as it is now. Changes nothing; takes some milliseconds with hundreds of sites and a full memory of arrivals. */
  snapshot(options: SnapshotOptions): AdviceSnapshot {
    const { nowMs, machine, processes, pid, source = 'server' } = options
    if (nowMs >= this.#endsMs) this.#roll(nowMs)
    const wantedMs = nowMs - Math.min(options.windowMs, MAX_WINDOW_MS)
    const intervals = [...this.#intervals.since(wantedMs), this.#packed(nowMs)].map((each) => clipped(each, wantedMs))
    const fromMs = intervals[0]?.fromMs ?? wantedMs
    const unixMs = (options.unixMs ?? nowMs + this.#unixMs) - nowMs
    return {
      source,
      fromMs: fromMs + unixMs,
      toMs: nowMs + unixMs,
      machine,
      ...(pid !== undefined && { pid }),
      processes,
      pools: mergePools(intervals.map(({ pools }) => pools)),
      sites: mergeSites(intervals.map(({ sites }) => sites)),
      // Of the same time as all else, though that may begin before what was asked for.
      arrivals: this.#stretches.since(fromMs, -unixMs),
    }
  }

  #open(flow: Flow): Tally {
    const room = this.#active.length < MAX_SITES
    flow.tally = room ? (this.#spare.pop() ?? new Tally()) : this.#others
    if (room) this.#active.push(flow)
    else this.#lumped.push(flow)
    return flow.tally
  }

  #roll(nowMs: number): void {
    this.#close(this.#endsMs)
    // Minutes in which nobody called are one interval.
    const behind = Math.floor((nowMs - this.#endsMs) / INTERVAL_MS)
    if (behind >= 0) this.#close(this.#endsMs + behind * INTERVAL_MS)
  }

  /** Closes the interval that is open, whatever its length. */
  #close(toMs: number): void {
    this.#intervals.push(this.#packed(toMs))
    for (const flow of this.#active) {
      const tally = flow.tally as Tally
      flow.lastMeanMs = flow.mostCostMs
      flow.tally = undefined
      tally.clear()
      this.#spare.push(tally)
    }
    for (const flow of this.#lumped) flow.tally = undefined
    this.#others.clear()
    // Half of what is spare goes, so that one busy minute is not paid for all day.
    this.#spare.length = Math.max(this.#active.length, this.#spare.length >> 1)
    this.#active.length = 0
    this.#lumped.length = 0
    for (const pool of this.#pools.values()) {
      pool.clear()
      if (pool.threads === 0 && pool.name !== 'default') this.#pools.delete(pool.name)
    }
    this.#fromMs = toMs
    this.#endsMs = toMs + INTERVAL_MS
  }

  #packed(toMs: number): Interval {
    for (const pool of this.#pools.values()) pool.advance(toMs)
    const sites = this.#active.map((flow) => (flow.tally as Tally).record(flow.pool.name, flow.site))
    if (this.#lumped.length > 0) sites.push(this.#others.record(this.#lumped[0]?.pool.name ?? '', OTHER_SITES))
    return {
      fromMs: this.#fromMs,
      toMs,
      pools: [...this.#pools.values()].map((pool) => pool.record()),
      sites: mergeSites([sites]),
    }
  }
}

/** Time in which nothing happened is cut at the window's edge; intervals with requests are taken whole. */
function clipped(interval: Interval, fromMs: number): Interval {
  const { sites, toMs, pools } = interval
  if (interval.fromMs >= fromMs || sites.length > 0) return interval
  const left = (toMs - fromMs) / (toMs - interval.fromMs)
  const scaled = pools.map((pool) => ({
    ...pool,
    threadMs: pool.threadMs * left,
    busyMs: pool.busyMs.map((ms) => ms * left),
  }))
  return { fromMs, toMs, pools: scaled, sites }
}
