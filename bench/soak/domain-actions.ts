/**
 * Hosts that move between sites: from one INI file to another, in either order or both ways at once, from a name to a wildcard and
 * back, to `default_site`; and sites whose files get other names.
 *
 * Invariants that are held, while somebody asks all the time: only sites that have the host, before or after, answer for it; nobody gets
 * 421 where one of both always claims it; once the new one has answered, the old one never does.
 */
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { send } from '../../test/helpers/box.ts'
import type { Event } from './record.ts'
import type { SoakSite } from './sites.ts'
import { SITES } from './sites.ts'
import type { Action, Tools } from './tools.ts'
import { action } from './tools.ts'

const ASK_EVERY_MS = 15
/** How long the new site has to be the only one. */
const STAYS_MS = 600
const SEEN_WITHIN_MS = 40_000

const nomads = SITES.filter(({ name }) => name.startsWith('nomad'))
/** Whose file can have another name. */
const renamed = SITES.filter(({ name }) => ['handler', 'files', 'handed', 'drowsy', 'alone'].includes(name))

/** Who answers for a host: the name of a site, or a status. */
type Answerer = string

export class DomainActions {
  readonly #tools: Tools
  #hosts = 0

  constructor(tools: Tools) {
    this.#tools = tools
  }

  get all(): readonly Action[] {
    return [
      action('move host', nomads, (site) => this.#withAnother(site, (other) => this.#move(site, other))),
      action('move host', nomads, (site) => this.#withAnother(site, (other) => this.#move(site, other))),
      action('swap hosts', nomads, (site) => this.#withAnother(site, (other) => this.#swap(site, other))),
      action('move to wildcard', nomads, (site) => this.#withAnother(site, (other) => this.#toWildcard(site, other))),
      action('default site', SITES.slice(0, 1), () => this.#withTwo((one, other) => this.#toDefault(one, other))),
      action('rename INI', renamed, (site) => this.#rename(site)),
    ]
  }

  /** Does something with two sites, to which nothing else is done meanwhile. */
  async #withTwo(act: (one: string, other: string) => Promise<void>): Promise<void> {
    const { busy, random } = this.#tools
    const free = nomads.filter((each) => !busy.has(each))
    if (free.length === 0) return
    const one = random.pick(free)
    busy.add(one)
    await this.#withAnother(one, (other) => act(one.name, other.name)).finally(() => busy.delete(one))
  }

  /** Does something with a second site, to which nothing else is done meanwhile. */
  async #withAnother(site: SoakSite, act: (other: SoakSite) => Promise<void>): Promise<void> {
    const { busy, random } = this.#tools
    const free = nomads.filter((each) => each !== site && !busy.has(each))
    if (free.length === 0) return
    const other = random.pick(free)
    busy.add(other)
    try {
      await act(other)
    } finally {
      for (const { name } of [site, other]) this.#tools.world.domains.delete(name)
      this.#write(site)
      this.#write(other)
      await Promise.all([this.#tools.seen(site), this.#tools.seen(other)])
      busy.delete(other)
    }
  }

  async #move(from: SoakSite, to: SoakSite): Promise<void> {
    const host = this.#newHost()
    await this.#give(from, [host])
    await this.#until(host, from.name)
    const takesFirst = this.#tools.random.chance(0.5)
    const pauseMs = this.#tools.random.pick([0, 0, 30, 400])
    await this.#watched(host, [from.name, to.name, ...(takesFirst ? [] : ['421'])], to.name, async () => {
      if (takesFirst) this.#write(to, [host])
      else this.#write(from, [])
      await delay(pauseMs)
      if (takesFirst) this.#write(from, [])
      else this.#write(to, [host])
    })
  }

  async #swap(one: SoakSite, other: SoakSite): Promise<void> {
    const [left, right] = [this.#newHost(), this.#newHost()]
    await this.#give(one, [left])
    await this.#give(other, [right])
    await Promise.all([this.#until(left, one.name), this.#until(right, other.name)])
    // Between the two writes nobody has one of the hosts.
    const allowed = [one.name, other.name, '421']
    const swapped = Promise.withResolvers<void>()
    await Promise.all([
      this.#watched(left, allowed, other.name, () => swapped.promise),
      this.#watched(right, allowed, one.name, async () => {
        this.#write(one, [right])
        this.#write(other, [left])
        swapped.resolve()
      }),
    ])
  }

  /** The one with the name gives it up: the one with the wildcard has it, and nobody is turned away; then back. */
  async #toWildcard(one: SoakSite, other: SoakSite): Promise<void> {
    const suffix = this.#newHost()
    const host = `a.${suffix}`
    await this.#give(other, [this.#tools.random.pick([`*.${suffix}`, `~^[ab]\\.${suffix.replaceAll('.', '\\.')}$`])])
    await this.#until(host, other.name)
    const allowed = [one.name, other.name]
    await this.#watched(host, allowed, one.name, async () => this.#write(one, [host]))
    await this.#watched(host, allowed, other.name, async () => this.#write(one, []))
  }

  async #toDefault(one: string, other: string): Promise<void> {
    const { world } = this.#tools
    const host = this.#newHost()
    const over = this.#tools.record.begin(`default_site is ${one}, then ${other}`, 'stand-in')
    world.writeServerIni(`default_site = ${one}\n`)
    await this.#until(host, one)
    await this.#watched(host, [one, other], other, async () => world.writeServerIni(`default_site = ${other}\n`))
    world.writeServerIni('')
    await this.#until(host, '421')
    over()
  }

  /** The site is another by its name, and the same by all that visitors see: none of them may notice. */
  async #rename(site: SoakSite): Promise<void> {
    const { world, random } = this.#tools
    const path = (name: string): string => join(world.folder, `sites-enabled/${name}.ini`)
    const other = `${site.name}-renamed`
    renameSync(path(site.name), path(other))
    await this.#tools.until('the new name', async () => (await this.#tools.site(other)) !== undefined)
    await this.#tools.seen(site)
    await delay(random.below(500))
    renameSync(path(other), path(site.name))
    await this.#tools.until('the old name', async () => (await this.#tools.site(site.name)) !== undefined)
    await this.#tools.seen(site)
  }

  #newHost(): string {
    return `host${++this.#hosts}.roam.test`
  }

  async #give(site: SoakSite, hosts: readonly string[]): Promise<void> {
    this.#write(site, hosts)
    await this.#tools.until(`${hosts.join()} to be ${site.name}'s`, async () => {
      const { problems = ['none'] } = (await this.#tools.site(site.name)) ?? {}
      return problems.length === 0
    })
  }

  #write(site: SoakSite, hosts: readonly string[] = []): void {
    const { world, random } = this.#tools
    world.domains.set(site.name, hosts)
    world.write(`sites-available/${site.name}.ini`, world.iniOf(site), random.chance(0.7))
  }

  /** Asks all the time, from before `act` until the host has been `last`'s for a while. */
  async #watched(host: string, allowed: readonly Answerer[], last: Answerer, act: () => Promise<void>): Promise<void> {
    const { record } = this.#tools
    const from = performance.now()
    const acted = act()
    let since: number | undefined
    while (since === undefined || performance.now() < since + STAYS_MS) {
      const who = await this.#ask(host)
      // Hosts that nobody has for a moment are those of any site that stands in for all of them.
      const mayBeStoodIn = allowed.includes('421') && this.#hadStandIn(from)
      if (!allowed.includes(who) && !mayBeStoodIn && !this.#isExcused(who, from))
        record.problem(`${host} is answered by ${who}, not by ${allowed.join(' or ')}`)
      if (who === last) since ??= performance.now()
      else if (mayBeStoodIn) since = undefined
      else if (since !== undefined && !this.#isExcused(who, from))
        record.problem(`${host} is answered by ${who} after ${last} had it`)
      if (performance.now() > from + SEEN_WITHIN_MS) throw new Error(`${host} is ${who}'s, not ${last}'s`)
      await delay(ASK_EVERY_MS)
    }
    await acted
  }

  /** What the rest of the storm may cost. */
  #isExcused(who: Answerer, from: number): boolean {
    if (nomads.some(({ name }) => name === who) || who === '421') return false
    return this.#felt(from).some(({ cost, site }) => cost === 'all' || (cost === 'down' && site?.startsWith('nomad')))
  }

  #hadStandIn(from: number): boolean {
    return this.#felt(from).some(({ cost }) => cost === 'stand-in')
  }

  /** What was done since then, or shortly before. */
  #felt(from: number): Event[] {
    return this.#tools.record.events.filter(({ to }) => to === undefined || to > from - 3_000)
  }

  async #until(host: string, who: Answerer): Promise<void> {
    await this.#tools.until(`${host} to be ${who}'s`, async () => (await this.#ask(host)) === who)
  }

  async #ask(host: string): Promise<Answerer> {
    const options = { host: '127.0.0.1', port: this.#tools.world.port, path: '/get/any', agent: false as const }
    try {
      const { status, text } = await send({ ...options, headers: { host } })
      return status === 200 ? (text.split('/', 1)[0] ?? '') : String(status)
    } catch (error) {
      return String((error as Error).message)
    }
  }
}
