/**
 * One thread from the dispatcher's side: its states, what is loaded in it, and when it is idle. Carries no request
 * itself: its link does.
 *
 * A state carries only what it knows: `link` and `slot` exist from `ready` on. Invariant: `ended` resolves exactly once,
 * and `started` is settled by then.
 */
import type { LoadOrder, LoadReport } from '../protocol/frames.ts'
import type { Exchange } from './exchange.ts'
import type { PoolSite } from './pool-site.ts'
import type { Slot } from './scheduler.ts'
import type { ThreadLink } from './thread-link.ts'
import { failedReport } from './thread-link.ts'
import type { WorkerProcess } from './worker-process.ts'

export type ThreadState = 'starting' | 'ready' | 'retiring' | 'ended'

export class PoolThread {
  readonly id: number
  readonly token: string
  readonly process: WorkerProcess
  state: ThreadState = 'starting'
  link: ThreadLink | undefined
  slot: Slot<Exchange> | undefined
  /** Generations loaded here, or being loaded, that serve or may serve. */
  readonly live = new Map<number, PoolSite>()
  /** Generations that were loaded here, or failed to, and are of no use: their code stays until the thread ends. */
  readonly stale = new Map<number, PoolSite>()
  /** Resolves with whether the thread came up. */
  readonly started: Promise<boolean>
  readonly ended: Promise<void>
  #start = (_up: boolean): void => {}
  #end = (): void => {}
  readonly #idleWaiters = new Set<() => void>()

  constructor(id: number, token: string, process: WorkerProcess) {
    this.id = id
    this.token = token
    this.process = process
    this.started = new Promise((resolve) => {
      this.#start = resolve
    })
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
  }

  connected(link: ThreadLink, slot: Slot<Exchange>): void {
    this.link = link
    this.slot = slot
    this.state = 'ready'
    this.#start(true)
  }

  end(): void {
    this.state = 'ended'
    this.#start(false)
    this.#end()
    this.becameIdle()
  }

  /** Loads a generation; a thread that is not there reports a failure. */
  async load(site: PoolSite, order: LoadOrder): Promise<LoadReport> {
    if (this.link === undefined || this.state === 'ended') return failedReport('the thread has ended')
    this.live.set(order.generation, site)
    const report = await this.link.load(order)
    if (report.shape === undefined) this.spoil(order.generation)
    return report
  }

  /** The generation is of no use any more. */
  spoil(generation: number): void {
    const site = this.live.get(generation)
    if (site === undefined) return
    this.live.delete(generation)
    this.stale.set(generation, site)
    this.slot?.spoiled.add(site.lane)
  }

  /** Lets a site's generations here finish what they have, for `graceMs` at most, and close themselves. */
  async closeGenerations(site: PoolSite, graceMs: number): Promise<void> {
    const generations = [...this.live].filter(([, owner]) => owner === site).map(([generation]) => generation)
    for (const generation of generations) {
      this.spoil(generation)
      await this.#until(() => !this.#isServing(generation), graceMs)
      if (this.state !== 'ended') await this.link?.unload(generation)
    }
  }

  /** Resolves when nothing is open here, at the latest after `graceMs`. */
  idle(graceMs: number): Promise<void> {
    return this.#until(() => this.link === undefined || this.link.open.size === 0, graceMs)
  }

  /** To be called whenever an exchange has left the thread. */
  becameIdle(): void {
    for (const check of [...this.#idleWaiters]) check()
  }

  siteOf(generation: number): PoolSite | undefined {
    return this.live.get(generation) ?? this.stale.get(generation)
  }

  #isServing(generation: number): boolean {
    for (const exchange of this.link?.open.values() ?? []) if (exchange.head.generation === generation) return true
    return false
  }

  #until(condition: () => boolean, graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(deadline)
        this.#idleWaiters.delete(check)
        resolve()
      }
      const check = (): void => {
        if (this.state === 'ended' || condition()) done()
      }
      const deadline = setTimeout(done, graceMs)
      this.#idleWaiters.add(check)
      check()
    })
  }
}
