/**
 * Keeps the pool in shape while it serves: measures threads and processes, lets groups grow and shrink (elastic.ts),
 * replaces threads that have grown too large or too old (recycling.ts), drops sites that nobody uses, finds those that work
 * without being asked (background-work.ts), and has what is calm give back memory (trimming.ts).
 *
 * It looks often while there are requests and seldom while there are none. Limits: one thread is replaced at a time, its
 * replacement loaded first; a group replaces at most one thread in `RECYCLE_EVERY_MS`, and ends at most one process in
 * `PROCESS_EVERY_MS`, when what it shrank to fits in the others. Invariant: what is decided here is logged with its reason.
 */
import { readPss, THREAD_BYTES } from '../core/footprint.ts'
import type { Log } from '../core/log.ts'
import { BackgroundWork } from './background-work.ts'
import { Elastic } from './elastic.ts'
import type { Isolation } from './isolation.ts'
import { MemoryBrake } from './memory-brake.ts'
import type { Pool } from './pool.ts'
import type { PoolSite } from './pool-site.ts'
import type { PoolThread } from './pool-thread.ts'
import type { ProcessGroup } from './process-group.ts'
import type { Recycling, ThreadFigures } from './recycling.ts'
import { nextToRecycle } from './recycling.ts'
import type { Renewal } from './renewal.ts'
import { Trimming } from './trimming.ts'
import type { WorkerProcess } from './worker-process.ts'

/** The parts that carry out what is decided. */
export interface UpkeepParts {
  pool: Pool
  renewal: Renewal
  isolation: Isolation
}

const LOOK_MS = 500
/** While there are no requests. */
const IDLE_LOOK_MS = 10_000
const RECYCLE_EVERY_MS = 5_000
const PROCESS_EVERY_MS = 60_000

export class Upkeep {
  readonly #parts: UpkeepParts
  readonly #log: Log
  readonly #elastic = new WeakMap<ProcessGroup, Elastic>()
  readonly #trimming = new Trimming()
  readonly #background: BackgroundWork
  readonly #brakes = new WeakMap<ProcessGroup, MemoryBrake>()
  readonly #recycledAt = new WeakMap<ProcessGroup, number>()
  readonly #processTriedAt = new WeakMap<ProcessGroup, number>()
  #timer: NodeJS.Timeout | undefined
  #isAwake = false
  #closed = false

  constructor(parts: UpkeepParts, log: Log) {
    this.#parts = parts
    this.#log = log
    const { pool, isolation } = parts
    this.#background = new BackgroundWork({
      lookAt: (thread) => pool.lookAt(thread),
      isSuspicious: (thread) => isShared(thread) && !pool.workforce.isOwn(thread) && !pool.workforce.isFull(thread),
      onOften: (thread, site) => pool.avoid(thread, site),
      offence: (site, offence) => isolation.offence(site, offence),
    })
    this.#arm(IDLE_LOOK_MS)
  }

  /** There are requests: the pool is looked at more often. */
  wake(): void {
    if (this.#isAwake || this.#closed) return
    this.#isAwake = true
    this.#arm(LOOK_MS)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #arm(waitMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#look().catch((error: unknown) => this.#log.error({ err: error }, 'looking after the pool failed'))
    }, waitMs).unref()
  }

  async #look(): Promise<void> {
    const { pool } = this.#parts
    try {
      this.#isAwake = pool.takeTraffic()
      const present = pool.workforce.present()
      const processes = present.flatMap((group) => group.processes)
      await Promise.all([pool.workforce.measure(), ...processes.map((process) => process.countDescriptors())])
      this.#trimming.look(pool.workforce.threads.values(), performance.now())
      this.#background.look(pool.workforce.threads.values(), performance.now())
      const taken = await takenBy(present)
      for (const group of [...pool.workforce.groups.values()]) this.#lookAt(group, taken)
    } finally {
      if (!this.#closed) this.#arm(this.#isAwake ? LOOK_MS : IDLE_LOOK_MS)
    }
  }

  #lookAt(group: ProcessGroup, taken: TakenMemory): void {
    const { limits, isOwn, pool } = group.settings
    const overBytes = (taken.pools.get(pool) ?? 0) - (limits.memoryBytes ?? Number.POSITIVE_INFINITY)
    const now = performance.now()
    if (group.closing || (isOwn && this.#closeIdle(group, now))) return
    this.#resize(group, overBytes + THREAD_BYTES < 0, now)
    const since = now - (this.#recycledAt.get(group) ?? Number.NEGATIVE_INFINITY)
    if (since < RECYCLE_EVERY_MS || group.ready < group.size || this.#parts.renewal.isBusy) return
    const ready = [...group.threads].filter(({ state }) => state === 'ready')
    const figures = ready.map((one) => figuresOf(one, taken.processes.get(one.process) ?? 0, now))
    const threadMemoryBytes = this.#brakeOf(group).limit(limits.threadMemoryBytes, now)
    const over = this.#hasLargest(group) ? overBytes : Number.NEGATIVE_INFINITY
    const next = nextToRecycle(figures, { ...limits, threadMemoryBytes }, over)
    if (next !== undefined) this.#recycle(group, next, now)
  }

  /** Whether the thread with the most memory of all in its pool is one of the group's. */
  #hasLargest(group: ProcessGroup): boolean {
    const groups = [...this.#parts.pool.workforce.groups.values()]
    const inPool = groups.filter(({ settings }) => settings.pool === group.settings.pool)
    return Math.max(...inPool.map(largestOf)) === largestOf(group)
  }

  /** A process of a site's own that nobody uses ends with the site's idle time. @returns whether it does */
  #closeIdle(group: ProcessGroup, now: number): boolean {
    const { pool, isolation } = this.#parts
    const site = pool.homes.ownerOf(group)
    if (site === undefined || !site.isIdle(now) || site.renewal !== undefined) return false
    for (const thread of group.threads) if (thread.loading.size > 0 || thread.isServing(site)) return false
    this.#log.info({ site: site.name }, 'process of a site that nobody uses ends')
    isolation.closeOwn(site, 0)
    return true
  }

  #resize(group: ProcessGroup, mayGrow: boolean, now: number): void {
    const { pool, renewal } = this.#parts
    const elastic = this.#elastic.get(group) ?? new Elastic()
    this.#elastic.set(group, elastic)
    const { size, ready, least, most } = group
    const { waiting, busyThreads } = pool.loadOf(group)
    const wanted = elastic.look({ size, ready, least, most, waiting, busyThreads, mayGrow }, now)
    if (wanted.size !== size) {
      group.resize(wanted.size)
      this.#log.info({ group: group.name, from: size, to: group.size, why: wanted.why }, 'number of threads changes')
    }
    if (wanted.size > size && group.needsProcess) pool.workforce.startProcess(group)
    else if (wanted.size > size) void pool.workforce.startThread(group.name)
    else if (waiting > 0 || !this.#endProcess(group, now)) renewal.shrink(group)
  }

  /** Threads that became fewer may fit in a process less. @returns whether one is taken away now */
  #endProcess(group: ProcessGroup, now: number): boolean {
    const triedAt = this.#processTriedAt.get(group) ?? Number.NEGATIVE_INFINITY
    const spare = now - triedAt < PROCESS_EVERY_MS ? undefined : group.spareProcess
    if (spare === undefined || this.#parts.renewal.isBusy) return false
    this.#processTriedAt.set(group, now)
    const room = (group.processes.length - 1) * group.settings.threads.max
    const why = `the others have room for ${room} threads, and ${group.size} are wanted`
    this.#log.info({ group: group.name, process: spare.index, why }, 'process is one too many and ends')
    this.#parts.renewal
      .endProcess(group, spare)
      .then((done) => done || this.#log.info({ process: spare.index }, 'process cannot be ended now'))
      .catch((error: unknown) => this.#log.error({ err: error }, 'ending a process failed'))
    return true
  }

  #recycle(group: ProcessGroup, { thread: id, kind, why }: Recycling, now: number): void {
    const { pool, renewal } = this.#parts
    const thread = pool.workforce.threads.get(id)
    if (thread === undefined) return
    const sites = [...thread.sites()].filter((site) => !site.isIdle(now))
    this.#recycledAt.set(group, now)
    this.#log.info({ thread: id, process: thread.process.index, kind, why }, 'thread is replaced')
    if (kind === 'memory' || kind === 'descriptors') this.#suspect(sites, why, now)
    if (kind === 'memory') this.#brake(group, thread, now)
    renewal
      .recycle(thread, (site) => site.isIdle(performance.now()))
      .then((done) => done || this.#log.debug({ thread: id }, 'thread cannot be replaced now'))
      .catch((error: unknown) => this.#log.error({ err: error }, 'replacing a thread failed'))
  }

  #brakeOf(group: ProcessGroup): MemoryBrake {
    const brake = this.#brakes.get(group) ?? new MemoryBrake()
    this.#brakes.set(group, brake)
    return brake
  }

  #brake(group: ProcessGroup, thread: PoolThread, now: number): void {
    const waitMs = this.#brakeOf(group).replaced(now - thread.startedAt, now)
    if (waitMs === 0) return
    const sites = [...thread.sites()].map(({ name }) => name).join(', ')
    this.#log.warn(
      { group: group.name, sites, waitMs },
      'threads are full as soon as they are replaced: raise thread_memory',
    )
  }

  #suspect(sites: readonly PoolSite[], why: string, now: number): void {
    const { isolation, pool } = this.#parts
    const suspects = pool.memorySuspects.full(sites, now)
    if (suspects.length > 0)
      isolation.suspects(suspects, { kind: 'memory', text: `filled its thread: ${why}`, severe: true })
  }
}

/** A load takes as much of a processor as it can. */
function isShared(thread: PoolThread): boolean {
  return thread.state === 'ready' && thread.loading.size === 0 && thread.sites().size > 1
}

/** @param processBytes what its process takes; 0 where that has no limit */
function figuresOf(thread: PoolThread, processBytes: number, now: number): ThreadFigures {
  const sites = thread.sites()
  const idleSites = [...sites].filter((site) => site.isIdle(now) && !thread.isServing(site)).length
  return {
    thread: thread.id,
    memoryBytes: thread.memoryBytes,
    processBytes,
    descriptorShare: thread.process.descriptorShare,
    requests: thread.requests,
    ageMs: now - thread.startedAt,
    sites: sites.size,
    idleSites,
    isEmpty: sites.size === 0,
  }
}

/** Memory of its largest thread, in bytes. */
function largestOf({ threads }: ProcessGroup): number {
  return Math.max(0, ...[...threads].map(({ memoryBytes }) => memoryBytes))
}

/** Memory in bytes, shared pages counted once, of what has a limit. */
interface TakenMemory {
  processes: Map<WorkerProcess, number>
  /** All processes of a pool together, also those of single sites, by its name. */
  pools: Map<string, number>
}

/** To read it costs up to some ms, so it is not done where nobody asks. */
async function takenBy(groups: readonly ProcessGroup[]): Promise<TakenMemory> {
  const taken: TakenMemory = { processes: new Map(), pools: new Map() }
  for (const { processes, settings } of groups) {
    const { memoryBytes, processMemoryBytes } = settings.limits
    if (memoryBytes === undefined && processMemoryBytes === undefined) continue
    for (const process of processes) {
      const { pid, residentBytes } = process
      const bytes = pid === undefined ? 0 : ((await readPss(pid)) ?? residentBytes)
      taken.processes.set(process, bytes)
      taken.pools.set(settings.pool, (taken.pools.get(settings.pool) ?? 0) + bytes)
    }
  }
  return taken
}
