/**
 * Runs arrivals through a model of the pool: what would they have waited, had the pool been of that size?
 *
 * A request holds a place in a thread (`threads × concurrency` there are) for as long as it is in the pool, and an event
 * loop (one a thread) while its code computes and then blocks. Both are handed out in order of arrival, to whoever is
 * first. Those that compute share the processors evenly, as an operating system lets them. So it is the queue M/G/c of the
 * textbooks where nothing computes or there are processors enough, and processor sharing where there are threads enough.
 * A site with `max_threads` has no more loops and places than those threads: what it has not room for waits by itself, and
 * lets others pass. What it leaves out: docs/advice.md.
 *
 * Invariant: a wait is the time from arrival until the request's code runs for the first time, plus what its computing
 * takes longer because others compute.
 */
import type { Arrivals, Lane } from './arrivals.ts'
import { Histogram } from './histogram.ts'
import { Soonest } from './soonest.ts'

export interface PoolShape {
  threads: number
  /** Places in each thread. */
  concurrency: number
  cores: number
}

export interface Waits {
  histogram: Histogram
  /** Share of the requests that had to queue for a place or an event loop. */
  queued: number
}

/** What each request would have waited. */
export function replay(arrivals: Arrivals, shape: PoolShape): Waits {
  const run = new Replay(arrivals, shape)
  run.toEnd()
  const { histogram, queued } = run
  return { histogram, queued: histogram.count === 0 ? 0 : queued / histogram.count }
}

/** What a site with `max_threads` has, and its requests that wait for that, in order. */
class LaneState {
  loops: number
  places: number
  readonly held: number[] = []
  first = 0

  constructor({ maxThreads }: Lane, { threads, concurrency }: PoolShape) {
    this.loops = Math.min(maxThreads, threads)
    this.places = this.loops * concurrency
  }

  get isWaiting(): boolean {
    return this.first < this.held.length
  }
}

/**
 * A simulation from event to event. Requests start in order, so who waits is no list, but where `#next` stands; but for
 * those that wait for the threads that their own site may have.
 */
class Replay {
  readonly histogram = new Histogram()
  queued = 0
  readonly #arrivals: Arrivals
  readonly #cores: number
  /** Free now, and when each that is taken is free again. */
  #loops: number
  #places: number
  readonly #loopEnds = new Soonest()
  readonly #placeEnds = new Soonest()
  readonly #lanes: readonly LaneState[]
  /** Those that compute, by how much each processor share will have done when they have theirs. */
  readonly #computing = new Soonest()
  /** Time, and the computing that a request had got if it had computed all along: both in ms. */
  #nowMs = 0
  #doneMs = 0
  #next = 0

  constructor(arrivals: Arrivals, shape: PoolShape) {
    const { threads, concurrency, cores } = shape
    this.#arrivals = arrivals
    this.#lanes = (arrivals.lanes ?? []).map((lane) => new LaneState(lane, shape))
    this.#cores = cores
    this.#loops = threads
    this.#places = threads * concurrency
  }

  toEnd(): void {
    const { atMs } = this.#arrivals
    while (this.#next < atMs.length || this.#computing.size > 0 || this.#lanes.some((lane) => lane.isWaiting)) {
      if (this.#startNext()) continue
      const arrivalMs = atMs[this.#next] ?? Number.POSITIVE_INFINITY
      const speed = Math.min(1, this.#cores / this.#computing.size)
      const computedMs = this.#nowMs + (this.#computing.soonest - this.#doneMs) / speed
      const freeMs = Math.min(this.#loopEnds.soonest, this.#placeEnds.soonest)
      // Somebody who waits already does not arrive again.
      const thenMs = Math.min(computedMs, freeMs, arrivalMs > this.#nowMs ? arrivalMs : Number.POSITIVE_INFINITY)
      if (this.#computing.size > 0) this.#doneMs += Math.max(0, thenMs - this.#nowMs) * speed
      this.#nowMs = thenMs
      if (thenMs === computedMs) this.#computed()
      while (this.#loopEnds.soonest <= thenMs) this.#giveBack('loops', this.#loopEnds.take())
      while (this.#placeEnds.soonest <= thenMs) this.#giveBack('places', this.#placeEnds.take())
    }
  }

  #giveBack(what: 'loops' | 'places', index: number): void {
    if (what === 'loops') this.#loops++
    else this.#places++
    const lane = this.#laneOf(index)
    if (lane !== undefined) lane[what]++
  }

  #fits(index: number, loops: number, places: number): boolean {
    return places > 0 && (loops > 0 || this.#arrivals.loopMs[index] === 0)
  }

  #laneOf(index: number): LaneState | undefined {
    return this.#lanes[this.#arrivals.lane?.[index] ?? -1]
  }

  /** Starts the first of those that wait, if it has come and there is room; or sets it aside, where only its site has none. */
  #startNext(): boolean {
    for (const lane of this.#lanes) {
      const held = lane.held[lane.first]
      if (held === undefined || !this.#fits(held, this.#loops, this.#places)) continue
      if (!this.#fits(held, lane.loops, lane.places)) continue
      lane.first++
      this.#start(held)
      return true
    }
    const index = this.#next
    if (!((this.#arrivals.atMs[index] as number) <= this.#nowMs)) return false
    const lane = this.#laneOf(index)
    const isHeld = lane !== undefined && (lane.isWaiting || !this.#fits(index, lane.loops, lane.places))
    if (!isHeld && !this.#fits(index, this.#loops, this.#places)) return false
    this.#next++
    if (isHeld) lane.held.push(index)
    else this.#start(index)
    return true
  }

  #start(index: number): void {
    const { atMs, loopMs, cpuMs } = this.#arrivals
    const lane = this.#laneOf(index)
    this.#places--
    if (lane !== undefined) lane.places--
    if ((loopMs[index] as number) > 0) {
      this.#loops--
      if (lane !== undefined) lane.loops--
    }
    const cpu = cpuMs[index] as number
    if (this.#nowMs > (atMs[index] as number)) this.queued += this.#arrivals.weight[index] as number
    if (cpu > 0) this.#computing.add(this.#doneMs + cpu, index)
    else this.#release(index, 0)
  }

  /** The one that is soonest done with computing is done now. */
  #computed(): void {
    this.#doneMs = this.#computing.soonest
    const index = this.#computing.take()
    this.#release(index, this.#arrivals.cpuMs[index] as number)
  }

  /** What a request still holds after its computing is known from here on. */
  #release(index: number, cpu: number): void {
    const { atMs, serviceMs, loopMs, weight } = this.#arrivals
    const loop = loopMs[index] as number
    if (loop > 0) this.#loopEnds.add(this.#nowMs + loop - cpu, index)
    this.#placeEnds.add(this.#nowMs + (serviceMs[index] as number) - cpu, index)
    const counts = weight[index] as number
    if (counts > 0) this.histogram.record(this.#nowMs - cpu - (atMs[index] as number), counts)
  }
}

export interface PoolWanted {
  concurrency: number
  cores: number
  /** Which quantile of the waits, 0 to 1, has to be at most how long. */
  quantile: number
  maxWaitMs: number
  /** No more threads than this are tried. */
  maxThreads: number
}

/** The fewest threads that keep the bound; undefined when not even `maxThreads` do. */
export function fewestThreads(arrivals: Arrivals, wanted: PoolWanted): { threads: number; waits: Waits } | undefined {
  const tried = new Map<number, Waits>()
  const isEnough = (threads: number): boolean => {
    const waits = tried.get(threads) ?? replay(arrivals, { ...wanted, threads })
    tried.set(threads, waits)
    return waits.histogram.quantile(wanted.quantile) <= wanted.maxWaitMs
  }
  let enough = 1
  while (!isEnough(enough)) {
    if (enough === wanted.maxThreads) return undefined
    enough = Math.min(enough * 2, wanted.maxThreads)
  }
  let tooFew = enough >> 1
  while (enough - tooFew > 1) {
    const middle = (enough + tooFew) >> 1
    if (isEnough(middle)) enough = middle
    else tooFew = middle
  }
  return { threads: enough, waits: tried.get(enough) as Waits }
}
