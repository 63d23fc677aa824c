/**
 * Exchanges generations: loads a new one where nothing can be hurt, puts it in service, and gets rid of the old one.
 *
 * ES modules cannot be unloaded, so a new generation is loaded in a fresh thread ("proven"), and only when that worked do
 * the site's requests go there. The thread it left holds an old generation until it ends. Once edits have calmed down it
 * is tidied away: its other sites are loaded in another thread first, then it takes nothing new, finishes, and ends. So a
 * burst of edits costs one small thread each, and a neighbour is moved without a request noticing.
 *
 * Limits: at most as many extra threads as the pool has, and `MAX_FINISHING` that only finish what visitors keep open; edits beyond
 * that share one, or wait. One thread is tidied at a time.
 * Invariant: a site's old generation takes requests until the new one is loaded; when that fails, for as long as it
 * lives. A thread that is ended in order, or with its process, while it loads says nothing of the code, which is loaded in
 * another, unless it was for this very load that it was ended.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { backOffMs } from '../core/back-off.ts'
import type { Log } from '../core/log.ts'
import type { LoadOrder, LoadReport } from '../protocol/frames.ts'
import { loadNew, refuseNew } from './new-generation.ts'
import type { Pool } from './pool.ts'
import type { PoolSite } from './pool-site.ts'
import type { PoolThread } from './pool-thread.ts'
import type { GroupSettings, ProcessGroup } from './process-group.ts'
import { failedReport } from './thread-link.ts'
import { prove } from './trial.ts'
import type { WorkerProcess } from './worker-process.ts'

/** How long no generation may have changed before threads are tidied, in ms: edits come in bursts. */
const CALM_MS = 2_000
/** The same after a site did harm without being asked, in ms: it goes on in the threads that it has left, for as long as these live. */
const HARM_MS = 100
/** With edits that never calm down, threads are tidied after this long all the same, in ms. */
const LONGEST_WAIT_MS = 30_000
/** How often a generation is begun whose threads end for no fault that is known to be its own. */
const MAX_ATTEMPTS = 3
/** How long a generation waits for a thread to be loaded in, in ms: longer than a process waits that is started again. */
const NO_THREAD_MS = 10_000
/** So many threads that end once their visitors let go (WebSockets, for `stop_timeout`) do not keep a group from growing. */
const MAX_FINISHING = 4
/** A generation for which there was no thread is tried again after a time that grows from this, in ms. */
const FIRST_RETRY_MS = 5_000
const LAST_RETRY_MS = 180_000
const FIRST_LOOK_MS = 20
const LAST_LOOK_MS = 1_000
const WAITS_FOR_VISITORS =
  'new code waits for a thread: too many finish what visitors keep open of the code before it, for stop_timeout at most'

export class Renewal {
  /** Called with a site whose newest generation found no thread, when it is worth another try. */
  onUnplaced: (site: PoolSite) => void = () => {}
  readonly #pool: Pool
  readonly #log: Log
  /** Sites whose newest generation found no thread, and how often in a row. */
  readonly #unplaced = new WeakMap<PoolSite, number>()
  #atWork = 0
  readonly #queue: (() => void)[] = []
  /** Loads that are under way, of each site one. */
  readonly #loads = new Map<PoolSite, { thread: PoolThread; order: LoadOrder }>()
  /** Sites whose last load was to be given up. */
  readonly #givenUp = new WeakSet<PoolSite>()
  #timer: NodeJS.Timeout | undefined
  #harmTimer: NodeJS.Timeout | undefined
  #waitingSince = 0
  #tidying = false
  #closed = false

  constructor(pool: Pool, log: Log) {
    this.#pool = pool
    this.#log = log
  }

  /** Whether a thread is being taken away, so that no other can be now. */
  get isBusy(): boolean {
    return this.#tidying
  }

  /**
   * Loads `order` and, if that works, lets it take over from the site's present generation.
   *
   * @param trial the process to prove it in where the site is to move to another user; it then takes over with that move
   * @returns the report of the load; after a failure nothing has changed
   */
  replace(site: PoolSite, order: LoadOrder, trial?: GroupSettings): Promise<LoadReport> {
    const before = site.renewal ?? Promise.resolve()
    const load = async () => {
      if (this.#closed) return failedReport('the server is being ended')
      return trial === undefined ? this.#replace(site, order) : prove(this.#pool, site, order, trial)
    }
    const now = before.then(() => this.#inTurn(load))
    site.renewal = now
    return now.finally(() => {
      if (site.renewal === now) site.renewal = undefined
    })
  }

  /**
   * What is being loaded of a site is not the newest any more: its thread gives it up where it only waits for `listen()`. Not two
   * loads in a row: a site that writes what it is watched for has to come to its end at some time. Limit: a load that is proven in a
   * process made for it is waited for.
   */
  giveUp(site: PoolSite): void {
    const load = this.#loads.get(site)
    if (load === undefined || this.#givenUp.has(site)) return
    this.#givenUp.add(site)
    load.thread.link?.outdate(load.order.generation)
  }

  /** Something stale may be in a thread: it is looked at once things are calm. */
  noteStale(): void {
    if (this.#closed) return
    const now = performance.now()
    if (this.#timer === undefined) this.#waitingSince = now
    else if (now - this.#waitingSince > LONGEST_WAIT_MS) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#tidy(), CALM_MS).unref()
    this.#endEmptyThreads()
  }

  /** A site that does harm without being asked has left threads: they are replaced without waiting for calm. */
  noteHarm(): void {
    if (this.#closed) return
    this.#harmTimer ??= setTimeout(() => this.#tidyHarm(), HARM_MS).unref()
  }

  /**
   * Replaces a thread: its sites are loaded in another first, but for those that `drop` says, then it finishes and ends.
   *
   * @returns false when it could not be done now
   */
  async recycle(thread: PoolThread, drop: (site: PoolSite) => boolean): Promise<boolean> {
    if (this.#tidying || this.#closed || thread.state !== 'ready' || thread.loading.size > 0) return false
    return this.#alone(async () => {
      if (!(await this.#moveSites(thread, drop))) return false
      await this.#retire(thread)
      await this.#restoreSize()
      return true
    })
  }

  /**
   * A group wants fewer threads than it has: the one with the fewest sites is moved together with another, if it can be one without
   * sites that keep state. One in which a site is being loaded does not count: it is for that site that there is one more.
   */
  shrink(group: ProcessGroup): void {
    const threads = [...group.threads].filter(({ state, loading }) => state === 'ready' && loading.size === 0)
    const [least] = threads.filter(({ mayLeave }) => mayLeave).sort((a, b) => a.stateful - b.stateful || byLoad(a, b))
    if (this.#tidying || least === undefined || threads.length <= group.size) return
    this.#alone(async () => {
      if (await this.#moveSites(least, neverDrop, true)) await this.#retire(least)
    }).catch((error: unknown) => this.#log.error({ err: error }, 'ending a thread failed'))
  }

  /**
   * A group does without a process: what serves in its threads is loaded in those of the others first, then they finish and end,
   * and it ends last.
   *
   * @returns false when that could not be done now, or the group needs it after all
   */
  async endProcess(group: ProcessGroup, process: WorkerProcess): Promise<boolean> {
    if (this.#tidying || this.#closed) return false
    return this.#alone(async () => {
      process.isLeaving = true
      const isEmpty = await this.#emptyProcess(group, process)
      if (isEmpty) await this.#pool.workforce.closeProcess(group, process)
      else process.isLeaving = false
      await this.#restoreSize()
      return isEmpty
    })
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    clearTimeout(this.#harmTimer)
  }

  /** As many at once as the pool has threads: each may start one. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#atWork >= this.#pool.workforce.size) {
      await new Promise<void>((resolve) => this.#queue.push(resolve))
    } else {
      this.#atWork++
    }
    try {
      return await work()
    } finally {
      const next = this.#queue.shift()
      if (next === undefined) this.#atWork--
      else next()
    }
  }

  async #replace(site: PoolSite, order: LoadOrder, attempt = 1): Promise<LoadReport> {
    const thread = await this.#nurseryInTime(site)
    if (thread === undefined) return this.#notLoaded(site, order)
    this.#unplaced.delete(site)
    const report = await this.#load(site, thread, order)
    const isOwnFault = thread.overdue === site
    if (attempt < MAX_ATTEMPTS && !isOwnFault && !site.removed && (await this.#wasTakenAway(thread))) {
      return this.#replace(site, order, attempt + 1)
    }
    if (site.removed) {
      this.#pool.leave(site, thread)
    } else if (report.shape === undefined) {
      refuseNew(this.#pool, site, order, report)
    } else {
      this.#pool.takeOver(site, thread, order, report)
      this.#log.info({ site: site.name, generation: order.generation, tookMs: report.tookMs }, 'generation is live')
    }
    this.noteStale()
    return report
  }

  async #load(site: PoolSite, thread: PoolThread, order: LoadOrder): Promise<LoadReport> {
    const mayGiveUp = !this.#givenUp.has(site)
    this.#loads.set(site, { thread, order })
    const report = await loadNew(this.#pool, site, thread, order)
    this.#loads.delete(site)
    if (!mayGiveUp) this.#givenUp.delete(site)
    return report
  }

  /** There is no thread for it. */
  #notLoaded(site: PoolSite, order: LoadOrder): LoadReport {
    const { groups } = this.#pool.workforce
    // Why its own process could not be opened was told by then.
    const known = groups.has(site.lane.group) ? undefined : site.failure
    const report = known ?? failedReport('no thread is there to load it, and none starts; the log says why')
    if (this.#closed || site.removed) return report
    this.#pool.loadFailed(site, order, report)
    this.#tryAgainLater(site)
    return report
  }

  /** Whoever has edited its files may have gone to sleep by the time at which there are threads again. */
  #tryAgainLater(site: PoolSite): void {
    const tries = (this.#unplaced.get(site) ?? 0) + 1
    this.#unplaced.set(site, tries)
    const retry = (): void => {
      // Unless a newer one is at it.
      if (!this.#unplaced.has(site) || site.renewal !== undefined) return
      if (this.#closed || site.removed) this.#unplaced.delete(site)
      else this.onUnplaced(site)
    }
    setTimeout(retry, backOffMs(tries, FIRST_RETRY_MS, LAST_RETRY_MS)).unref()
  }

  /** Whether a thread has ended, and not by what ran in it alone. */
  async #wasTakenAway(thread: PoolThread): Promise<boolean> {
    if (thread.state !== 'ended' || this.#closed) return false
    return thread.wasRetiring || (await thread.fate).what === 'process'
  }

  /** Waits a little for a thread: where the only process has just ended there is none until the next one is up. */
  async #nurseryInTime(site: PoolSite): Promise<PoolThread | undefined> {
    const deadline = performance.now() + NO_THREAD_MS
    for (let tries = 1; ; tries++) {
      const thread = await this.#nursery(site)
      const mayCome = this.#pool.workforce.groups.has(site.lane.group) && !site.removed && !this.#closed
      if (thread !== undefined || !mayCome || performance.now() > deadline) return thread
      await delay(backOffMs(tries, FIRST_LOOK_MS, LAST_LOOK_MS), undefined, { ref: false })
    }
  }

  /** A thread in which no generation of this site has ever been: a fresh one where the site is in use. */
  async #nursery(site: PoolSite): Promise<PoolThread | undefined> {
    const group = await this.#pool.homes.groupFor(site)
    if (group === undefined) return undefined
    const { workforce } = this.#pool
    const clean = [...group.threads].filter(
      (thread) => thread.state === 'ready' && thread.slot !== undefined && !isKnownIn(site, thread),
    )
    const inUse = site.lane.warm.size > 0
    const retiring = [...group.threads].filter((thread) => thread.state === 'retiring')
    const mayGrow = group.threads.size - Math.min(retiring.length, MAX_FINISHING) < group.size * 2
    if ((inUse || clean.length === 0) && mayGrow) {
      const fresh = await workforce.startThread(group.name)
      if (fresh !== undefined) return fresh
    }
    if (clean.length > 0) return clean.sort((a, b) => a.loading.size - b.loading.size || byLoad(a, b))[0]
    // Every thread once had this site, and there are many: wait for one of the retiring ones to end.
    if (!mayGrow && retiring.length > 0) {
      this.#log.warn({ site: site.name, threads: retiring.length }, WAITS_FOR_VISITORS)
      await Promise.race(retiring.map((thread) => thread.ended))
    }
    return workforce.startThread(group.name)
  }

  #tidy(): void {
    this.#timer = undefined
    if (this.#tidying) this.noteStale()
    else this.#startTidying(() => true)
  }

  /** A thread that does not come round is the watch's: it is looked at again once it does. */
  #tidyHarm(): void {
    this.#harmTimer = undefined
    const isLeft = ({ state, stale }: PoolThread): boolean => state === 'ready' && stale.size > 0
    const left = [...this.#pool.workforce.threads.values()].filter(isLeft)
    if (this.#tidying || left.some(({ late }) => late !== undefined)) this.noteHarm()
    if (!this.#tidying && left.length > 0) this.#startTidying(({ late }) => late === undefined)
  }

  #startTidying(mayEnd: (thread: PoolThread) => boolean): void {
    if (this.#closed) return
    this.#alone(() => this.#tidyAll(mayEnd)).catch((error: unknown) =>
      this.#log.error({ err: error }, 'tidying threads failed'),
    )
  }

  /** Does work during which no other thread is taken away. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    this.#tidying = true
    try {
      return await work()
    } finally {
      this.#tidying = false
    }
  }

  /** @param mayEnd is asked of each thread as its turn comes */
  async #tidyAll(mayEnd: (thread: PoolThread) => boolean): Promise<void> {
    for (const thread of [...this.#pool.workforce.threads.values()]) {
      if (this.#closed || thread.state !== 'ready' || thread.stale.size === 0 || !mayEnd(thread)) continue
      if (await this.#moveSites(thread, neverDrop)) await this.#retire(thread)
    }
    await this.#restoreSize()
  }

  /** @returns whether it has no thread any more, and is not needed */
  async #emptyProcess(group: ProcessGroup, process: WorkerProcess): Promise<boolean> {
    for (;;) {
      if (this.#closed || group.closing || !group.needsProcessLess) return false
      const [thread] = group.threadsOf(process)
      if (thread === undefined) return true
      if (thread.state === 'starting') await thread.started
      else if (thread.state === 'ready' && !(await this.#leaveThread(group, thread))) return false
      else await thread.ended
    }
  }

  /** Ends a thread whose place is taken by one of another process, where the group would have too few without it. */
  async #leaveThread(group: ProcessGroup, thread: PoolThread): Promise<boolean> {
    const isSurplus = group.ready > group.size
    if (!(await this.#moveSites(thread, neverDrop, isSurplus)) || !group.needsProcessLess) return false
    if (group.ready <= group.size) await this.#pool.workforce.startThread(group.name)
    // It may have been given something meanwhile, or the group have grown.
    if (!(await this.#moveSites(thread, neverDrop, true)) || !group.needsProcessLess) return false
    await this.#retire(thread)
    return true
  }

  /**
   * Loads elsewhere what only this thread has, but for what may be dropped.
   *
   * @param among whether only threads that are there already are thought of
   * @returns whether the thread is needed no more
   */
  async #moveSites(from: PoolThread, drop: (site: PoolSite) => boolean, among = false): Promise<boolean> {
    for (const lane of [...(from.slot?.lanes ?? [])]) {
      const site = [...from.live.values()].find((one) => one.lane === lane)
      if (site === undefined || lane.warm.size > 1 || drop(site)) continue
      if (!lane.spreadable) return false
      if (!(await this.#moveSite(site, from, among))) return false
    }
    if (from.loading.size === 0) return true
    // What is being loaded there would be lost with it.
    this.noteStale()
    return false
  }

  async #moveSite(site: PoolSite, from: PoolThread, among: boolean): Promise<boolean> {
    const order = site.order
    const to = among ? this.#clean(site, from).sort(byLoad)[0] : await this.#shelter(site, from)
    if (to === undefined || order === undefined) return false
    const report = await this.#pool.load(site, to, order)
    if (site.order !== order) {
      // A newer generation came meanwhile, or the site was removed: this one would stay at work for nothing.
      this.#pool.leave(site, to)
      return true
    }
    if (report.shape === undefined) return false
    const { warm, maxThreads } = site.lane
    // Else its requests would be spread over more copies than it may have until the thread retires.
    if (warm.size >= maxThreads) this.#pool.leave(site, from)
    this.#pool.warm(site, to)
    return from.slot === undefined || !warm.has(from.slot) || warm.size > 1
  }

  /** A thread without anything stale for a site that has to leave `from`. */
  async #shelter(site: PoolSite, from: PoolThread): Promise<PoolThread | undefined> {
    const group = this.#pool.workforce.homeOf(from)
    const clean = this.#clean(site, from)
    if (clean.length > 0 && group.ready > group.size) return clean.sort(byAge)[0]
    return (await this.#pool.workforce.startThread(group.name)) ?? clean.sort(byLoad)[0]
  }

  /** Threads beside `from` that hold nothing stale, and never had the site. */
  #clean(site: PoolSite, from: PoolThread): PoolThread[] {
    return [...this.#pool.workforce.homeOf(from).threads].filter(
      (thread) =>
        thread !== from &&
        thread.state === 'ready' &&
        thread.stale.size === 0 &&
        !thread.process.isLeaving &&
        !isKnownIn(site, thread),
    )
  }

  async #retire(thread: PoolThread): Promise<void> {
    this.#log.debug({ thread: thread.id, stale: thread.stale.size }, 'thread retires')
    const graceMs = Math.max(0, ...[...thread.stale.values(), ...thread.live.values()].map(stopTimeout))
    await this.#pool.workforce.retire(thread, graceMs)
  }

  /** Threads that hold nothing but old generations end at once, without waiting for calm. */
  #endEmptyThreads(): void {
    for (const thread of this.#pool.workforce.threads.values()) {
      if (thread.state !== 'ready' || thread.stale.size === 0 || thread.live.size > 0) continue
      const group = this.#pool.workforce.homeOf(thread)
      if (group.ready <= group.size) continue
      this.#retire(thread).catch((error: unknown) => this.#log.error({ err: error }, 'retiring a thread failed'))
    }
  }

  /** Each group back to the number that is wanted: empty threads beyond it end, missing ones start. */
  async #restoreSize(): Promise<void> {
    for (const group of [...this.#pool.workforce.groups.values()]) {
      for (const thread of [...group.threads]) {
        if (group.closing || group.ready <= group.size) break
        const empty = thread.state === 'ready' && thread.live.size === 0 && thread.link?.open.size === 0
        if (empty) await this.#retire(thread)
      }
      while (!this.#closed && !group.closing && group.present < group.size) {
        if ((await this.#pool.workforce.startThread(group.name)) === undefined) break
      }
    }
  }
}

function isKnownIn(site: PoolSite, thread: PoolThread): boolean {
  if (thread.slot?.spoiled.has(site.lane)) return true
  for (const owner of thread.live.values()) if (owner === site) return true
  return false
}

function neverDrop(): boolean {
  return false
}

function byLoad(a: PoolThread, b: PoolThread): number {
  return a.live.size + a.stale.size - b.live.size - b.stale.size
}

/** Youngest first: the thread of the last edit takes the place of the one that is left. */
function byAge(a: PoolThread, b: PoolThread): number {
  return b.id - a.id
}

function stopTimeout(site: PoolSite): number {
  return site.limits.stopTimeoutMs
}
