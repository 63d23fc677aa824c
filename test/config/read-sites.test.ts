import assert from 'node:assert/strict'
import { renameSync, utimesSync } from 'node:fs'
import { test } from 'node:test'
import { renderProblem } from '../../src/config/problems.ts'
import type { SitesReading } from '../../src/config/read-sites.ts'
import { readSites } from '../../src/config/read-sites.ts'
import type { ServerConfig } from '../../src/config/server-schema.ts'
import { makePair } from '../helpers/certificates.ts'
import type { ConfigFolder } from './config-folder.ts'
import { configFolder, siteText } from './config-folder.ts'

const OLD = new Date('2020-01-01T00:00:00Z')

/** Files that were changed a moment ago are read again in any case: by this clock none was. */
const LATER = () => Date.now() + 10_000

function read(server: ServerConfig, before?: SitesReading): Promise<SitesReading> {
  return readSites(server, before, {}, LATER)
}

function same(before: SitesReading, after: SitesReading, name: string): boolean {
  return before.sites.get(name) === after.sites.get(name)
}

test('every .ini file that is not hidden is a site, in the order of the names', async (t) => {
  const folder = configFolder(t, {
    'sites-enabled/b.ini': siteText('b.com'),
    'sites-enabled/a.ini': siteText('a.com'),
    'sites-enabled/a.b-c_1.ini': siteText('c.com'),
    'sites-enabled/.hidden.ini': 'x',
    'sites-enabled/b.ini~': 'x',
    'sites-enabled/.b.ini.swp': 'x',
    'sites-enabled/b.ini.save': 'x',
    'sites-enabled/b.ini.dpkg-dist': 'x',
    'sites-enabled/README': 'x',
  })

  const reading = await read(folder.server())

  assert.deepEqual([...reading.sites.keys()], ['a', 'a.b-c_1', 'b'])
  assert.deepEqual(reading.problems, [])
})

/** What a reading says of what it passed over. */
async function warningsOf(folder: ConfigFolder): Promise<string[]> {
  const { warnings } = await read(folder.server())
  return warnings.map((warning) => renderProblem(warning, folder.dir))
}

test('what a person of nginx or Apache would take for an enabled site is warned of, and what is left aside is not', async (t) => {
  const folder = configFolder(t, {
    'sites-available/example.com': siteText('a.com'),
    'sites-enabled/b.ini': siteText('b.com'),
    // Left aside, or no site for anybody.
    'sites-enabled/.hidden': 'x',
    'sites-enabled/#shop#': 'x',
    'sites-enabled/shop~': 'x',
    'sites-enabled/shop.ini.disabled': { link: '../sites-available/example.com' },
    'sites-enabled/shop.off': { link: '../sites-available/example.com' },
    'sites-enabled/shop.txt': 'x',
    'sites-enabled/README': 'x',
    'sites-enabled/folder': 'folder',
    'sites-enabled/other-folder': { link: '../app' },
  })
  assert.deepEqual(await warningsOf(folder), [])

  for (const [name, entry, cure] of [
    ['hello', siteText('a.com'), 'hello.ini'],
    ['hello', { link: '../sites-available/nowhere' }, 'hello.ini'],
    ['example.com', { link: '../sites-available/example.com' }, 'example.com.ini'],
    ['000-default.conf', siteText('a.com'), '000-default.ini'],
    ['HELLO.INI', siteText('a.com'), 'HELLO.ini'],
  ] as const) {
    folder.put({ [`sites-enabled/${name}`]: entry })

    const warnings = await warningsOf(folder)
    folder.remove(`sites-enabled/${name}`)

    const told = `"${name}" is passed over: the name of a site's file must end in .ini (such as ${cure})`
    assert.deepEqual(warnings, [`sites-enabled: ${told}`])
  }
})

test('ten thousand entries that are passed over are one warning', async (t) => {
  const names = Array.from({ length: 10_000 }, (_, index) => `s${String(index).padStart(4, '0')}`)
  const folder = configFolder(
    t,
    Object.fromEntries(names.map((name) => [`sites-enabled/${name}`, { link: '../app/server.js' }])),
  )

  const warnings = await warningsOf(folder)

  assert.deepEqual(warnings, [
    'sites-enabled: "s0000", "s0001", "s0002" and 9997 more are passed over: the name of a site\'s file must end in .ini (such as s0000.ini)',
  ])
})

test('a file that could not be read for a reason that passes is read again, though it is as it was', async (t) => {
  const folder = configFolder(t, {
    'sites-enabled/calm.ini': siteText('calm.com'),
    'sites-enabled/env.ini': siteText('env.com', 'env_file = ../app/.env\n'),
    // A disk that fails: there is nothing at the address 0.
    'app/.env': { link: '/proc/self/mem' },
  })
  const server = folder.server()
  const before = await read(server)
  assert.match(before.sites.get('env')?.problems[0]?.message ?? '', /cannot be read \(EIO\)$/)

  const after = await read(server, before)

  assert.ok(same(before, after, 'calm'))
  assert.ok(!same(before, after, 'env'))
})

test('only what changed is read again', async (t) => {
  const folder = configFolder(t, {
    'sites-enabled/calm.ini': siteText('calm.com'),
    'sites-enabled/edited.ini': siteText('edited.com'),
    'sites-enabled/touched.ini': siteText('touched.com'),
    'sites-enabled/relinked.ini': { link: '../available/one.ini' },
    'available/one.ini': siteText('one.com'),
    'available/two.ini': siteText('two.com'),
    'sites-enabled/env.ini': siteText('env.com', 'env_file = ../app/.env\n'),
    'app/.env': 'A=1\n',
    'sites-enabled/gone.ini': siteText('gone.com'),
  })
  const server = folder.server()
  const before = await read(server)

  folder.put({
    'sites-enabled/edited.ini': siteText('other.com'),
    'sites-enabled/relinked.ini': { link: '../available/two.ini' },
    'app/.env': 'A=two\n',
    'sites-enabled/new.ini': siteText('new.com'),
  })
  folder.remove('sites-enabled/gone.ini')
  utimesSync(folder.path('sites-enabled/touched.ini'), OLD, OLD)
  const after = await read(server, before)

  assert.deepEqual([...after.sites.keys()], ['calm', 'edited', 'env', 'new', 'relinked', 'touched'])
  assert.ok(same(before, after, 'calm'))
  for (const name of ['edited', 'env', 'relinked', 'touched']) assert.ok(!same(before, after, name), name)
  assert.equal(after.sites.get('edited')?.config?.domains[0]?.source, 'other.com')
  assert.equal(after.sites.get('relinked')?.config?.domains[0]?.source, 'two.com')
  assert.deepEqual(after.sites.get('env')?.config?.env, { A: 'two' })
})

test('a site whose certificate is about to run out is read again, once, though no file has changed', async (t) => {
  const pair = makePair(['a.com'], ['-days', '10'])
  const folder = configFolder(t, {
    'sites-enabled/a.ini': siteText('a.com', 'certificate = ../cert.pem\nkey = ../key.pem\n'),
    'cert.pem': pair.cert,
    'key.pem': pair.key,
  })
  const server = folder.server()
  const readIn = (days: number, before?: SitesReading) =>
    readSites(server, before, {}, () => LATER() + days * 86_400_000)

  const first = await readIn(0)
  const [calm, late] = [await readIn(7, first), await readIn(9, first)]
  const again = await readIn(9.1, late)

  assert.deepEqual(first.sites.get('a')?.warnings, [])
  assert.ok(same(first, calm, 'a') && !same(first, late, 'a') && same(late, again, 'a'))
  assert.match(late.sites.get('a')?.warnings[0]?.message ?? '', /runs out on/)
  assert.deepEqual(late.sites.get('a')?.config, first.sites.get('a')?.config)
})

test('an edit that leaves size and time as they were is seen', async (t) => {
  const folder = configFolder(t, { 'sites-enabled/a.ini': siteText('a1.com') })
  const server = folder.server()
  utimesSync(folder.path('sites-enabled/a.ini'), OLD, OLD)
  const before = await readSites(server)

  folder.put({ 'sites-enabled/a.ini': siteText('a2.com') })
  utimesSync(folder.path('sites-enabled/a.ini'), OLD, OLD)
  const after = await readSites(server, before)

  assert.equal(after.sites.get('a')?.config?.domains[0]?.source, 'a2.com')
})

test('two edits within one tick of the clock are both seen', async (t) => {
  const folder = configFolder(t)
  const server = folder.server()
  let reading: SitesReading | undefined
  for (let i = 10; i < 60; i++) {
    folder.put({ 'sites-enabled/a.ini': siteText(`a${i}.com`) })

    reading = await readSites(server, reading)

    assert.equal(reading.sites.get('a')?.config?.domains[0]?.source, `a${i}.com`)
  }
})

test('a root that was missing, a dangling link and an env_file are found once they are there', async (t) => {
  const folder = configFolder(t, {
    'sites-enabled/root.ini': '[site]\ndomains = a.com\nroot = ../later\nmodule = x.js\n',
    'sites-enabled/link.ini': { link: '../later.ini' },
    'sites-enabled/env.ini': siteText('c.com', 'env_file = ../app/.env\n'),
  })
  const server = folder.server()
  const before = await read(server)
  for (const { config } of before.sites.values()) assert.equal(config, undefined)

  folder.put({ 'later/x.js': '', 'later.ini': siteText('b.com').replaceAll('../', ''), 'app/.env': '' })
  const after = await read(server, before)

  for (const { problems } of after.sites.values()) assert.deepEqual(problems, [])
})

test('other [defaults] make every site be read again', async (t) => {
  const folder = configFolder(t, { 'sites-enabled/a.ini': siteText('a.com') })
  const before = await read(folder.server())

  folder.put({ 'vhostel.ini': '[defaults]\ntimeout = 7s\n' })
  const after = await read(folder.server(), before)

  assert.equal(after.sites.get('a')?.config?.limits.timeoutMs, 7000)
})

test('a sites folder that is away for a while takes no site away', async (t) => {
  const folder = configFolder(t, { 'sites-enabled/a.ini': siteText('a.com') })
  const server = folder.server()
  const before = await read(server)

  renameSync(folder.path('sites-enabled'), folder.path('moved'))
  const away = await read(server, before)
  renameSync(folder.path('moved'), folder.path('sites-enabled'))
  const back = await read(server, away)

  assert.ok(same(before, away, 'a'))
  assert.deepEqual(
    away.problems.map((problem) => renderProblem(problem, folder.dir)),
    ['sites-enabled: the sites folder does not exist: make it'],
  )
  assert.deepEqual([...back.sites.keys()], ['a'])
  assert.deepEqual(back.problems, [])
})

test('a site named like a property of every object is a site like any other', async (t) => {
  const names = ['constructor', 'toString', 'hasOwnProperty']
  const entries = names.map((name) => [`sites-enabled/${name}.ini`, siteText(`${name}.com`)])
  const folder = configFolder(t, Object.fromEntries(entries))

  const reading = await read(folder.server())

  for (const name of names) assert.equal(reading.sites.get(name)?.config?.name, name)
})

test('others get their turn while many files are read', async (t) => {
  const entries = Array.from({ length: 400 }, (_, index) => [`sites-enabled/s${index}.ini`, siteText(`s${index}.com`)])
  const folder = configFolder(t, Object.fromEntries(entries))
  const server = folder.server()
  let turns = 0
  const timer = setInterval(() => turns++, 0)
  t.after(() => clearInterval(timer))

  const reading = await read(server)

  assert.equal(reading.sites.size, 400)
  assert.ok(turns > 2, `${turns} turns`)
})
