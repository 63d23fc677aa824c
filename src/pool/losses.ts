/**
 * What becomes of requests whose thread is gone, and who is to blame: run once more elsewhere what may be, fail the rest,
 * and name the site that ended a thread or a process, or those of which one did.
 *
 * A thread's socket closes before it is known whether the thread or its whole process ended, and why; its requests wait
 * for that, a second at most. Invariant: each of them is then put back or failed, once, and nothing that the culprit may
 * have begun is tried again.
 */
import { SiteThrottled, ThreadLost } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Exchange } from './exchange.ts'
import type { MemorySuspects } from './memory-suspects.ts'
import type { PoolSite } from './pool-site.ts'
import type { PoolThread, ThreadFate } from './pool-thread.ts'
import type { ProcessGroup } from './process-group.ts'
import type { Offence } from './quarantine.ts'
import type { ProcessEnd } from './worker-process.ts'

/** What is done about losses. */
export interface LossHandlers {
  /** These may run once more. */
  putBack(exchanges: Exchange[]): void
  /** This one is lost; its listener has to hear of it. */
  fail(exchange: Exchange, error: Error): void
  onOffence(site: PoolSite, offence: Offence): void
  onSuspects(sites: PoolSite[], offence: Offence): void
}

/** Signals that a site's code does not send itself: its `process.kill` goes another way. */
const OUTSIDE_SIGNALS: ReadonlySet<NodeJS.Signals> = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP'])

export class Losses {
  readonly #handlers: LossHandlers
  readonly #log: Log
  readonly #memorySuspects: MemorySuspects
  #closing = false

  constructor(handlers: LossHandlers, memorySuspects: MemorySuspects, log: Log) {
    this.#handlers = handlers
    this.#memorySuspects = memorySuspects
    this.#log = log
  }

  /** The pool ends: nothing is tried again, and nobody is to blame. */
  close(): void {
    this.#closing = true
  }

  /** A thread's socket has closed with these requests open, none of which holds a place any more. */
  orphaned(thread: PoolThread, open: Exchange[]): void {
    thread.orphans = open
    thread.lostLoads = [...thread.loading]
    thread.fate
      .then((fate) => this.#decide(thread, open, fate))
      .catch((error: unknown) => this.#log.error({ err: error }, 'deciding on lost requests failed'))
  }

  /**
   * A process ended by itself.
   *
   * @param owner the site whose own process it is
   * @param threads those it had
   */
  processLost(group: ProcessGroup, owner: PoolSite | undefined, end: ProcessEnd, threads: PoolThread[]): void {
    if (owner !== undefined) return this.#ownProcessLost(owner, end, threads)
    if (end.isOutOfMemory) return this.#processFilled(end, threads)
    // Somebody outside did that, or we ourselves.
    if (group.settings.isOwn || isFromOutside(end)) return
    const open = threads.flatMap((thread) => thread.orphans ?? [...(thread.link?.open.values() ?? [])])
    const sites = suspectsOf(
      open,
      threads.flatMap((thread) => thread.lostLoads ?? [...thread.loading]),
    )
    const [only] = sites
    if (only === undefined) return
    if (sites.length === 1) for (const thread of threads) thread.blamed = only
    this.#handlers.onSuspects(sites, { kind: 'crashed', text: `ended its process (${end.why})`, severe: true })
  }

  /** The kernel had no memory left for it: one of the sites of its largest thread, or of all where none stands out. */
  #processFilled({ why }: ProcessEnd, threads: PoolThread[]): void {
    const sites = sitesOf(largestOf(threads))
    const suspects = this.#memorySuspects.full([...sites], performance.now())
    if (suspects.length === 0) return
    if (suspects.length === 1) for (const thread of threads) thread.blamed = suspects[0]
    this.#handlers.onSuspects(suspects, { kind: 'memory', text: `filled its process (${why})`, severe: true })
  }

  #ownProcessLost(site: PoolSite, end: ProcessEnd, threads: PoolThread[]): void {
    site.throttledUntil = performance.now() + end.waitMs
    // Else somebody outside did that, or the watch, which has said so.
    if (!isFromOutside(end)) {
      for (const thread of threads) thread.blamed = site
      const kind = end.isOutOfMemory ? 'memory' : 'crashed'
      this.#handlers.onOffence(site, { kind, text: `ended its process (${end.why})`, severe: true })
    }
    if (end.waitMs === 0) return
    for (const exchange of [...site.lane.waiting]) this.#handlers.fail(exchange, throttled(site))
  }

  #decide(thread: PoolThread, open: Exchange[], fate: ThreadFate): void {
    const culprit = this.#blamed(thread, fate) ?? this.#culpritOf(thread, open, fate)
    const again: Exchange[] = []
    for (const exchange of open) {
      if (exchange.state === 'done') continue
      const isGuilty = exchange.site === culprit && !exchange.neverStarted
      const mayRun = exchange.mayRunAgain && !isGuilty && !this.#closing && exchange.site.order !== undefined
      if (mayRun) {
        exchange.takenBack()
        again.push(exchange)
      } else this.#handlers.fail(exchange, new ThreadLost(exchange.site.name, `thread ${thread.id}`))
    }
    this.#handlers.putBack(again)
  }

  /** The site that the thread was ended for. */
  #blamed({ blamed, wasFull }: PoolThread, fate: ThreadFate): PoolSite | undefined {
    if (blamed === undefined || fate.what !== 'thread' || !isFull(fate)) return blamed
    // Whoever is met in a thread that others have filled waits for the garbage collection.
    if (wasFull) return undefined
    this.#handlers.onOffence(blamed, { kind: 'memory', text: endOfThread(fate), severe: true })
    return blamed
  }

  /** A thread that ended alone and by itself: whose code ran is marked, or only one site had a request. */
  #culpritOf(thread: PoolThread, open: Exchange[], fate: ThreadFate): PoolSite | undefined {
    if (fate.what === 'process' || thread.wasRetiring || this.#closing) return undefined
    if (isFull(fate)) return this.#filledBy(thread, fate)
    const text = endOfThread(fate)
    const running = open.find((exchange) => exchange.id === fate.running?.id)?.site
    const marked = running ?? (fate.running === undefined ? undefined : thread.siteOf(fate.running.generation))
    const sites = marked === undefined ? suspectsOf(open, thread.lostLoads ?? []) : [marked]
    const [culprit] = sites
    if (sites.length === 1 && culprit !== undefined) {
      this.#handlers.onOffence(culprit, { kind: 'crashed', text, severe: true })
      return culprit
    }
    if (sites.length > 1) this.#handlers.onSuspects(sites, { kind: 'crashed', text, severe: true })
    return undefined
  }

  /** Who runs when memory comes to its end is not who took it. */
  #filledBy(thread: PoolThread, fate: ThreadFate): PoolSite | undefined {
    const sites = [...thread.sites()]
    const suspects = this.#memorySuspects.full(sites, performance.now())
    if (suspects.length > 0)
      this.#handlers.onSuspects(suspects, { kind: 'memory', text: endOfThread(fate), severe: true })
    return sites.length === 1 ? sites[0] : undefined
  }
}

function isFull({ why }: ThreadFate): boolean {
  return why.includes('ERR_WORKER_OUT_OF_MEMORY')
}

function endOfThread({ why }: ThreadFate): string {
  return `ended its thread (${why.split('\n', 1)[0]})`
}

/** The thread that had more memory than all others together, or all of them. */
function largestOf(threads: PoolThread[]): PoolThread[] {
  const total = threads.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0)
  const largest = threads.find(({ memoryBytes }) => memoryBytes > total / 2)
  return largest === undefined ? threads : [largest]
}

function sitesOf(threads: readonly PoolThread[]): Set<PoolSite> {
  return new Set(threads.flatMap((thread) => [...thread.sites()]))
}

function isFromOutside({ signal, isOutOfMemory, neverRan }: ProcessEnd): boolean {
  if (neverRan) return true
  return !isOutOfMemory && signal !== null && OUTSIDE_SIGNALS.has(signal)
}

/**
 * Whose code may have run: that of the sites with unanswered requests, or, without any, with open ones, and of those that were
 * being loaded. JavaScript alone does not end a process but by its memory: where some brought native code, it was one of those.
 */
function suspectsOf(open: readonly Exchange[], loading: readonly PoolSite[]): PoolSite[] {
  const unanswered = open.filter(({ state }) => state === 'sent' || state === 'started')
  const visited = (unanswered.length > 0 ? unanswered : open).map((exchange) => exchange.site)
  const sites = [...new Set([...visited, ...loading])]
  const native = sites.filter(({ hasNative }) => hasNative)
  return native.length > 0 ? native : sites
}

/** The answer for a site whose process is not started again yet. */
export function throttled(site: PoolSite): Error {
  const seconds = Math.max(1, Math.ceil((site.throttledUntil - performance.now()) / 1000))
  return Object.assign(new SiteThrottled(site.name, seconds), { retryAfterSeconds: seconds })
}
