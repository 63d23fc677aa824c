/**
 * Every request that is with the pool: carries out what the scheduler decides, has sites loaded where they are needed, and
 * puts back what a lost thread had not begun.
 *
 * Leaves to others: which thread (scheduler.ts), threads and processes (workforce.ts), what is on a thread's socket
 * (thread-link.ts), exchanging generations (renewal.ts).
 *
 * Invariant: each exchange that was submitted ends in exactly one of: a whole answer, a failure told to its listener, an
 * abort by the front. A thread outlives its exchanges; the pool outlives its threads.
 */
import { QueueFull, QueueTimeout, SiteGone, SiteTimeout, SiteUnavailable } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { PoolRecorder } from '../core/pool-recorder.ts'
import type { ThreadLook } from '../core/worker-orders.ts'
import type { LoadOrder, LoadReport, LogLevel } from '../protocol/frames.ts'
import { endedByItself } from './ended-by-itself.ts'
import type { Exchange } from './exchange.ts'
import type { HelperHandlers } from './helper-threads.ts'
import { HelperThreads } from './helper-threads.ts'
import { Homes } from './homes.ts'
import { loadError, reasonOf } from './load-error.ts'
import type { LossHandlers } from './losses.ts'
import { Losses, throttled } from './losses.ts'
import { MemorySuspects } from './memory-suspects.ts'
import type { SiteLimits } from './pool-site.ts'
import { isSameCode, PoolSite } from './pool-site.ts'
import type { PoolThread } from './pool-thread.ts'
import type { ProcessGroup } from './process-group.ts'
import { DEFAULT_GROUP } from './process-group.ts'
import type { Offence } from './quarantine.ts'
import { Recording } from './recording.ts'
import { replaceProcess } from './replace-process.ts'
import type { RerouteHandlers } from './reroute.ts'
import { Reroute } from './reroute.ts'
import type { Lane, Slot } from './scheduler.ts'
import { Scheduler } from './scheduler.ts'
import type { ThreadLinkHandlers } from './thread-link.ts'
import { isCrowded, tuned } from './tuning.ts'
import { Watch } from './watch.ts'
import type { ProcessEnd } from './worker-process.ts'
import type { WorkforceHandlers, WorkforceSettings } from './workforce.ts'
import { Workforce } from './workforce.ts'

export interface PoolSettings extends WorkforceSettings {
  /** Most requests in one thread at once. */
  concurrency: number
  /** Hears of every request. */
  recorder: PoolRecorder
}

export interface PoolHandlers {
  /** A site did harm. */
  onOffence(site: PoolSite, offence: Offence): void
  /** One of these sites did harm. */
  onSuspects(sites: PoolSite[], offence: Offence): void
  /** The first request after a time without. */
  onTraffic(): void
  /** A site has requests waiting, and its group is not there. */
  onHomeless(site: PoolSite): void
  /** A site's generation was loaded in a thread, or could not be. */
  onLoaded(site: PoolSite, order: LoadOrder, report: LoadReport): void
  /** A generation read more files after it was loaded. */
  onFiles(site: PoolSite, files: string[]): void
  /** @param request the id of the request whose code wrote it */
  onSiteLog(site: PoolSite | undefined, level: LogLevel, text: string, request: string | undefined): void
  /** A thread that held generations has something to be tidied (see renewal.ts). */
  onStale(): void
  /** A site has requests waiting, and no thread can load it: each had a generation of it before. */
  onStarved(site: PoolSite): void
}

/** A generation that lost its thread while it was loaded so many times in a row is taken as broken. */
const MAX_LOST_LOADS = 4

export class Pool {
  readonly scheduler: Scheduler<Exchange>
  readonly workforce: Workforce
  readonly homes: Homes
  readonly memorySuspects = new MemorySuspects()
  readonly #sites = new Set<PoolSite>()
  readonly #handlers: PoolHandlers
  readonly #log: Log
  readonly #watch: Watch
  readonly #reroute: Reroute
  readonly #losses: Losses
  readonly #helperThreads: HelperThreads
  readonly #recording: Recording
  #closing = false
  #hadTraffic = false

  private constructor(settings: PoolSettings, handlers: PoolHandlers, log: Log) {
    this.#handlers = handlers
    this.#log = log
    this.scheduler = new Scheduler(tuned(settings.concurrency))
    this.#recording = new Recording(settings.recorder, settings.concurrency)
    this.#losses = new Losses(this.#lossHandlers(), this.memorySuspects, log)
    this.workforce = new Workforce(settings, this.scheduler, this.#workforceHandlers(), log)
    this.#helperThreads = new HelperThreads(this.workforce.threads, this.#helperHandlers(), log)
    this.homes = new Homes(this.workforce, this.#sites, (site) => this.#handlers.onHomeless(site))
    this.#reroute = new Reroute(this.scheduler, this.workforce, this.#rerouteHandlers())
    this.#watch = new Watch(this.#reroute, log)
  }

  /**
   * Starts all processes and threads; resolves when every thread is ready.
   *
   * @throws VHOSTEL_POOL_NOT_STARTED when they are not within 30 s, with everything ended again
   */
  static async start(settings: PoolSettings, handlers: PoolHandlers, log: Log): Promise<Pool> {
    const pool = new Pool(settings, handlers, log)
    try {
      await pool.workforce.start()
    } catch (error) {
      await pool.close()
      throw error
    }
    return pool
  }

  addSite(name: string, limits: SiteLimits): PoolSite {
    const lane = this.scheduler.addLane(name, DEFAULT_GROUP, limits.queue)
    const site = new PoolSite(name, lane, limits, (exchange) => this.#timedOut(site, exchange))
    this.#sites.add(site)
    return site
  }

  /** The site takes no new requests; what it has is finished, and its generations are closed then. */
  removeSite(site: PoolSite): void {
    this.#sites.delete(site)
    if (this.homes.ownGroupOf(site) !== undefined) this.#recording.forget(site.lane.group)
    site.removed = true
    site.order = undefined
    for (const exchange of [...site.lane.waiting]) this.#fail(exchange, new SiteGone(site.name))
    this.leaveAll(site)
  }

  /** Takes a request. Every outcome is told to the exchange's listener. */
  submit(site: PoolSite, exchange: Exchange): void {
    site.arrived(exchange)
    this.#recording.arrived(exchange)
    if (!this.#hadTraffic) {
      this.#hadTraffic = true
      this.#handlers.onTraffic()
    }
    if (exchange.arrivedAt < site.throttledUntil) return this.#fail(exchange, throttled(site))
    if (site.lane.warm.size === 0 && site.failure !== undefined && performance.now() < site.retryAt) {
      return this.#fail(exchange, new SiteUnavailable(site.name, reasonOf(site.failure)))
    }
    const placement = this.scheduler.arrive(site.lane, exchange)
    if (placement.slot !== undefined) {
      this.#assign(exchange, placement.slot)
      if (isCrowded(placement.slot.inFlight)) this.workforce.watchCrowd(isCrowded)
    } else if (placement.full) {
      this.#fail(exchange, new QueueFull(site.name, site.lane.maxWaiting))
    } else {
      this.#waits(exchange)
    }
    if (placement.load !== undefined) this.#loadInto(site, placement.load)
    else if (placement.slot === undefined) this.seekThread(site)
  }

  /** The client is gone. */
  abort(exchange: Exchange, reason: string): void {
    if (exchange.state !== 'done') this.#withdraw(exchange, reason)
  }

  /** Loads a generation in a thread without sending it requests. */
  async load(site: PoolSite, thread: PoolThread, order: LoadOrder): Promise<LoadReport> {
    const report = await thread.load(site, order)
    if (report.shape === undefined) this.#handlers.onStale()
    return report
  }

  /** From now on the site's requests may go to this thread, where its current generation is loaded. */
  warm(site: PoolSite, thread: PoolThread): void {
    if (thread.slot === undefined) return
    if (thread.group !== site.lane.group) {
      this.leave(site, thread)
      return this.seekThread(site)
    }
    this.scheduler.setWarm(site.lane, thread.slot)
    this.leaveSurplus(site)
    if (!site.lane.warm.has(thread.slot)) return this.seekThread(site)
    this.#drain(thread.slot)
  }

  /** A generation that was loaded in `thread` takes the place of the site's present one, for all requests from now on. */
  takeOver(site: PoolSite, thread: PoolThread, order: LoadOrder, report: LoadReport): void {
    this.leaveAll(site, thread)
    site.order = order
    site.lane.spreadable = true
    site.worked(report)
    this.#handlers.onLoaded(site, order, report)
    this.warm(site, thread)
  }

  /** The site's requests go to none of the threads they went to; its generations there close when they are done. */
  leaveAll(site: PoolSite, except?: PoolThread): void {
    for (const thread of this.#warmThreads(site)) if (thread !== except) this.leave(site, thread)
  }

  /** The site's requests go to no more threads than it may be in: to those that it was loaded in first. */
  leaveSurplus(site: PoolSite): void {
    for (const thread of this.#warmThreads(site).slice(site.lane.maxThreads)) this.leave(site, thread)
  }

  /** As `leaveAll`, for one thread. */
  leave(site: PoolSite, thread: PoolThread): void {
    if (thread.slot !== undefined) this.scheduler.setCold(site.lane, thread.slot)
    void thread.closeGenerations(site, site.limits.stopTimeoutMs).then(() => this.#handlers.onStale())
  }

  /** The site's requests go to the threads of another group from now on; what it has begun it finishes where it is. */
  moveSite(site: PoolSite, group: string): void {
    site.lane.group = group
    site.lane.loading = undefined
    site.throttledUntil = 0
    this.scheduler.release(site.lane)
    this.leaveAll(site)
    this.seekThread(site)
  }

  /** Whether there were requests since the last call, or are. */
  takeTraffic(): boolean {
    const had = this.#hadTraffic
    this.#hadTraffic = false
    for (const thread of this.workforce.threads.values()) if ((thread.link?.open.size ?? 0) > 0) return true
    return had
  }

  /** What the threads of a group have to do: requests that wait for one that is not kept, and how many are busy. */
  loadOf(group: ProcessGroup): { waiting: number; busyThreads: number } {
    let [waiting, busyThreads] = [0, 0]
    for (const { lane } of this.#sites) {
      if (lane.group !== group.name || lane.heldBy !== undefined || lane.loading !== undefined) continue
      // One thread more is nothing to a site that may not be in it.
      if (lane.warm.size >= lane.maxThreads) continue
      // A load ends by itself, and with more threads at it the later.
      if (lane.waiting.size > 0 && ![...lane.warm].some(({ loading }) => loading.size > 0)) waiting += lane.waiting.size
    }
    for (const { slot } of group.threads) if (slot?.loading.size === 0) busyThreads += slot.late ? 1 : slot.utilisation
    return { waiting, busyThreads }
  }

  /** What runs in a thread now. @returns undefined where that cannot be told */
  lookAt(thread: PoolThread): Promise<ThreadLook | undefined> {
    return this.#watch.lookAt(thread)
  }

  /** For a while the other sites of a thread go elsewhere where they can, because of what this one does there. */
  avoid(thread: PoolThread, site: PoolSite): void {
    this.#watch.avoid(thread, site, 0)
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#watch.close()
    this.#losses.close()
    for (const site of this.#sites) site.close()
    await this.workforce.close()
  }

  /** Those that the site's requests go to, in the order in which it was loaded there. */
  #warmThreads(site: PoolSite): PoolThread[] {
    return [...site.lane.warm].flatMap((slot) => this.workforce.threads.get(slot.thread) ?? [])
  }

  #assign(exchange: Exchange, slot: Slot<Exchange>): void {
    const thread = this.workforce.threads.get(slot.thread)
    const order = exchange.site.order
    if (thread?.link === undefined || order === undefined) throw new Error('assigned to a thread without a link')
    clearTimeout(exchange.queueTimer)
    exchange.slot = slot
    exchange.thread = thread
    exchange.head.generation = order.generation
    thread.requests++
    this.#recording.started(exchange, thread)
    thread.link.send(exchange)
    this.#watch.expect()
  }

  #drain(slot: Slot<Exchange>): void {
    if (slot.hungry.size === 0) return
    for (const assignment of this.scheduler.drain(slot)) this.#assign(assignment.request, slot)
  }

  /** It waits for nobody but its client: others may have its place in the thread until `exchange.reclaim`. */
  lend(exchange: Exchange): void {
    const { slot, site } = exchange
    if (slot !== undefined && exchange.lend()) this.#freed(site.lane, slot)
  }

  /** The exchange holds a place in a thread no more. */
  #leave(exchange: Exchange): void {
    const slot = exchange.leaveSlot()
    if (slot === undefined) return
    this.#recording.finished(exchange, this.workforce.threads.get(slot.thread))
    this.scheduler.finish(exchange.site.lane, slot)
    this.#freed(exchange.site.lane, slot)
  }

  #freed(lane: Lane<Exchange>, slot: Slot<Exchange>): void {
    this.#drain(slot)
    // Where a site has all that it may have, a place that it leaves here is one that it may take elsewhere.
    if (lane.waiting.size > 0) for (const warm of lane.warm) if (warm !== slot) this.#drain(warm)
  }

  /** Ends an exchange whose client is gone, or who shall wait no longer, wherever it is. */
  #withdraw(exchange: Exchange, reason: string): void {
    const { state, link, site } = exchange
    clearTimeout(exchange.queueTimer)
    site.settled(exchange)
    exchange.state = 'done'
    if (state === 'waiting') {
      this.scheduler.cancel(site.lane, exchange)
      if (exchange.runs === 0) this.#recording.refused(exchange)
      return
    }
    link?.abort(exchange, reason)
    exchange.link = undefined
    this.#leave(exchange)
  }

  #fail(exchange: Exchange, error: Error): void {
    this.#withdraw(exchange, error.message)
    exchange.listener.onFailure(error)
  }

  /** It waits for a thread, not for ever. */
  #waits(exchange: Exchange): void {
    const { name, limits } = exchange.site
    const giveUp = (): void => this.#fail(exchange, new QueueTimeout(name, limits.queueTimeoutMs))
    exchange.queueTimer = setTimeout(giveUp, limits.queueTimeoutMs)
  }

  #timedOut(site: PoolSite, exchange: Exchange): void {
    this.#fail(exchange, new SiteTimeout(site.name, site.limits.timeoutMs))
  }

  #loadInto(site: PoolSite, slot: Slot<Exchange>): void {
    const thread = this.workforce.threads.get(slot.thread)
    const order = site.order
    if (thread === undefined || order === undefined) {
      this.scheduler.setCold(site.lane, slot)
      return
    }
    this.#loadOrder(site, thread, order).catch((error: unknown) => {
      this.#log.error({ site: site.name, err: error }, 'loading a site failed in an unexpected way')
    })
  }

  async #loadOrder(site: PoolSite, thread: PoolThread, order: LoadOrder): Promise<void> {
    const report = await this.load(site, thread, order)
    if (site.order !== order) {
      // A newer generation came meanwhile, or the site was removed: this one is of no use.
      this.leave(site, thread)
      return this.seekThread(site)
    }
    if (report.shape !== undefined) {
      site.worked(report)
      this.#handlers.onLoaded(site, order, report)
      return this.warm(site, thread)
    }
    if (thread.slot !== undefined) this.scheduler.setCold(site.lane, thread.slot)
    const isLost = thread.state === 'ended' && thread.overdue !== site
    if (isLost && ++site.lostLoads < MAX_LOST_LOADS) return this.seekThread(site)
    this.loadFailed(site, order, report)
  }

  /** A generation cannot be loaded. Where nothing else of the site can serve, those who wait for it are told. */
  loadFailed(site: PoolSite, order: LoadOrder, report: LoadReport): void {
    site.lostLoads = 0
    // With everything else its thread ends, which says nothing of what was loaded there.
    if (!this.#closing) this.#handlers.onLoaded(site, order, report)
    if (site.lane.warm.size > 0) return
    // New settings that do not work leave those before them, which are loaded at the next request.
    if (site.order !== undefined && !isSameCode(site.order, order)) return this.seekThread(site)
    site.failed(report, performance.now())
    for (const exchange of [...site.lane.waiting]) this.#fail(exchange, loadError(site, report))
  }

  /** Gives a site that has requests waiting, or is to be loaded before it has, and no thread, one to be loaded in. */
  seekThread(site: PoolSite): void {
    const isWaiting = site.lane.waiting.size > 0
    if (site.lane.warm.size > 0 || site.removed || this.#closing) return
    if (!isWaiting && !site.limits.preload) return
    const group = this.workforce.groups.get(site.lane.group)
    if (group === undefined) return this.#handlers.onHomeless(site)
    const slot = this.scheduler.loadTarget(site.lane)
    if (slot !== undefined) this.#loadInto(site, slot)
    else if (isWaiting && site.lane.loading === undefined && group.ready > 0) this.#handlers.onStarved(site)
  }

  #ready(thread: PoolThread): ThreadLinkHandlers {
    this.#recording.ready(thread)
    for (const site of this.#sites) this.seekThread(site)
    return {
      onFinished: (exchange) => this.#finished(thread, exchange),
      onFailed: (exchange, error) => this.#failed(thread, exchange, error),
      onBegan: (exchange) => exchange.slot !== undefined && this.#drain(exchange.slot),
      onAnswering: (exchange) => exchange.site.settled(exchange),
      onFiles: (generation, files) => {
        const site = thread.siteOf(generation)
        if (site?.order?.generation === generation) this.#handlers.onFiles(site, files)
      },
      onLog: (generation, level, text, request) =>
        this.#handlers.onSiteLog(thread.siteOf(generation), level, text, request),
      onOffence: (generation, text) => {
        const site = thread.siteOf(generation)
        if (site !== undefined) this.#handlers.onOffence(site, { kind: 'patched', text, severe: true })
      },
      onNative: (generation) => thread.siteOf(generation)?.foundNative(),
      onOver: (generation) => endedByItself(this, thread, generation, this.#log, () => this.#handlers.onStale()),
      onIdle: () => thread.becameIdle(),
      onClosed: (open) => this.#orphaned(thread, open),
    }
  }

  #workforceHandlers(): WorkforceHandlers {
    return {
      onReady: (thread) => this.#ready(thread),
      onGone: (thread) => this.#threadGone(thread),
      onReport: (thread, report) => this.#watch.report(thread, report),
      onHelpers: (process, report) => this.#helperThreads.report(process, report),
      onSampled: (thread, busyMs) => this.#recording.sampled(thread, busyMs),
      onProcessLost: (group, end, threads) => this.#processLost(group, end, threads),
    }
  }

  #lossHandlers(): LossHandlers {
    return {
      putBack: (exchanges) => this.#reroute.returned(exchanges),
      fail: (exchange, error) => this.#fail(exchange, error),
      onOffence: (site, offence) => this.#handlers.onOffence(site, offence),
      onSuspects: (sites, offence) => this.#handlers.onSuspects(sites, offence),
    }
  }

  #helperHandlers(): HelperHandlers {
    return { ...this.#lossHandlers(), replace: (process) => replaceProcess(this.#reroute, process) }
  }

  #rerouteHandlers(): RerouteHandlers {
    return {
      drain: (slot) => this.#drain(slot),
      seekThread: (site) => this.seekThread(site),
      loadInto: (site, slot) => this.#loadInto(site, slot),
      waits: (exchange) => this.#waits(exchange),
      onOffence: (site, offence) => this.#handlers.onOffence(site, offence),
      onBlocked: (site, forMs) => this.#recording.blocked(site, forMs),
      onReturned: (exchange, thread) => this.#recording.returned(exchange, thread),
      gone: (exchange) => this.#fail(exchange, new SiteGone(exchange.site.name)),
    }
  }

  #threadGone(thread: PoolThread): void {
    this.#recording.gone(thread)
    this.#watch.ended(thread)
    for (const site of this.#sites) {
      // With its last loaded thread a previous version is lost: the code on disk is all there is.
      if (site.lane.warm.size === 0) site.lane.spreadable = true
      this.seekThread(site)
    }
    // A thread may have been started in the place of one that comes back with its process: the number is looked at again.
    this.#handlers.onStale()
  }

  #orphaned(thread: PoolThread, open: Exchange[]): void {
    for (const exchange of open) {
      const slot = exchange.leaveSlot()
      if (slot !== undefined) this.scheduler.finish(exchange.site.lane, slot)
      exchange.link = undefined
    }
    if (thread.slot !== undefined) this.scheduler.removeSlot(thread.slot)
    for (const site of new Set(open.map((exchange) => exchange.site))) this.#reroute.drainSite(site)
    this.#losses.orphaned(thread, open)
  }

  #processLost(group: ProcessGroup, end: ProcessEnd, threads: PoolThread[]): void {
    this.#losses.processLost(group, this.homes.ownerOf(group), end, threads)
  }

  #finished(thread: PoolThread, exchange: Exchange): void {
    this.#leave(exchange)
    thread.becameIdle()
  }

  /** The site gave an exchange no answer, or no whole one. */
  #failed(thread: PoolThread, exchange: Exchange, error: Error): void {
    exchange.site.settled(exchange)
    exchange.state = 'done'
    exchange.link = undefined
    exchange.listener.onFailure(error)
    this.#finished(thread, exchange)
  }
}
