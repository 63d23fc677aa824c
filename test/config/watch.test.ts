import assert from 'node:assert/strict'
import { renameSync, symlinkSync, writeFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { loadServer } from '../../src/config/load-server.ts'
import type { SitesReading } from '../../src/config/read-sites.ts'
import { readSites } from '../../src/config/read-sites.ts'
import type { SitesTable } from '../../src/config/sites-table.ts'
import { nextSitesTable } from '../../src/config/sites-table.ts'
import { missedReads } from '../../src/config/text-file.ts'
import type { SiteWatch, SiteWatchOptions } from '../../src/config/watch.ts'
import { watchSites } from '../../src/config/watch.ts'
import { pathsToWatch } from '../../src/config/watched-paths.ts'
import type { ConfigFolder } from './config-folder.ts'
import { configFolder, siteText } from './config-folder.ts'
import { takeDescriptors } from './descriptors.ts'

const HOUR_MS = 3_600_000
const DEADLINE_MS = 10_000

/** A server's reading of its configuration, without the server. */
class LiveConfig {
  server
  readings = 0
  warnings: string[] = []
  /** Sites that at some time were served no more. */
  removed: string[] = []
  #folder: ConfigFolder
  #reading: SitesReading | undefined
  #table: SitesTable | undefined
  #work = Promise.resolve()
  #read = Promise.withResolvers<void>()
  #watch: SiteWatch | undefined

  constructor(folder: ConfigFolder) {
    this.#folder = folder
    this.server = folder.server()
  }

  /** Resolves once everything is watched, and has been read once since. */
  async watch(options: SiteWatchOptions): Promise<void> {
    await this.#refresh()
    const warn = (fields: object, message: string): void => void this.warnings.push(message + JSON.stringify(fields))
    const log = { warn, info: () => {} }
    const paths = () => pathsToWatch(this.server, this.#reading?.sites.values() ?? [])
    const onDirty = () => {
      this.#work = this.#work.then(() => this.#refresh())
    }
    this.#watch = watchSites(paths, onDirty, log, options)
    await this.#watch.ready
    const { readings } = this
    await this.until(() => this.readings > readings)
  }

  async #refresh(): Promise<void> {
    const missed = missedReads()
    this.server = loadServer(this.#folder.path('vhostel.ini')).config ?? this.server
    this.#reading = await readSites(this.server, this.#reading, {})
    this.#table = nextSitesTable(this.#table, this.#reading.sites.values(), this.#folder.dir)
    this.removed.push(...this.#table.removed)
    this.#watch?.update(missedReads() > missed)
    this.readings++
    this.#read.resolve()
    this.#read = Promise.withResolvers()
  }

  /** `name:domains`, `name:-` for a site without a version to serve; `!` where the file is refused. */
  get shown(): string {
    return [...(this.#table?.sites.values() ?? [])]
      .map(({ name, status, config }) => {
        const domains = config?.domains.map(({ source }) => source).join(',') ?? '-'
        return `${name}:${domains}${status === 'ok' ? '' : '!'}`
      })
      .join(' ')
  }

  siteConfig(name: string) {
    return this.#table?.sites.get(name)?.config
  }

  /** Resolves once this holds after a reading. Nothing but the watcher makes readings happen. */
  async until(holds: () => boolean): Promise<void> {
    const deadline = AbortSignal.timeout(DEADLINE_MS)
    while (!holds()) {
      await Promise.race([this.#read.promise, aborted(deadline)])
      if (deadline.aborted) throw new Error(`not in time; now: ${this.shown} ${this.warnings.join(' ')}`)
    }
  }

  async untilShown(expected: string): Promise<void> {
    await this.until(() => this.shown === expected)
  }

  async close(): Promise<void> {
    await this.#watch?.close()
    await this.#work
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

/** Watched, with everything read once. Rescans do not help within the time of a test. */
async function live(t: TestContext, folder: ConfigFolder, options: SiteWatchOptions = {}): Promise<LiveConfig> {
  const config = new LiveConfig(folder)
  t.after(() => config.close())
  await config.watch({ rescanMs: HOUR_MS, settle: { quietMs: 30, maxMs: 300 }, ...options })
  return config
}

const A = siteText('a.com')
const B = siteText('b.com')

/** `sites-enabled/x.ini` is a link to `available/x.ini`. */
function linked(t: TestContext): ConfigFolder {
  return configFolder(t, { 'available/x.ini': A, 'sites-enabled/x.ini': { link: '../available/x.ini' } })
}

test('a file written in place, through its link, is read again', async (t) => {
  const folder = linked(t)
  const config = await live(t, folder)

  folder.put({ 'available/x.ini': B })

  await config.untilShown('x:b.com')
})

test('a file that another one is renamed over is read again', async (t) => {
  const folder = linked(t)
  const config = await live(t, folder)

  folder.put({ 'available/.x.ini.tmp': B })
  renameSync(folder.path('available/.x.ini.tmp'), folder.path('available/x.ini'))

  await config.untilShown('x:b.com')
})

test('a file truncated and written a while later never takes its site away', async (t) => {
  const folder = linked(t)
  const config = await live(t, folder)

  folder.put({ 'available/x.ini': '' })
  await config.untilShown('x:a.com!')
  folder.put({ 'available/x.ini': '[site]\ndomains = ' })
  await config.until(() => config.shown === 'x:a.com!')
  folder.put({ 'available/x.ini': B })

  await config.untilShown('x:b.com')
  assert.deepEqual(config.removed, [])
})

test('a new link makes a site, and taking it away removes it', async (t) => {
  const folder = linked(t)
  const config = await live(t, folder)

  folder.put({ 'available/y.ini': B, 'sites-enabled/y.ini': { link: '../available/y.ini' } })
  await config.untilShown('x:a.com y:b.com')
  folder.remove('sites-enabled/x.ini')

  await config.untilShown('y:b.com')
})

test('a link that is made to lead elsewhere, and what it leads to then, are seen', async (t) => {
  const folder = linked(t)
  folder.put({ 'other/place/x.ini': B.replaceAll('../app', '../../app') })
  const config = await live(t, folder)

  folder.put({ 'sites-enabled/x.ini': { link: '../other/place/x.ini' } })
  await config.untilShown('x:b.com')
  folder.put({ 'other/place/x.ini': A.replaceAll('../app', '../../app') })

  await config.untilShown('x:a.com')
})

test('a link that another one is renamed over is seen', async (t) => {
  const folder = linked(t)
  folder.put({ 'available/y.ini': B })
  const config = await live(t, folder)

  symlinkSync('../available/y.ini', folder.path('sites-enabled/.new'))
  renameSync(folder.path('sites-enabled/.new'), folder.path('sites-enabled/x.ini'))

  await config.untilShown('x:b.com')
})

test('a link that a file takes the place of is seen, and then the file', async (t) => {
  const folder = linked(t)
  const config = await live(t, folder)

  writeFileSync(folder.path('sites-enabled/sedXYZ'), B)
  renameSync(folder.path('sites-enabled/sedXYZ'), folder.path('sites-enabled/x.ini'))
  await config.untilShown('x:b.com')
  folder.put({ 'sites-enabled/x.ini': A })

  await config.untilShown('x:a.com')
})

test('what is written in place behind a link that a site names is seen', async (t) => {
  const folder = configFolder(t, {
    'archive/one.env': 'NAME=1\n',
    'live/site.env': { link: '../archive/one.env' },
    'sites-enabled/x.ini': `${A}env_file = ../live/site.env\n`,
  })
  const config = await live(t, folder)
  assert.equal(config.shown, 'x:a.com')

  folder.put({ 'archive/one.env': 'NAME=\0\n' })

  await config.untilShown('x:a.com!')
})

test('a dangling link is a site once its target is there, in a folder that was not there either', async (t) => {
  const folder = configFolder(t, { 'sites-enabled/x.ini': { link: '../not/yet/x.ini' } })
  const config = await live(t, folder)
  assert.equal(config.shown, 'x:-!')

  folder.put({ 'not/yet/x.ini': A.replaceAll('../app', '../../app') })
  await config.untilShown('x:a.com')
  folder.put({ 'not/yet/x.ini': B.replaceAll('../app', '../../app') })

  await config.untilShown('x:b.com')
})

test('a target that is deleted and written anew is seen, and its site serves on meanwhile', async (t) => {
  const folder = linked(t)
  const config = await live(t, folder)

  folder.remove('available/x.ini')
  await config.untilShown('x:a.com!')
  folder.put({ 'available/x.ini': B })

  await config.untilShown('x:b.com')
  assert.deepEqual(config.removed, [])
})

test('a sites folder that is removed and made again is watched again', async (t) => {
  const folder = linked(t)
  const config = await live(t, folder)

  folder.remove('sites-enabled')
  const readings = config.readings
  await config.until(() => config.readings > readings)
  assert.equal(config.shown, 'x:a.com')
  folder.put({ 'sites-enabled': 'folder' })
  await config.untilShown('')
  folder.put({ 'sites-enabled/y.ini': B })
  await config.untilShown('y:b.com')
  folder.put({ 'sites-enabled/y.ini': A })

  await config.untilShown('y:a.com')
})

test('a sites folder that another one is swapped in for is watched', async (t) => {
  const folder = configFolder(t, { 'sites-enabled/x.ini': A, 'new/y.ini': B })
  const config = await live(t, folder)

  renameSync(folder.path('sites-enabled'), folder.path('old'))
  renameSync(folder.path('new'), folder.path('sites-enabled'))
  await config.untilShown('y:b.com')
  folder.put({ 'sites-enabled/y.ini': A })

  await config.untilShown('y:a.com')
})

test('a sites folder with the same files is swapped in, and watched', async (t) => {
  const folder = configFolder(t, { 'sites-enabled/x.ini': A, 'new/x.ini': B })
  const config = await live(t, folder)

  renameSync(folder.path('sites-enabled'), folder.path('old'))
  renameSync(folder.path('new'), folder.path('sites-enabled'))
  await config.untilShown('x:b.com')

  for (const text of [A, B, A]) {
    folder.put({ 'sites-enabled/x.ini': text })
    await config.untilShown(text === A ? 'x:a.com' : 'x:b.com')
  }
})

test('a sites folder that is a link can be made to lead elsewhere', async (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': '[server]\nsites = current\n',
    'one/x.ini': A,
    'two/y.ini': B,
    current: { link: 'one' },
  })
  const config = await live(t, folder)
  assert.equal(config.shown, 'x:a.com')

  folder.put({ current: { link: 'two' } })
  await config.untilShown('y:b.com')
  folder.put({ 'two/y.ini': A })

  await config.untilShown('y:a.com')
})

test('an env_file, and [defaults] in vhostel.ini, are part of what is watched', async (t) => {
  const folder = configFolder(t, {
    'sites-enabled/x.ini': siteText('a.com', 'env_file = ../app/.env\n'),
    'app/.env': 'A=1\n',
  })
  const config = await live(t, folder)

  folder.put({ 'app/.env': 'A=2\n' })
  await config.until(() => config.siteConfig('x')?.env.A === '2')
  folder.put({ 'vhostel.ini': '[defaults]\nqueue = 7\n' })

  await config.until(() => config.siteConfig('x')?.limits.queue === 7)
})

test('a root that a site waits for is seen when it comes', async (t) => {
  const folder = configFolder(t, { 'sites-enabled/x.ini': '[site]\ndomains = a.com\nroot = ../later/public\n' })
  const config = await live(t, folder)
  assert.equal(config.shown, 'x:-!')

  folder.put({ 'later/public': 'folder' })

  await config.untilShown('x:a.com')
})

test('an editor that saves in many steps causes one reading', async (t) => {
  const folder = linked(t)
  const config = await live(t, folder, { settle: { quietMs: 100, maxMs: 5000 } })
  const { readings } = config

  folder.put({ 'available/4913': '', 'available/.x.ini.swp': 'x' })
  renameSync(folder.path('available/x.ini'), folder.path('available/x.ini~'))
  folder.put({ 'available/x.ini': '' })
  folder.put({ 'available/x.ini': B })
  folder.remove('available/x.ini~')
  folder.remove('available/4913')
  await config.untilShown('x:b.com')

  assert.equal(config.readings, readings + 1)
})

test('other files in the same folders cause no reading', async (t) => {
  const folder = configFolder(t, {
    'sites-enabled/x.ini': siteText('a.com', 'env_file = ../app/.env\n'),
    'app/.env': 'A=1\n',
  })
  const config = await live(t, folder)
  const { readings } = config

  folder.put({ 'app/data.sqlite': 'x', 'app/sub/y.ini': 'x', 'run/admin.sock': 'x', 'vhostel.log': 'x' })
  folder.put({ 'sites-enabled/.x.ini.swp': 'x', 'sites-enabled/x.ini~': 'x' })
  // The last event: when it has been read, those before would have been too.
  folder.put({ 'sites-enabled/y.ini': B })
  await config.untilShown('x:a.com y:b.com')

  assert.equal(config.readings, readings + 1)
})

test('a root that was missing is found as soon as it is made', async (t) => {
  const ini = '[site]\ndomains = a.com\nroot = ../www/public\n'
  const folder = configFolder(t, { 'sites-enabled/x.ini': ini, 'www/readme': '' })
  const config = await live(t, folder)
  assert.equal(config.shown, 'x:-!')

  folder.put({ 'www/public/index.html': 'hello' })

  await config.untilShown('x:a.com')
})

test('a rescan finds what the kernel did not report', async (t) => {
  const folder = configFolder(t, { 'sites-enabled/x.ini': A })
  const config = await live(t, folder, { rescanMs: 20 })
  const { readings } = config

  await config.until(() => config.readings > readings + 3)
})

test('a file that could not be read for want of descriptors is read when there are some, without a change', async (t) => {
  const folder = configFolder(t, { 'sites-enabled/x.ini': A, 'sites-enabled/y.ini': siteText('y.com') })
  const config = await live(t, folder)

  folder.put({ 'sites-enabled/x.ini': B })
  const giveBack = takeDescriptors(t)
  const { readings } = config
  await config.until(() => config.readings > readings)
  assert.equal(config.shown, 'x:a.com y:y.com')
  giveBack()

  await config.untilShown('x:b.com y:y.com')
})

test('where it cannot be said what to watch, that is in the log, and rescans go on', async (t) => {
  const warnings: string[] = []
  const dirty = Promise.withResolvers<void>()
  const log = { warn: ({ err }: { err?: Error }) => void warnings.push(err?.message ?? ''), info: () => {} }
  const paths = (): never => {
    throw new Error('no paths today')
  }
  const watch = watchSites(paths, dirty.resolve, log, { rescanMs: 20 })
  t.after(() => watch.close())
  // Rescans keep no process up.
  const late = setTimeout(() => dirty.reject(new Error('no rescan')), DEADLINE_MS)
  t.after(() => clearTimeout(late))

  watch.update()
  await dirty.promise

  assert.deepEqual(warnings, ['no paths today', 'no paths today'])
})

test('after the end nothing is read', async (t) => {
  const folder = configFolder(t, { 'sites-enabled/x.ini': A })
  const config = await live(t, folder, { rescanMs: 5 })
  await config.close()
  const { readings } = config
  const again = await live(t, folder)

  folder.put({ 'sites-enabled/x.ini': B })
  await again.untilShown('x:b.com')

  assert.equal(config.readings, readings)
})
