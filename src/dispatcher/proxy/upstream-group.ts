/**
 * Which upstream of a site gets the next request, and who waits for one: the least busy that is not resting. One that
 * fails is passed over for a while, twice as long each time; when all have failed they are asked all the same, so that a
 * site with one upstream is back with its first answer.
 *
 * Limits: `connections` and `tunnels` at each upstream, `queue` waiting requests, each for `queueTimeoutMs`. Policy and
 * waiting only: no socket. Invariant: each `take` ends in one `run` or one `fail`, unless it is taken back by `cancel`.
 */
import { backOffMs } from '../../core/back-off.ts'
import { UpstreamsBusy, UpstreamWaitTimeout } from '../../core/errors.ts'
import type { Target } from './target.ts'

/** What wants an upstream. */
export interface Job {
  /** A tunnel counts apart: it may stay for hours. */
  readonly isTunnel: boolean
  /** Those that were tried before, which are taken only where there is no other. */
  readonly tried: ReadonlySet<Target>
  /** Has a place at `target` now, which `release` gives back. */
  run(target: Target): void
  fail(error: Error): void
}

export interface GroupLimits {
  connections: number
  tunnels: number
  queue: number
  queueTimeoutMs: number
  restMs: number
}

/** The first rest of an upstream that fails, in ms. */
const FIRST_REST_MS = 1_000

export class UpstreamGroup {
  readonly #site: string
  #limits: GroupLimits
  #targets: Target[] = []
  readonly #waiting = new Map<Job, NodeJS.Timeout>()
  #turn = 0
  #inFlight = 0
  #end: Error | undefined

  constructor(site: string, limits: GroupLimits) {
    this.#site = site
    this.#limits = limits
  }

  get targets(): readonly Target[] {
    return this.#targets
  }

  /** Requests and tunnels that have a place, also at upstreams that get no more. */
  get inFlight(): number {
    return this.#inFlight
  }

  get waiting(): number {
    return this.#waiting.size
  }

  set limits(limits: GroupLimits) {
    this.#limits = limits
    this.#next()
  }

  /** From now on these get the requests; those that are no longer among them finish what they have. */
  set targets(targets: readonly Target[]) {
    this.#targets = [...targets]
    this.#next()
  }

  /** Gives the job a place, now or when one is free. */
  take(job: Job): void {
    if (this.#end !== undefined) return job.fail(this.#end)
    const target = this.#choose(job)
    if (target !== undefined) return this.#give(job, target)
    // A tunnel's place may be free in hours: only one that waits for a start waits.
    const isFull = this.#waiting.size >= this.#limits.queue || (job.isTunnel && this.#targets.length > 0)
    if (isFull) return job.fail(new UpstreamsBusy(this.#site, this.#waiting.size))
    const { queueTimeoutMs } = this.#limits
    const late = setTimeout(() => {
      this.#waiting.delete(job)
      job.fail(new UpstreamWaitTimeout(this.#site, queueTimeoutMs))
    }, queueTimeoutMs)
    this.#waiting.set(job, late)
  }

  /** The job needs no place any more, if it still waits for one. */
  cancel(job: Job): void {
    clearTimeout(this.#waiting.get(job))
    this.#waiting.delete(job)
  }

  /** The job's place is free again. */
  release(job: Job, target: Target): void {
    this.#inFlight--
    if (job.isTunnel) target.tunnels--
    else target.busy--
    if (target.busy + target.tunnels === 0) target.idle()
    if (this.#waiting.size > 0) this.#next()
  }

  /** Fails all that wait. */
  failWaiting(error: Error): void {
    for (const job of [...this.#waiting.keys()]) {
      this.cancel(job)
      job.fail(error)
    }
  }

  /** The site is gone: nobody gets a place any more. @param error what those who wait, or come, are told */
  close(error: Error): void {
    this.#end = error
    this.failWaiting(error)
  }

  get isClosed(): boolean {
    return this.#end !== undefined
  }

  /** Takes note that an upstream gave no answer. @returns for how long it is passed over, in ms; 0 where it is already */
  failed(target: Target): number {
    const now = performance.now()
    if (target.restUntil > now) return 0
    const restMs = backOffMs(++target.failures, FIRST_REST_MS, this.#limits.restMs)
    target.restUntil = now + restMs
    return restMs
  }

  /** Whether there is an upstream that the job has not tried. */
  hasOther(job: Job): boolean {
    return this.#targets.some((target) => !job.tried.has(target))
  }

  #next(): void {
    for (const job of [...this.#waiting.keys()]) {
      const target = this.#choose(job)
      if (target === undefined) {
        if (job.isTunnel) continue
        return
      }
      this.cancel(job)
      this.#give(job, target)
    }
  }

  #give(job: Job, target: Target): void {
    this.#inFlight++
    if (job.isTunnel) target.tunnels++
    else target.busy++
    job.run(target)
  }

  #choose(job: Job): Target | undefined {
    const count = this.#targets.length
    const now = performance.now()
    let best: Target | undefined
    let bestRank = Number.POSITIVE_INFINITY
    // Those that are equally busy take turns.
    const first = count > 1 ? this.#turn++ % count : 0
    for (let at = 0; at < count; at++) {
      const target = this.#targets[(first + at) % count] as Target
      if (!this.#hasRoom(target, job)) continue
      const rank = rankOf(target, job, now)
      if (rank >= bestRank) continue
      best = target
      bestRank = rank
    }
    return best
  }

  #hasRoom(target: Target, { isTunnel }: Job): boolean {
    return isTunnel ? target.tunnels < this.#limits.tunnels : target.busy < this.#limits.connections
  }
}

/** Larger than any number of requests, and than any time in ms. */
const RESTING = 1e12
const TRIED = 1e15

/** Lower is better: untried before tried, awake before resting, then the least busy, or the one that rested the longest. */
function rankOf(target: Target, job: Job, now: number): number {
  const rests = target.restUntil > now
  const rank = rests ? RESTING + target.restUntil : target.busy + target.tunnels
  return job.tried.has(target) ? rank + TRIED : rank
}
