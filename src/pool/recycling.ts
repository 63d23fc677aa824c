/**
 * Which thread is to be replaced by a fresh one now, and why. Pure policy: figures of the threads of one group come in, at
 * most one thread goes out, so that never two are replaced at once.
 *
 * Reasons, the most pressing first: memory of the thread, of its process, of the whole pool, open descriptors of its
 * process, requests, age, sites that nobody uses. Limits for requests and age are spread by ±20 % from thread to thread, so that threads that started
 * together do not end together.
 */

export interface RecyclingLimits {
  /** Heap and external memory of one thread, in bytes. */
  threadMemoryBytes: number
  /** Resident memory of one process, in bytes; undefined: no limit. */
  processMemoryBytes: number | undefined
  /** Requests of one thread; 0: no limit. */
  maxRequests: number
  /** Age of one thread, in ms; 0: no limit. */
  maxAgeMs: number
}

/** One thread as it was last measured. */
export interface ThreadFigures {
  thread: number
  memoryBytes: number
  /** Of the process that it is in, and how many threads share that. */
  processBytes: number
  /** Open descriptors of its process, as a share of those that it may have. */
  descriptorShare: number
  requests: number
  ageMs: number
  /** Sites that are loaded in it, and those that nobody has used for longer than their `idle`. */
  sites: number
  idleSites: number
  /** Whether it holds anything that was loaded for requests at all. */
  isEmpty: boolean
}

export type RecyclingKind =
  | 'memory'
  | 'process memory'
  | 'pool memory'
  | 'descriptors'
  | 'requests'
  | 'age'
  | 'idle sites'

export interface Recycling {
  thread: number
  kind: RecyclingKind
  /** In words, for the log. */
  why: string
}

/** A thread that was replaced is no cure for its process or the pool so soon again, in ms. */
const YOUNG_MS = 60_000
/** Share of the descriptors that a process may have from which on it is relieved of some. */
const MOST_DESCRIPTORS = 0.3
/** From how many sites that nobody uses it pays to load those that are used once more. */
const MANY_IDLE = 8

/**
 * The thread to be replaced now; undefined when all are well.
 *
 * @param overBytes by how much the pool as a whole takes more memory than it may
 */
export function nextToRecycle(
  threads: readonly ThreadFigures[],
  limits: RecyclingLimits,
  overBytes: number,
): Recycling | undefined {
  return (
    largest(
      threads,
      (one) => one.memoryBytes - limits.threadMemoryBytes,
      (one) => ({
        kind: 'memory',
        why: `it takes ${megabytes(one.memoryBytes)}, more than thread_memory (${megabytes(limits.threadMemoryBytes)})`,
      }),
    ) ??
    ofProcess(threads, limits.processMemoryBytes) ??
    ofPool(threads, overBytes) ??
    ofDescriptors(threads) ??
    largest(
      threads,
      (one) => overLimit(one, one.requests, limits.maxRequests),
      (one) => ({
        kind: 'requests',
        why: `it has answered ${one.requests} requests (max_requests = ${limits.maxRequests})`,
      }),
    ) ??
    largest(
      threads,
      (one) => overLimit(one, one.ageMs, limits.maxAgeMs),
      (one) => ({
        kind: 'age',
        why: `it is ${Math.round(one.ageMs / 1000)} s old (max_age = ${Math.round(limits.maxAgeMs / 1000)} s)`,
      }),
    ) ??
    largest(threads, idleGain, (one) => ({
      kind: 'idle sites',
      why: `nobody uses ${one.idleSites} of its ${one.sites} sites`,
    }))
  )
}

function ofProcess(threads: readonly ThreadFigures[], limit: number | undefined): Recycling | undefined {
  if (limit === undefined) return undefined
  const over = threads.filter((one) => one.processBytes > limit && !one.isEmpty && one.ageMs > YOUNG_MS)
  return largest(
    over,
    (one) => one.memoryBytes,
    (one) => ({
      kind: 'process memory',
      why: `its process takes ${megabytes(one.processBytes)}, more than process_memory (${megabytes(limit)})`,
    }),
  )
}

function ofPool(threads: readonly ThreadFigures[], overBytes: number): Recycling | undefined {
  if (overBytes <= 0) return undefined
  // A fresh thread takes memory too: only one that holds something gives some back.
  const holding = threads.filter((one) => !one.isEmpty && one.ageMs > YOUNG_MS)
  return largest(
    holding,
    (one) => one.memoryBytes,
    () => ({
      kind: 'pool memory',
      why: `the pool takes ${megabytes(overBytes)} more than its memory`,
    }),
  )
}

/** A thread closes what it has open as it ends: the one that did the most is the likeliest to have left it open. */
function ofDescriptors(threads: readonly ThreadFigures[]): Recycling | undefined {
  const over = threads.filter((one) => one.descriptorShare > MOST_DESCRIPTORS && !one.isEmpty)
  return largest(
    over,
    (one) => one.requests + 1,
    (one) => ({
      kind: 'descriptors',
      why: `${Math.round(one.descriptorShare * 100)} % of its process' descriptors are open`,
    }),
  )
}

/** Positive when the thread has passed its own, spread limit. */
function overLimit({ thread }: ThreadFigures, value: number, limit: number): number {
  return limit === 0 ? 0 : value - limit * spread(thread)
}

/** 0.8 to 1.2, the same for one thread always: Knuth's multiplicative hash of its number. */
function spread(thread: number): number {
  return 0.8 + (0.4 * ((thread * 2654435761) % 2 ** 32)) / 2 ** 32
}

/** How many more sites are dropped than have to be loaded elsewhere; not positive where it does not pay. */
function idleGain({ sites, idleSites }: ThreadFigures): number {
  if (idleSites === 0) return 0
  const used = sites - idleSites
  return used === 0 || idleSites >= Math.max(MANY_IDLE, used) ? idleSites : 0
}

function largest(
  threads: readonly ThreadFigures[],
  measure: (one: ThreadFigures) => number,
  reason: (one: ThreadFigures) => Omit<Recycling, 'thread'>,
): Recycling | undefined {
  let best: ThreadFigures | undefined
  let most = 0
  for (const one of threads) {
    const value = measure(one)
    if (value <= most) continue
    best = one
    most = value
  }
  return best === undefined ? undefined : { thread: best.thread, ...reason(best) }
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1024 ** 2)} MB`
}
