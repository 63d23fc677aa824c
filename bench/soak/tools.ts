/** What all actions of the operator need: the run they are part of, and how to wait for what they did. */
import { setTimeout as delay } from 'node:timers/promises'
import type { SiteStatus } from '../../src/admin/reports.ts'
import type { Random } from './random.ts'
import type { Record } from './record.ts'
import type { SoakSite } from './sites.ts'
import { plainAsk } from './sites.ts'
import type { Visitors } from './visitors.ts'
import type { World } from './world.ts'

/** Until what was done has to be in service. */
const SEEN_WITHIN_MS = 40_000
const LOOK_MS = 25

export interface Action {
  name: string
  sites: readonly SoakSite[]
  /** Not beside another action with the same site. */
  isExclusive: boolean
  /** Not beside any other action. */
  isAlone: boolean
  act(site: SoakSite): Promise<void>
}

/** @param isExclusive whether nothing else is done to the site meanwhile */
export function action(name: string, sites: readonly SoakSite[], act: Action['act'], isExclusive = true): Action {
  return { name, sites, act, isExclusive, isAlone: false }
}

/** What is done to the whole server while nobody does anything else. */
export function actionAlone(name: string, sites: readonly SoakSite[], act: Action['act']): Action {
  return { name, sites, act, isExclusive: true, isAlone: true }
}

export class Tools {
  readonly world: World
  readonly record: Record
  readonly visitors: Visitors
  readonly random: Random
  /** Sites to which something is done that nothing else may be done beside. */
  readonly busy = new Set<SoakSite>()

  constructor(world: World, record: Record, visitors: Visitors, random: Random) {
    this.world = world
    this.record = record
    this.visitors = visitors
    this.random = random
  }

  /** Asks until an answer has at least these numbers, then all that follow have to. */
  async seen(site: SoakSite): Promise<void> {
    const { name, kind } = site
    const want = this.world.mark(name)
    const code = kind === 'redirect' ? 0 : want.code
    const deadline = performance.now() + SEEN_WITHIN_MS
    for (;;) {
      const visit = await this.visitors.visit(site, plainAsk(site))
      const [, gotCode, gotIni] = visit.mark?.split('/').map(Number) ?? []
      if (visit.outcome === 'ok' && gotCode === code && (kind === 'static' || gotIni === want.ini)) break
      if (performance.now() > deadline) {
        const status = (await this.world.status())?.sites.find((each) => each.name === name)
        const last = `${visit.outcome} ${visit.mark} ${visit.detail}`
        throw new Error(`${want.code}/${want.ini} is not in service: ${last} ${JSON.stringify(status)}`)
      }
      await delay(LOOK_MS)
    }
    this.world.floors.set(name, { code, ini: kind === 'static' ? 0 : want.ini })
  }

  /** As the server tells it. */
  async site(name: string): Promise<SiteStatus | undefined> {
    return (await this.world.status())?.sites.find((site) => site.name === name)
  }

  /** The number of the generation that serves. */
  async generation(name: string): Promise<number | undefined> {
    return (await this.site(name))?.generation
  }

  /** @throws when it is not so in time */
  async until(what: string, check: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + SEEN_WITHIN_MS
    while (!(await check())) {
      if (performance.now() > deadline) throw new Error(`waited ${SEEN_WITHIN_MS} ms for ${what}`)
      await delay(LOOK_MS)
    }
  }
}
