/** What an operator does to one site. Each resolves when it is in service again, or throws where it does not come to be. */
import { renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { genFile } from './site-code.ts'
import type { SoakSite } from './sites.ts'
import { plainAsk, SITES } from './sites.ts'
import type { Action, Tools } from './tools.ts'
import { action } from './tools.ts'

const modules = SITES.filter(({ kind }) => kind === 'module')
const watched = modules.filter(({ isWatched }) => isWatched)
/** `require` takes no module that awaits. */
const awaiting = watched.filter(({ shape }) => shape !== 'commonjs')
const unwatched = modules.filter(({ isWatched }) => !isWatched)
const withIni = SITES.filter(({ kind }) => kind !== 'proxy' && kind !== 'static')
const proxies = SITES.filter(({ kind }) => kind === 'proxy')
const programs = SITES.filter(({ kind }) => kind === 'command')

export class SiteActions {
  readonly #tools: Tools

  constructor(tools: Tools) {
    this.#tools = tools
  }

  get all(): readonly Action[] {
    return [
      action('edit code', watched, (site) => this.#editCode(site)),
      action('edit code', watched, (site) => this.#editCode(site)),
      action('edit code and reload', unwatched, (site) => this.#editCode(site)),
      action('break code', watched, (site) => this.#breakCode(site)),
      action('load slowly', awaiting, (site) =>
        this.#editCode(site, 'await new Promise((done) => setTimeout(done, 1500))\n'),
      ),
      action('edit INI', withIni, (site) => this.#editIni(site)),
      action('edit INI', withIni, (site) => this.#editIni(site)),
      action('break INI', withIni, (site) => this.#breakIni(site)),
      action('link elsewhere', withIni, (site) => this.#linkElsewhere(site)),
      action('disable', SITES, (site) => this.#disable(site)),
      action(
        'edit file',
        SITES.filter(({ kind }) => kind === 'static'),
        (site) => this.#editFile(site),
      ),
      action(
        'purge',
        SITES.filter(({ lines }) => lines.includes('cache')),
        (site) => this.#purge(site),
        false,
      ),
      action('end upstream', proxies, (site) => this.#endUpstream(site)),
      action('kill program', programs, (site) => this.#killProgram(site)),
    ]
  }

  /** While old threads may read new files, nothing is known but what was before. */
  async #editCode(site: SoakSite, more = ''): Promise<void> {
    const { name } = site
    const before = await this.#tools.generation(name)
    this.#writeCode(name, more)
    if (!site.isWatched) {
      const answer = await this.#tools.world.admin('/reload', { site: name })
      if (typeof answer === 'number') throw new Error(`reload: ${answer}`)
    }
    await this.#tools.until('a new generation', async () => (await this.#tools.generation(name)) !== before)
    await this.#tools.seen(site)
  }

  #writeCode(name: string, more = ''): void {
    const mark = this.#tools.world.mark(name)
    const next = { ...mark, code: mark.code + 1 }
    this.#tools.world.written.set(name, next)
    this.#tools.world.write(`sites/${name}/gen.mjs`, more + genFile(next.code), this.#tools.random.chance(0.5))
  }

  async #breakCode(site: SoakSite): Promise<void> {
    const { name } = site
    const over = this.#tools.record.begin(`${name} is broken`, 'broken', name)
    await this.#tools.visitors.visit(site, 'get')
    const broken = this.#tools.random.pick(['export const GEN = (\n', "throw new Error('soak: broken')\n", ''])
    this.#tools.world.write(`sites/${name}/gen.mjs`, broken, this.#tools.random.chance(0.5))
    await this.#tools.until(
      'the state to say so',
      async () => ((await this.#tools.site(name))?.problems.length ?? 0) > 0,
    )
    this.#writeCode(name)
    await this.#tools.seen(site)
    over()
  }

  async #editIni(site: SoakSite): Promise<void> {
    this.#writeIni(site)
    await this.#tools.seen(site)
  }

  #writeIni(site: SoakSite): void {
    const { name } = site
    const mark = this.#tools.world.mark(name)
    this.#tools.world.written.set(name, { ...mark, ini: mark.ini + 1 })
    this.#tools.world.write(
      `sites-available/${name}.ini`,
      this.#tools.world.iniOf(site),
      this.#tools.random.chance(0.7),
    )
  }

  async #breakIni(site: SoakSite): Promise<void> {
    const { name } = site
    const path = `sites-available/${name}.ini`
    const text = this.#tools.world.iniOf(site, 'nonsense = 1\n')
    this.#tools.world.write(
      path,
      this.#tools.random.pick([text, '', '[site', text.slice(0, 40)]),
      this.#tools.random.chance(0.5),
    )
    await this.#tools.until(
      'the state to say so',
      async () => ((await this.#tools.site(name))?.problems.length ?? 0) > 0,
    )
    await this.#editIni(site)
  }

  /** The same site by another file, then back. */
  async #linkElsewhere(site: SoakSite): Promise<void> {
    const { name } = site
    const folder = this.#tools.world.folder
    for (const target of [`${name}.other`, `${name}.ini`]) {
      const mark = this.#tools.world.mark(name)
      this.#tools.world.written.set(name, { ...mark, ini: mark.ini + 1 })
      this.#tools.world.write(`sites-available/${target}`, this.#tools.world.iniOf(site))
      const link = join(folder, `sites-enabled/${name}.link`)
      rmSync(link, { force: true })
      symlinkSync(`../sites-available/${target}`, link)
      renameSync(link, join(folder, `sites-enabled/${name}.ini`))
      await this.#tools.seen(site)
    }
  }

  async #disable(site: SoakSite): Promise<void> {
    const { name } = site
    const over = this.#tools.record.begin(`${name} is disabled`, 'down', name)
    this.#tools.world.unlink(name)
    await this.#tools.until(
      'the site to be gone',
      async () => (await this.#tools.visitors.visit(site, plainAsk(site))).outcome === 421,
    )
    await delay(this.#tools.random.below(1_000))
    this.#tools.world.link(name)
    await this.#tools.seen(site)
    over()
  }

  async #editFile(site: SoakSite): Promise<void> {
    const mark = this.#tools.world.mark(site.name)
    this.#tools.world.written.set(site.name, { ...mark, code: mark.code + 1 })
    this.#tools.world.write(`sites/${site.name}/page.txt`, `${site.name}/${mark.code + 1}/1\n`, true)
    await this.#tools.seen(site)
  }

  async #endUpstream(site: SoakSite): Promise<void> {
    const over = this.#tools.record.begin(`upstream of ${site.name}`, 'down', site.name)
    const name = this.#tools.random.pick(site.upstreams)
    process.kill(this.#tools.world.upstreams.get(name)?.pid ?? 0, 'SIGKILL')
    await this.#tools.world.upstreams.get(name)?.ended
    await delay(this.#tools.random.below(500))
    await this.#tools.world.startUpstream(name, site.name)
    await this.#tools.seen(site)
    over()
  }

  async #killProgram(site: SoakSite): Promise<void> {
    const pid = (await this.#tools.site(site.name))?.program?.pid
    if (pid === undefined) return
    const over = this.#tools.record.begin(`program of ${site.name}`, 'down', site.name)
    process.kill(pid, this.#tools.random.pick(['SIGKILL', 'SIGTERM'] as const))
    await this.#tools.until('another program', async () => {
      await this.#tools.visitors.visit(site, 'get')
      const program = (await this.#tools.site(site.name))?.program
      return program?.pid !== pid
    })
    await this.#tools.seen(site)
    over()
  }

  async #purge(site: SoakSite): Promise<void> {
    const answer = await this.#tools.world.admin('/cache/purge', { site: site.name })
    const isGone = typeof answer === 'number' && answer === 404
    if (typeof answer === 'number' && !isGone) throw new Error(`purge: ${answer}`)
  }
}
