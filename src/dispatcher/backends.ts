/**
 * The backends of sites that other programs answer for, by the site's name: upstreams, connections and programs stay while
 * the site's settings change.
 *
 * Invariant: a site's backend is there from the first service that needs it until the last one is closed.
 */
import { isDeepStrictEqual } from 'node:util'
import type { ProgramStatus } from '../admin/reports.ts'
import type { ProxySettings, SiteBackend } from '../config/site-backend.ts'
import { formatUpstream } from '../config/site-backend.ts'
import type { SiteConfig } from '../config/site-schema.ts'
import { SiteGone } from '../core/errors.ts'
import type { CommandParts } from './command/command-site.ts'
import { CommandSite } from './command/command-site.ts'
import { FailureLog } from './failure-log.ts'
import { HeldBodies } from './held-bodies.ts'
import type { BackendSite } from './proxy/backend-site.ts'
import { announcesBody, collect, forward } from './proxy/proxy-backend.ts'
import { Target } from './proxy/target.ts'
import type { GroupLimits } from './proxy/upstream-group.ts'
import { UpstreamGroup } from './proxy/upstream-group.ts'
import { WaitingBytes } from './proxy/waiting-bytes.ts'
import { sendError } from './send-error.ts'
import type { Answerer } from './visit.ts'

/** What is told of a backend. */
export interface BackendStatus {
  inFlight: number
  waiting: number
  /** Why the newest start failed, or which upstreams gave no answer when they were asked last; for a person. */
  problem: string | undefined
  /** Whether that is so of all upstreams. */
  isDown: boolean
  /** The next two only for a command. */
  program: ProgramStatus | undefined
  /** Unix time in ms. */
  throttledUntil: number | undefined
}

/** What answers for one site with one version of its settings. */
export interface Backend {
  answer: Answerer
  status(): BackendStatus
  /** Whether there is a program, or should be. */
  isInUse(): boolean
  /** Changes when another program, or another order for it, takes the place of the one before; undefined for upstreams. */
  generation(): number | undefined
  /** Resolves when that is so, or could not be done. */
  settled(): Promise<void>
  /** Starts its program anew, without a gap; nothing for upstreams. */
  reload(): Promise<void>
  /** Ends what belongs to the site, unless newer settings have taken it over. */
  close(): void
}

/** What stays of a site while its settings change. */
interface Kept {
  group: UpstreamGroup
  command: CommandSite | undefined
  /** The settings in force; those who are not in force any more close nothing. */
  config: SiteConfig
}

export class Backends {
  readonly #parts: CommandParts
  readonly #failures: FailureLog
  readonly #bodies = new HeldBodies()
  readonly #waiting = new WaitingBytes()
  readonly #kept = new Map<string, Kept>()
  readonly #ending = new Set<Promise<void>>()

  constructor(parts: CommandParts) {
    this.#parts = parts
    this.#failures = new FailureLog(parts.log)
  }

  /** The backend of a site with these settings, which are in force from now on. @param backend of `config` */
  open(config: SiteConfig, { proxy }: SiteBackend): Backend {
    const kept = this.#take(config)
    const { group, command } = kept
    const site = this.#siteOf(config, proxy, kept)
    const answer: Answerer = (visit) =>
      collect(visit, site, this.#bodies, (body) => {
        const refusal = group.isClosed ? undefined : command?.ask()
        if (refusal === undefined) return forward(visit, site, body)
        const { req, res } = visit
        sendError(req, res, Object.assign(refusal, { closes: announcesBody(req) && !req.complete }))
      })
    return {
      answer,
      status: () => statusOf(kept),
      generation: () => command?.generation,
      settled: async () => command?.settled,
      isInUse: () => command?.isInUse === true,
      reload: async () => command?.reload(),
      close: () => {
        if (kept.config === config) this.#drop(config.name, kept)
      },
    }
  }

  #siteOf(config: SiteConfig, proxy: ProxySettings, { group, command }: Kept): BackendSite {
    return {
      config,
      proxy,
      group,
      program: command,
      failures: this.#failures,
      waiting: this.#waiting,
      log: this.#parts.log,
    }
  }

  /** Ends every program and connection. Resolves when nothing is left. */
  async close(): Promise<void> {
    for (const [name, kept] of this.#kept) this.#drop(name, kept)
    await Promise.all(this.#ending)
    this.#parts.watch.close()
  }

  #take(config: SiteConfig): Kept {
    const before = this.#kept.get(config.name)
    // Another kind: the one before goes when its service is closed.
    const isSameKind = before !== undefined && before.config.kind === config.kind
    const kept = isSameKind ? before : this.#make(config)
    if (isSameKind) {
      const { config: old } = kept
      kept.config = config
      // Upstreams first: larger limits let those who wait go on at once.
      if (config.kind === 'proxy') setTargets(kept.group, config, old)
      kept.group.limits = groupLimits(config)
      kept.command?.configure(config)
    }
    this.#kept.set(config.name, kept)
    return kept
  }

  #make(config: SiteConfig): Kept {
    const group = new UpstreamGroup(config.name, groupLimits(config))
    if (config.kind === 'proxy') setTargets(group, config, undefined)
    const command = config.kind === 'command' ? new CommandSite(config, group, this.#parts) : undefined
    return { group, command, config }
  }

  #drop(name: string, { group, command }: Kept): void {
    const current = this.#kept.get(name)
    if (current?.group === group) this.#kept.delete(name)
    group.close(new SiteGone(name))
    if (command === undefined) {
      for (const target of group.targets) target.retire()
      group.targets = []
      return
    }
    const done = command.close()
    this.#ending.add(done)
    done
      .catch((error: unknown) => this.#parts.log.error({ site: name, err: error }, 'stopping a command failed'))
      .finally(() => this.#ending.delete(done))
  }
}

function statusOf({ group, command }: Kept): BackendStatus {
  const { inFlight, waiting } = group
  if (command !== undefined) return { inFlight, waiting, isDown: false, ...command.status() }
  const failed = group.targets.filter(({ failures }) => failures > 0)
  const problem = failed.map(({ label, why }) => `${label} gave no answer when it was asked last (${why})`).join('; ')
  return {
    inFlight,
    waiting,
    problem: problem === '' ? undefined : problem,
    isDown: failed.length > 0 && failed.length === group.targets.length,
    program: undefined,
    throttledUntil: undefined,
  }
}

/** Those that are there already stay, with their connections. */
function setTargets(group: UpstreamGroup, { backend }: SiteConfig, old: SiteConfig | undefined): void {
  if (backend === undefined) return
  const isSame = isDeepStrictEqual(old?.backend?.proxy, backend.proxy)
  const before = new Map(isSame ? group.targets.map((target) => [target.label, target]) : [])
  const gone = new Set(group.targets)
  const targets = backend.upstreams.map((upstream) => {
    const target = before.get(formatUpstream(upstream)) ?? new Target(upstream, backend.proxy)
    gone.delete(target)
    return target
  })
  group.targets = targets
  for (const target of gone) target.retire()
}

function groupLimits({ limits, backend }: SiteConfig): GroupLimits {
  const { connections = 0, tunnels = 0, restMs = 0 } = backend?.proxy ?? {}
  return { connections, tunnels, restMs, queue: limits.queue, queueTimeoutMs: limits.queueTimeoutMs }
}
