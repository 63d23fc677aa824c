/**
 * What the advice is: figures, each of which can be reckoned from others in the report, but those of the replay. Types
 * only; `vhostel advise --json` prints it.
 */
import type { AdviceSnapshot } from '../core/advice-report.ts'
import type { MemoryUse } from './memory.ts'

export interface AdviceOptions {
  /** The wait that is bounded, and the share of requests that it is bounded for. */
  maxWaitMs: number
  quantile: number
  /** For pools whose times were not measured: see arrivals.ts. */
  cpuShare?: number
  /** Places in each thread, where the snapshot does not know. */
  concurrency: number
}

/** Waits in ms at the median, at the report's `quantile`, and the longest. */
export interface WaitFigures {
  medianMs: number
  quantileMs: number
  maxMs: number
  /** Share of requests that waited at all. */
  waited: number
}

export interface Shape {
  processes: number
  threadsPerProcess: number
  threads: number
}

/** What a replay with so many threads gave. */
export interface Trial {
  threads: number
  waits: WaitFigures
}

export interface PoolAdvice {
  pool: string
  /** Undefined where there is no pool yet. */
  shape: Shape | undefined
  concurrency: number
  requests: number
  /** Share of the time, and of the requests as they came, with k threads busy (of a log: k requests open), at index k. */
  busy: { time: number; requests: number }[]
  /** Sum of: thread lifetimes, event loop time, processor time, request time. Undefined where it was not measured. */
  threadMs: number
  loopMs: number | undefined
  cpuMs: number | undefined
  serviceMs: number
  /** Mean of threads with a request (of a log: of open requests). */
  meanBusy: number
  /** Share of what the pool has that was in use, by what it runs out of first. Undefined where there is no pool. */
  utilisation: { of: 'event loops' | 'places' | 'threads'; share: number } | undefined
  /** As recorded. Undefined of a log, which cannot know. */
  waits: WaitFigures | undefined
  /** Requests that the replay ran on, and those that they stand for. */
  replayed: { requests: number; represents: number }
  /** Sites that their own `max_threads` makes wait for longer than the bound, however many threads: `smallest` and `tooFew` are of the others. */
  limited: string[]
  /** The model of the pool as it is: to be held against `waits`. */
  now: Trial | undefined
  /** The fewest threads that keep the bound, one fewer, and how they are best divided. */
  smallest: (Trial & { shape: Shape }) | undefined
  tooFew: Trial | undefined
  /**
   * Thread time that the requests took: of event loops, measured or assumed, or of places where these are scarcer; and the
   * threads with which half of them would be busy.
   */
  workMs: number
  halfBusyThreads: number
  /** Processors that it took, as a mean. Undefined where it was not measured. */
  meanCores: number | undefined
  /** What it may take by its settings. Undefined where nothing is set. */
  memoryBytes: number | undefined
}

export interface SiteAdvice {
  pool: string
  site: string
  requests: number
  refused: number
  perSecond: number
  /** Share of its pool's request time and processor time, and of its own request time that it was on a processor. */
  busyShare: number
  cpuShare: number | undefined
  ownCpuShare: number | undefined
  service: { meanMs: number; medianMs: number; p99Ms: number; maxMs: number }
  /** Of the requests that found it loaded. */
  waitP99Ms: number
  /** Requests that came while it was loaded in no thread, and the longest wait of one of them. */
  cold: { requests: number; longestMs: number }
  /** How long it keeps a thread from everything else, of 100 requests the longest but one; undefined where not known. */
  blockP99Ms: number | undefined
  memoryBytes: number | undefined
  /** `[limits] max_threads`; undefined where it is not set. */
  maxThreads: number | undefined
  /** `[site] preload`. */
  preload: boolean
  /** Requests/s that its pool could do, were they all its: at its mean, and if all were as slow as one in a hundred. */
  capacity: Capacity
  /** The same without `max_threads`. */
  unlimited: Capacity
}

/** Requests/s. */
export interface Capacity {
  mean: number
  worst: number
}

export interface MemoryAdvice extends MemoryUse {
  /** Whether `perProcessBytes` is an estimate, because there is no process yet. */
  isEstimate: boolean
  /** What processes of the pool may take together: what is left of the RAM, or of the limit of a cgroup. */
  leftBytes: number
  limitBytes: number | undefined
  processes: number
}

export interface AdviceReport {
  source: AdviceSnapshot['source']
  fromMs: number
  toMs: number
  cores: number
  options: AdviceOptions
  pools: PoolAdvice[]
  memory: MemoryAdvice | undefined
  sites: SiteAdvice[]
  /** All sites together, in their present mixture, until the first is at its limit. */
  capacity: Capacity
  /** What stands out, in words. */
  remarks: string[]
}
