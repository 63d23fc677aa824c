/**
 * Where each site lives: in the default pool, in a named one, or in a process of its own, because its settings say so or
 * because of what it did. Opens a process of a site's own with its first request there, and closes it when the site leaves.
 *
 * When a process crashed and several sites may have been it, each is moved to a process of its own for a while: the
 * next crash tells which it was, and hurts nobody else.
 *
 * Limits: at most `MAX_SUSPECTS` sites are separated after one crash. Invariant: a site's lane is in the group that
 * `#groupFor` says, from the moment that it changes.
 */
import { existsSync } from 'node:fs'
import type { Log } from '../core/log.ts'
import type { ResidencyStatus } from '../core/residency.ts'
import type { Pool } from './pool.ts'
import type { PoolSite } from './pool-site.ts'
import type { GroupSettings } from './process-group.ts'
import type { Offence, QuarantineTerms } from './quarantine.ts'
import { Quarantine } from './quarantine.ts'
import { failedReport } from './thread-link.ts'
import { OWN_BRAKE } from './worker-process.ts'

/** What a site's settings say about where it lives. */
export interface Residency {
  isolation: 'shared' | 'process'
  /** The group that it shares. */
  pool: string
  /** For a process of its own: whom it runs as, by number; as the server where undefined. */
  uid: number | undefined
  gid: number | undefined
  /** The real environment there, made of that of its pool: what is no site's code sees it (`os.homedir()`, native code). */
  environment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv
  /** Its real working directory there. */
  root: string
}

/** How long suspects are kept apart, in ms, and how many at once: each takes a process. */
const SUSPICION_MS = 60_000
const MAX_SUSPECTS = 6
/** A site that did harm stands back for the others; see nice(2). */
const CONVICT_NICE = 5
const MAX_TIMER_MS = 0x7fffffff

export class Isolation {
  readonly #pool: Pool
  readonly #log: Log
  readonly #onGoingOn: () => void
  readonly #quarantine = new Quarantine<PoolSite>()
  readonly #residencies = new Map<PoolSite, Residency>()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  /** @param onGoingOn a site was just taken from threads that it shares, in which it goes on with what it did */
  constructor(pool: Pool, log: Log, onGoingOn: () => void) {
    this.#pool = pool
    this.#log = log
    this.#onGoingOn = onGoingOn
  }

  /** What a site's settings say; to be told before its first request, and whenever they change. */
  settle(site: PoolSite, residency: Residency): void {
    const before = this.#residencies.get(site)
    const wasAlone = this.isAlone(site)
    this.#residencies.set(site, residency)
    if (residency.isolation === 'process') this.#quarantine.release(site)
    else if (this.#quarantine.isConvicted(site)) {
      this.#quarantine.retime(site, termsOf(site), performance.now())
      this.#arm()
    }
    this.#place(site)
    // As whom a process runs is said once, at its start.
    const isOther = before !== undefined && !isSameProcess(before, residency)
    if (isOther && wasAlone && this.isAlone(site)) this.closeOwn(site, site.limits.stopTimeoutMs)
  }

  /** The site is gone. */
  forget(site: PoolSite): void {
    this.#residencies.delete(site)
    this.#quarantine.forget(site)
    this.closeOwn(site, site.limits.stopTimeoutMs)
  }

  /** A site did something that it may not, and is known to be the one. One that is gone has no place that it could lose. */
  offence(site: PoolSite, offence: Offence): void {
    if (site.removed) return
    if (this.#residencies.get(site)?.isolation === 'process') return this.#ownMatter(site, offence)
    const verdict = this.#quarantine.offence(site, offence, termsOf(site), performance.now())
    const { kind, text } = offence
    if (verdict === 'again' && !offence.severe) {
      this.#log.debug({ site: site.name, offence: kind, why: text }, 'site harms itself')
    } else if (verdict === 'convicted') {
      this.#log.error(
        { site: site.name, offence: kind, why: text },
        'site is quarantined: it gets a process of its own',
      )
    } else {
      this.#log.warn({ site: site.name, offence: kind, why: text, verdict }, 'site did harm')
    }
    this.#place(site)
    if (verdict === 'convicted' && offence.goesOn) this.#onGoingOn()
    this.#arm()
  }

  /** What a site does in a process that its settings give it harms nobody else, and there is no other place for it. */
  #ownMatter(site: PoolSite, { kind, text, severe }: Offence): void {
    this.#log[severe ? 'warn' : 'debug']({ site: site.name, offence: kind, why: text }, 'site harms itself')
  }

  /** One of these sites did it: each gets a process of its own until it is known which. @param offence what it did */
  suspects(sites: readonly PoolSite[], offence: Offence): void {
    const shared = sites.filter((site) => !site.removed && !this.isAlone(site) && site.limits.quarantineMs > 0)
    const [only] = shared
    if (shared.length === 1 && only !== undefined) return this.offence(only, offence)
    if (shared.length === 0) return
    const now = performance.now()
    const suspects = shared.slice(0, MAX_SUSPECTS)
    for (const site of suspects) {
      this.#quarantine.suspect(site, `or a neighbour, ${offence.text}`, now + SUSPICION_MS, now)
      this.#place(site)
    }
    const names = suspects.map((site) => site.name).join(', ')
    this.#log.warn({ sites: names, why: offence.text }, 'sites are separated until it is known which it was')
    this.#arm()
  }

  /** A process in which to prove other settings of a site, with which it runs as somebody else; undefined where it does not. */
  trialOf(site: PoolSite, residency: Residency): GroupSettings | undefined {
    const { uid, gid } = this.#residencies.get(site) ?? residency
    if (uid === residency.uid && gid === residency.gid) return undefined
    const settings = this.#ownSettings(site, residency)
    const isOwn = residency.isolation === 'process' || this.#quarantine.isConvicted(site)
    const cwd = isOwn ? () => residency.root : undefined
    return { ...settings, name: `${ownGroup(site)}:trial`, isOwn, process: { ...settings.process, cwd } }
  }

  /** A request waits for a process of the site's own that is not there. */
  open(site: PoolSite): void {
    const residency = this.#residencies.get(site)
    const name = this.#groupFor(site)
    if (residency === undefined || this.#closed || name !== ownGroup(site)) return
    if (this.#pool.workforce.groups.has(name)) return
    try {
      this.#pool.workforce.openGroup(this.#ownSettings(site, residency))
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      if (site.order !== undefined) this.#pool.loadFailed(site, site.order, failedReport(message))
    }
  }

  /** Ends the process of the site's own, if it has one. Who comes meanwhile gets another. */
  closeOwn(site: PoolSite, graceMs: number): void {
    const { workforce } = this.#pool
    const group = workforce.groups.get(ownGroup(site))
    if (group === undefined) return
    // The pause is that of the process which goes.
    site.throttledUntil = 0
    workforce
      .closeGroup(group, graceMs)
      .catch((error: unknown) => this.#log.error({ err: error }, 'closing a process failed'))
    this.#pool.seekThread(site)
  }

  isAlone(site: PoolSite): boolean {
    return site.lane.group === ownGroup(site)
  }

  /** Where the site lives, and what is held against it. */
  statusOf(site: PoolSite): ResidencyStatus {
    const record = this.#quarantine.recordOf(site)
    const now = performance.now()
    const unix = (at: number): number => Math.round(Date.now() - now + at)
    return {
      group: site.lane.group,
      quarantinedSince: record?.convictedAt === undefined ? undefined : unix(record.convictedAt),
      releasedAt: record?.convictedAt === undefined ? undefined : unix(record.releaseAt),
      offences: (record?.offences ?? []).map(({ kind, text, at }) => ({ kind, text, at: unix(at) })),
    }
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #groupFor(site: PoolSite): string {
    const residency = this.#residencies.get(site)
    const isOwn = residency?.isolation === 'process' || this.#quarantine.isConvicted(site)
    return isOwn ? ownGroup(site) : (residency?.pool ?? site.lane.group)
  }

  /** Moves a site to where it belongs, if it is not there. */
  #place(site: PoolSite): void {
    const group = this.#groupFor(site)
    if (site.lane.group === group) return
    const wasAlone = this.isAlone(site)
    // A site that does harm leaves at once; its requests wait for its own process.
    this.#pool.moveSite(site, group)
    if (this.isAlone(site)) this.open(site)
    else if (wasAlone) this.closeOwn(site, site.limits.stopTimeoutMs)
  }

  #ownSettings(site: PoolSite, { isolation, pool, uid, gid, environment, root }: Residency): GroupSettings {
    const byChoice = isolation === 'process'
    const { workforce } = this.#pool
    const shared = workforce.groups.get(pool) ?? workforce.defaultGroup
    const { process, limits } = shared.settings
    return {
      name: ownGroup(site),
      pool: shared.name,
      processes: { min: 1, max: 1 },
      threads: { min: 1, max: 2 },
      process: {
        ...process,
        env: environment(process.env),
        uid: uid ?? process.uid,
        gid: gid ?? process.gid,
        cwd: () => this.#folderOf(site, root),
        nice: byChoice ? 0 : CONVICT_NICE,
      },
      brake: OWN_BRAKE,
      limits,
      reason: byChoice ? 'isolation = process' : 'in quarantine',
      isOwn: true,
    }
  }

  /**
   * Where a process of the site's own starts: where the site is by then, for the folder of an earlier version may be gone. If its
   * present one is, and another version is on its way, anywhere: that brings its own.
   */
  #folderOf(site: PoolSite, first: string): string | undefined {
    const root = this.#residencies.get(site)?.root ?? first
    return site.renewal !== undefined && !existsSync(root) ? undefined : root
  }

  #arm(): void {
    clearTimeout(this.#timer)
    const at = this.#quarantine.nextDueAt()
    if (at === undefined || this.#closed) return
    const waitMs = Math.min(MAX_TIMER_MS, Math.max(1, Math.ceil(at - performance.now())))
    this.#timer = setTimeout(() => this.#release(), waitMs).unref()
  }

  #release(): void {
    for (const site of this.#quarantine.due(performance.now())) {
      this.#quarantine.release(site)
      const why = site.limits.quarantineMs === 0 ? 'site is not to be quarantined' : 'site has behaved'
      this.#log.info({ site: site.name }, `${why} and goes back to the others`)
      this.#place(site)
    }
    this.#arm()
  }
}

function termsOf({ limits }: PoolSite): QuarantineTerms {
  return { offences: limits.offences, timeMs: limits.quarantineMs }
}

/** Whether a process of the one kind will do for the other: the folder is asked for at each start, and each load goes to its own. */
function isSameProcess(a: Residency, b: Residency): boolean {
  return a.isolation === b.isolation && a.pool === b.pool && a.uid === b.uid && a.gid === b.gid
}

/** The group of a process of the site's own. Names of pools have no colon. */
function ownGroup(site: PoolSite): string {
  return `site:${site.name}`
}
