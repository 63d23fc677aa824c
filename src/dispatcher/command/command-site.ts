/**
 * The program of one site of `kind = command`: started with the first request (or at once), watched, started again when it
 * ends, stopped when nobody asks, and replaced without a gap: the new one has to be ready before the old one goes.
 *
 * Invariant: at most one program serves and at most one is being started; the group's only target is the one that serves.
 */
import { isDeepStrictEqual } from 'node:util'
import type { ProgramEnd, ProgramStatus } from '../../admin/reports.ts'
import { exactHosts } from '../../config/domains.ts'
import { environmentAs } from '../../config/identity.ts'
import type { SiteConfig } from '../../config/site-schema.ts'
import { CommandFailed, SiteThrottled } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import type { StartedAgain } from '../proxy/backend-site.ts'
import { Target } from '../proxy/target.ts'
import type { UpstreamGroup } from '../proxy/upstream-group.ts'
import type { GroupWatch } from './group-watch.ts'
import { HangWatch } from './hang-watch.ts'
import { makePlace } from './listen-place.ts'
import type { OutputSink, ProgramOrder } from './program.ts'
import { Program } from './program.ts'
import { RestartBrake } from './restart-brake.ts'
import { givesSign } from './sign-of-life.ts'

/** What the programs of all sites share. */
export interface CommandParts {
  readonly watch: GroupWatch
  /** The run folder, absolute. */
  readonly run: string
  /** What a program's environment has beside its site's own. */
  readonly env: Record<string, string>
  readonly log: Log
  /** Takes a line that a site's program printed. */
  output(site: string, ...line: Parameters<OutputSink>): void
}

/** A program that serves, or did. */
interface Serving {
  program: Program
  target: Target
  watch: HangWatch
  /** It listens no more: only those who have a connection reach it. */
  isCutOff: boolean
}

export class CommandSite implements StartedAgain {
  readonly #parts: CommandParts
  readonly #group: UpstreamGroup
  readonly #brake = new RestartBrake()
  #config: SiteConfig
  #order: ProgramOrder
  #serving: Serving | undefined
  #starting: Program | undefined
  /** Resolves, whatever becomes of it, when the start that is under way is over. */
  #start: Promise<void> | undefined
  #throttledUntil = 0
  #restart: NodeJS.Timeout | undefined
  #idleTimer: NodeJS.Timeout | undefined
  #lastAskedAt = performance.now()
  #starts = 0
  #generation = 0
  /** Resolves when the newest order is in force, or could not be. */
  #replaced: Promise<void> = Promise.resolve()
  /** Why the newest start failed. */
  #problem: string | undefined
  /** When one that served ended, and nobody wanted that. */
  #lastEnd: ProgramEnd | undefined
  #isClosed = false
  readonly #ending = new Set<Promise<void>>()

  constructor(config: SiteConfig, group: UpstreamGroup, parts: CommandParts) {
    this.#config = config
    this.#group = group
    this.#parts = parts
    this.#order = orderOf(config, parts)
    if (config.preload) void this.#begin()
  }

  /** Other settings. What is about the program itself makes a new one take the place of the one that runs. */
  configure(config: SiteConfig): void {
    this.#config = config
    const order = orderOf(config, this.#parts)
    if (!isDeepStrictEqual(order, this.#order)) this.#takeOrder(order)
    else if (config.preload && !this.#isInUse()) void this.#begin()
    this.#watchIdle()
  }

  /** A request has come. @returns why it cannot be served now */
  ask(): Error | undefined {
    this.#lastAskedAt = performance.now()
    if (this.#serving !== undefined || this.#start !== undefined) return undefined
    const leftMs = this.#throttledUntil - performance.now()
    if (leftMs > 0) {
      const retryAfterSeconds = Math.ceil(leftMs / 1000)
      return Object.assign(new SiteThrottled(this.#config.name, retryAfterSeconds), { retryAfterSeconds })
    }
    void this.#begin()
    return undefined
  }

  /** Whether the next start comes at once, whether the end of this one is known yet or not. */
  startsAtOnce(): boolean {
    const { program } = this.#serving ?? {}
    return program === undefined ? performance.now() >= this.#throttledUntil : this.#brake.isFree(program.livedMs)
  }

  /**
   * The program runs on and hears of nobody new: its socket was taken away, or it closed that. A fresh one takes its place, and
   * those who come wait for it. While the brake holds, they do not: the program may be one that does so each time.
   */
  isCutOff(target: Target, why: string): boolean {
    if (this.#serving?.target !== target) return false
    if (this.#start !== undefined) return this.#serving.isCutOff
    if (performance.now() < this.#throttledUntil) return false
    this.#parts.log.warn({ site: this.#config.name, listen: target.label, why }, 'command cannot be reached')
    this.#serving.isCutOff = true
    this.#lastEnd = { at: Date.now(), why }
    this.#group.targets = []
    void this.#begin()
    return true
  }

  /**
   * Puts a fresh program in the place of the one that runs, once it is ready. Resolves when that is so, or has failed. A start
   * that is under way is given up: it may have begun with what was there before.
   */
  async reload(): Promise<void> {
    if (this.#isClosed) return
    this.#brake.reset()
    this.#throttledUntil = 0
    this.#giveUpStart()
    await this.#start
    let order: ProgramOrder
    do {
      order = this.#order
      await this.#begin()
      // Another reload may have given up this one's start.
    } while (order !== this.#order && !this.#isClosed)
  }

  status(): { program: ProgramStatus; problem: string | undefined; throttledUntil: number | undefined } {
    const leftMs = this.#throttledUntil - performance.now()
    const current = this.#serving?.program ?? this.#starting
    const isDown = current === undefined && this.#start === undefined
    const state = this.#serving ? 'running' : !isDown ? 'starting' : leftMs > 0 ? 'throttled' : 'stopped'
    return {
      program: {
        state,
        pid: current?.pid,
        startedAt: current?.startedAt,
        starts: this.#starts,
        lastEnd: this.#lastEnd,
      },
      problem: this.#problem,
      throttledUntil: state === 'throttled' ? Math.round(Date.now() + leftMs) : undefined,
    }
  }

  /** Counts the orders that there were: another program, or other surroundings. */
  get generation(): number {
    return this.#generation
  }

  /** Resolves when the newest order is in force, or could not be. */
  get settled(): Promise<void> {
    return this.#replaced
  }

  /** Whether a program runs, or should and cannot. */
  get isInUse(): boolean {
    return this.#isInUse() || this.#problem !== undefined
  }

  /** Ends whatever runs. Resolves when nothing is left. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#restart)
    clearTimeout(this.#idleTimer)
    const { stopTimeoutMs } = this.#config.limits
    const starting = this.#starting?.stop(stopTimeoutMs)
    this.#stopServing()
    await Promise.all([starting, this.#start])
    await Promise.all(this.#ending)
  }

  // ---- starts --------------------------------------------------------------------------------------------------------

  #isInUse(): boolean {
    return this.#serving !== undefined || this.#start !== undefined
  }

  /** It is another program from now on: what the one before did is not held against it. */
  #takeOrder(order: ProgramOrder): void {
    this.#order = order
    this.#problem = undefined
    this.#generation++
    const wasHeldBack = this.#throttledUntil > performance.now()
    this.#brake.reset()
    this.#throttledUntil = 0
    this.#giveUpStart()
    if (this.#isInUse() || wasHeldBack || this.#config.preload) this.#replaceSoon()
  }

  /** Nobody is to wait for the outcome of a start that is not wanted any more. It cannot fail. */
  #giveUpStart(): void {
    this.#order = { ...this.#order }
    void this.#starting?.stop(0)
  }

  #replaceSoon(): void {
    this.#replaced = this.reload().catch((error: unknown) =>
      this.#parts.log.error({ site: this.#config.name, err: error }, 'reload failed'),
    )
  }

  /** Starts a program; one at a time. */
  #begin(): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    clearTimeout(this.#restart)
    this.#start ??= this.#run()
      .catch((error: unknown) => this.#failed(undefined, error instanceof Error ? error.message : String(error)))
      .finally(() => {
        this.#start = undefined
        this.#watchIdle()
      })
    return this.#start
  }

  async #run(): Promise<void> {
    const { name, limits } = this.#config
    const order = this.#order
    this.#starts++
    const place = await makePlace(order.command.place, this.#parts.run, order.identity)
    if (order !== this.#order) return place.dispose()
    let program: Program
    try {
      this.#parts.watch.open()
      program = new Program(order, place, this.#parts.watch, (...line) => this.#parts.output(name, ...line))
    } catch (error) {
      place.dispose()
      throw error
    }
    this.#starting = program
    const fault = this.#isClosed ? 'was stopped' : await program.ready(limits.startTimeoutMs)
    this.#starting = undefined
    const isWanted = order === this.#order
    if (fault === undefined && isWanted && !this.#isClosed) return this.#serve(program)
    await program.stop(this.#isClosed ? limits.stopTimeoutMs : 0)
    // Whoever changed the order begins the next start, and those who ask wait for that.
    if (isWanted || this.#isClosed) this.#failed(program, fault ?? 'was stopped')
  }

  #serve(program: Program): void {
    const { name, backend } = this.#config
    if (backend === undefined) return
    const before = this.#serving
    const target = new Target(program.upstream, backend.proxy, program.owner)
    const watch = this.#watchOver(program, target)
    this.#serving = { program, target, watch, isCutOff: false }
    this.#problem = undefined
    this.#throttledUntil = 0
    this.#group.targets = [target]
    this.#parts.log.info({ site: name, pid: program.pid, tookMs: Math.round(program.livedMs) }, 'command is up')
    if (before !== undefined) this.#end(before)
    // It cannot fail: how it ended is what it resolves to.
    void program.ended.then((why) => this.#ended(program, why))
  }

  /** A start came to nothing. The one before, if there is one, serves on. */
  #failed(program: Program | undefined, why: string): void {
    const { name } = this.#config
    if (this.#isClosed) return this.#group.failWaiting(new CommandFailed(name, 'was stopped'))
    this.#problem = `its command ${why}`
    this.#parts.log.error({ site: name, why }, 'command did not come up')
    if (this.#serving?.isCutOff === false) return
    this.#brakeOn(false, program?.livedMs ?? 0)
    this.#group.failWaiting(new CommandFailed(name, why))
    if (this.#serving !== undefined) this.#group.targets = [this.#serving.target]
  }

  // ---- ends ----------------------------------------------------------------------------------------------------------

  /** The program that served has ended, and nobody wanted that. */
  #ended(program: Program, why: string): void {
    const serving = this.#serving
    if (serving?.program !== program) return
    serving.target.destroy()
    const figures = this.#lost(serving, why)
    this.#parts.log.error({ site: this.#config.name, why, ...figures }, 'command ended')
  }

  /** The program that serves does nothing any more. */
  #hangs(program: Program, silentMs: number): void {
    const serving = this.#serving
    // A start that is under way replaces it.
    if (serving?.program !== program || this.#start !== undefined) return
    const seconds = Math.round(silentMs / 1000)
    const figures = this.#lost(serving, `did nothing for ${seconds} s while requests waited`)
    const { name, limits } = this.#config
    this.#parts.log.error(
      { site: name, pid: program.pid, silentMs: Math.round(silentMs), ...figures },
      'command hangs, and is ended',
    )
    // Its connections stay until it is gone: then the kernel says what it had not read, which its next start gets.
    this.#noteEnding(program.stop(limits.stopTimeoutMs).then(() => serving.target.destroy()))
  }

  /** The program that served does not, from now on, and nobody wanted that. @returns for the log */
  #lost(serving: Serving, why: string): { livedMs: number; waitMs: number } {
    this.#serving = undefined
    serving.watch.close()
    this.#group.targets = []
    this.#lastEnd = { at: Date.now(), why }
    const livedMs = Math.round(serving.program.livedMs)
    const waitMs = this.#brakeOn(true, livedMs)
    this.#problem = waitMs > 0 ? `its command keeps ending (${why})` : undefined
    return { livedMs, waitMs }
  }

  #watchOver(program: Program, target: Target): HangWatch {
    const watch = new HangWatch({
      hangMs: () => this.#config.limits.hangTimeoutMs,
      isNew: () => !target.hasAnswered,
      isAlive: (signal) => {
        const { domains, limits } = this.#config
        return givesSign(target, exactHosts(domains)[0] ?? 'localhost', limits.timeoutMs, signal)
      },
      onHang: (silentMs) => this.#hangs(program, silentMs),
    })
    target.attendance = watch
    return watch
  }

  /** Sees to the next start. @returns when that will be, in ms from now */
  #brakeOn(wasUp: boolean, livedMs: number): number {
    const waitMs = this.#brake.ended(wasUp, livedMs)
    if (this.#isClosed) return waitMs
    this.#throttledUntil = performance.now() + waitMs
    if (!this.#isWanted()) return waitMs
    clearTimeout(this.#restart)
    // Later also where it is not to wait: this may be the end of a start that is not over yet.
    this.#restart = setTimeout(() => void this.#begin(), waitMs)
    return waitMs
  }

  /** Whether it should run though nobody asks at the moment. */
  #isWanted(): boolean {
    const { preload, idleMs } = this.#config
    return preload || idleMs === 0 || performance.now() - this.#lastAskedAt < idleMs
  }

  #watchIdle(): void {
    clearTimeout(this.#idleTimer)
    const { preload, idleMs } = this.#config
    if (this.#isClosed || preload || idleMs === 0 || this.#serving === undefined) return
    const leftMs = this.#lastAskedAt + idleMs - performance.now()
    this.#idleTimer = setTimeout(() => this.#checkIdle(), Math.max(1, leftMs)).unref()
  }

  #checkIdle(): void {
    const { target } = this.#serving ?? {}
    if (target !== undefined && target.busy + target.tunnels > 0) this.#lastAskedAt = performance.now()
    if (this.#isWanted() || this.#start !== undefined) return this.#watchIdle()
    this.#parts.log.info({ site: this.#config.name }, 'command is stopped: nobody asked for it')
    this.#stopServing()
  }

  #stopServing(): void {
    const serving = this.#serving
    if (serving === undefined) return
    clearTimeout(this.#restart)
    this.#serving = undefined
    this.#group.targets = []
    this.#end(serving)
  }

  /** Ends a program that gets no more requests, after those that it has. */
  #end({ program, target, watch }: Serving): void {
    const { stopTimeoutMs } = this.#config.limits
    watch.close()
    const drained = target.drained(stopTimeoutMs)
    this.#noteEnding(drained.then(() => program.stop(stopTimeoutMs)).then(() => target.destroy()))
  }

  #noteEnding(done: Promise<void>): void {
    this.#ending.add(done)
    done.finally(() => this.#ending.delete(done)).catch(() => {})
  }
}

function orderOf({ backend, root, env, identity }: SiteConfig, parts: CommandParts): ProgramOrder {
  const passed = environmentAs(identity, parts.env)
  if (backend?.command === undefined) throw new Error('a site of kind = command has no command')
  return { command: backend.command, cwd: root, env: { ...passed, NODE_ENV: 'production', ...env }, identity }
}
