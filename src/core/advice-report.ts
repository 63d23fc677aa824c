/**
 * What the recorder hands out of the pool's recent past: the JSON behind `GET /advice` on the admin socket, from which
 * `vhostel advise` draws its conclusions. Types only: the dispatcher records and hands out, the command line reckons, so
 * that no replay ever holds up a request.
 */

/** Counts of durations in fixed buckets (advice/histogram.ts); the form that is kept and sent. */
export interface PackedHistogram {
  count: number
  sumMs: number
  maxMs: number
  /** Bucket, count, bucket, count, …; buckets ascending, none empty. */
  buckets: number[]
}

/** One site in one pool. A site that was moved between pools has a record for each. */
export interface SiteRecord {
  pool: string
  site: string
  arrived: number
  /** Requests that left the queue without ever being with a thread: queue full, waited too long. */
  refused: number
  /** From handing over to a thread until the end of the answer: one entry for each finished request. */
  service: PackedHistogram
  /** From arrival until handing over to a thread: one entry for each finished request that is not in `cold`. */
  wait: PackedHistogram
  /** The same of those that came while the site was loaded in no thread: most of it is the load. Left out: there was none. */
  cold?: PackedHistogram
  /** Times for which its code kept a thread's event loop from coming round. */
  blocks: PackedHistogram
  /** Time of event loops that it took, and processor time. Left out where nobody measured. */
  loopMs?: number
  cpuMs?: number
  /** Most memory seen. Left out where it is not known of this site alone. */
  memoryBytes?: number
  /** `[limits] max_threads` as it is now. Left out where it is not set. */
  maxThreads?: number
  /** `[site] preload` as it is now. Left out where it is off. */
  preload?: true
}

export interface PoolRecord {
  pool: string
  /** Most requests in one thread at once; 0 where there was no pool (an access log). */
  concurrency: number
  /** Threads at the end of the window. */
  threads: number
  /** Sum of the lifetimes of its threads within the window. */
  threadMs: number
  /** Time with k busy threads, at index k. A thread is busy while it has at least one request. */
  busyMs: number[]
  /** Requests that found k threads busy as they arrived, at index k. */
  found: number[]
  /** `memory` of its section as it is now. Left out where it is not set. */
  memoryBytes?: number
}

/** Requests in a row, as the replay needs them. */
export interface ArrivalStretch {
  /** From the first to the last finish in it; same clock as the snapshot's. */
  fromMs: number
  toMs: number
  /** No request is missing between the stretch before, or the very beginning, and this one. */
  follows: boolean
  /** Finished requests that it stands for: its own, and those after it that were not kept. */
  represents: number
  /** Pool and site, by the number that the flow column has. */
  flows: [pool: string, site: string][]
  count: number
  /** Base64 of three little-endian columns: arrival after `fromMs` (float32, ms), service time (float32, ms), flow (uint16). */
  columns: string
}

/** A worker process as it is now. */
export interface ProcessRecord {
  pid: number
  pool: string
  threads: number
  /** Resident memory, shared pages counted in full. */
  rssBytes: number
}

export interface AdviceSnapshot {
  source: 'server' | 'log'
  /** The time that is covered, at most the window that was asked for plus the width of one interval; Unix time in ms. */
  fromMs: number
  toMs: number
  machine: {
    /** Cores and bytes that may be used, cgroup limits counted. */
    cores: number
    memoryBytes: number
  }
  /** Process id of the dispatcher; left out where there is no server. */
  pid?: number
  processes: ProcessRecord[]
  pools: PoolRecord[]
  sites: SiteRecord[]
  arrivals: ArrivalStretch[]
}
