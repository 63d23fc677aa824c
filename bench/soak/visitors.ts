/**
 * The visitors: a steady number of requests a second to all sites, whatever becomes of those before, each with an id of
 * its own.
 *
 * Limits: `MAX_OPEN` at a time. Invariant: `stop` resolves when every request has come to something.
 */
import { send } from '../../test/helpers/box.ts'
import { askFirst, askSecond, hangUp } from './asking.ts'
import type { Random } from './random.ts'
import type { Record, Visit } from './record.ts'
import type { Ask, SoakSite } from './sites.ts'
import { SITES } from './sites.ts'
import type { World } from './world.ts'

const TICK_MS = 10
const MAX_OPEN = 400
const SHARE_OF_LEAVERS = 0.06
const LEAVES_WITHIN_MS = 120
const SHARE_OF_SECOND = 0.4
/** What HTTP/2 is not asked for here. */
const FIRST_ONLY: ReadonlySet<Ask> = new Set(['pipeline'])

export class Visitors {
  readonly #world: World
  readonly #record: Record
  readonly #random: Random
  readonly #open = new Set<Promise<unknown>>()
  #timer: NodeJS.Timeout | undefined
  #sent = 0

  constructor(world: World, record: Record, random: Random) {
    this.#world = world
    this.#record = record
    this.#random = random
  }

  start(perSecond: number): void {
    const startedAt = performance.now()
    const before = this.#sent
    this.#timer = setInterval(() => {
      const due = ((performance.now() - startedAt) / 1_000) * perSecond
      while (this.#sent - before < due && this.#open.size < MAX_OPEN) this.#visitSome()
    }, TICK_MS)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#open)
    hangUp()
  }

  /** Asks a site for one thing; a visitor who stays. */
  async visit(site: SoakSite, ask: Ask, isSecond = false, leavesAfterMs?: number): Promise<Visit> {
    const id = `v${(++this.#sent).toString(36)}`
    const { port, tlsPort } = this.#world
    const floor = { ...this.#world.floor(site.name) }
    const from = performance.now()
    const where = { port: isSecond ? tlsPort : port, isSecond }
    const question = { ...where, site: site.name, ask, id, leavesAfterMs, random: this.#random }
    const { outcome, mark, detail = '' } = await (isSecond ? askSecond : askFirst)(question)
    const to = performance.now()
    const visit = { id, site: site.name, ask, isSecond, from, to, outcome, mark, floor, detail }
    this.#record.visits.push(visit)
    return visit
  }

  /** Asks an offender to do harm. */
  async fault(site: SoakSite, fault: string): Promise<void> {
    const options = { host: '127.0.0.1', port: this.#world.port, path: `/fault/${fault}`, agent: false as const }
    await send({ ...options, headers: { host: `${site.name}.test` } }).catch(() => {})
  }

  #visitSome(): void {
    const random = this.#random
    const site = random.pick(SITES)
    const ask = random.pick(site.asks)
    const isSecond = site.isSecure && !FIRST_ONLY.has(ask) && random.chance(SHARE_OF_SECOND)
    const leaves = random.chance(SHARE_OF_LEAVERS) ? 1 + random.below(LEAVES_WITHIN_MS) : undefined
    const visit = this.visit(site, ask, isSecond, leaves)
    this.#open.add(visit)
    void visit.finally(() => this.#open.delete(visit))
  }
}
