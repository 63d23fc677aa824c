/**
 * Which group of threads each site is in, and whose a group is that only one site is in.
 *
 * Limit: a group that has no thread is waited for as `ProcessGroup.whenReady` says. Invariant: a process of a site's own that
 * waits before it is started again, for what the site did, does not keep new code or settings of that site waiting.
 */
import type { PoolSite } from './pool-site.ts'
import type { ProcessGroup } from './process-group.ts'
import type { Workforce } from './workforce.ts'

export class Homes {
  readonly #workforce: Workforce
  readonly #sites: ReadonlySet<PoolSite>
  readonly #onHomeless: (site: PoolSite) => void

  /** @param sites those in the pool @param onHomeless called for a site whose group is not there, to open it if it can be */
  constructor(workforce: Workforce, sites: ReadonlySet<PoolSite>, onHomeless: (site: PoolSite) => void) {
    this.#workforce = workforce
    this.#sites = sites
    this.#onHomeless = onHomeless
  }

  /** The threads in which what is new of a site can be loaded, once one of them is there; undefined when none is in time. */
  async groupFor(site: PoolSite): Promise<ProcessGroup | undefined> {
    for (;;) {
      this.#endPause(site)
      if (!this.#workforce.groups.has(site.lane.group)) this.#onHomeless(site)
      const group = this.#workforce.groups.get(site.lane.group)
      if (group === undefined || (await group.whenReady())) return group
      // It may have been closed meanwhile, or the site have moved.
      if (!group.closing || site.removed || this.#workforce.closing) return undefined
    }
  }

  /** The process of a site's own; undefined where it has none. */
  ownGroupOf(site: PoolSite): ProcessGroup | undefined {
    const group = this.#workforce.groups.get(site.lane.group)
    return group?.settings.isOwn ? group : undefined
  }

  /** The site whose own process a group is; undefined where it is nobody's. */
  ownerOf(group: ProcessGroup): PoolSite | undefined {
    return group.settings.isOwn ? [...this.#sites].find((site) => site.lane.group === group.name) : undefined
  }

  /** What a process did before says nothing of the code that comes now: another takes its place, without a pause. */
  #endPause(site: PoolSite): void {
    const group = this.ownGroupOf(site)
    if (group === undefined || group.processes.some(({ up }) => up)) return
    site.throttledUntil = 0
    void this.#workforce.closeGroup(group, 0)
  }
}
