import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { loadAll } from '../../src/config/load-all.ts'
import { loadSite } from '../../src/config/load-site.ts'
import { renderProblem } from '../../src/config/problems.ts'
import type { SitesTable } from '../../src/config/sites-table.ts'
import { nextSitesTable } from '../../src/config/sites-table.ts'
import type { ConfigFolder } from './config-folder.ts'
import { configFolder, siteText } from './config-folder.ts'

/** A site's file as text. */
function sharing(domains: string, share: string, more = ''): string {
  return siteText(domains, `${more}[limits]\nshare = ${share}\n`)
}

function next(before: SitesTable | undefined, folder: ConfigFolder, sites: Record<string, string>): SitesTable {
  const readings = Object.entries(sites).map(([name, text]) => {
    const old = before?.sites.get(name)?.reading
    if (text === 'same' && old !== undefined) return old
    folder.put({ [`sites-enabled/${name}.ini`]: text })
    return loadSite(folder.path(`sites-enabled/${name}.ini`), folder.server(), {})
  })
  return nextSitesTable(before, readings, folder.dir)
}

/** `name: status share`, one for each site. */
function shown(table: SitesTable): string[] {
  return [...table.sites.values()].map(
    ({ name, status, config }) => `${name}: ${status} ${config?.limits.share ?? '-'}`,
  )
}

function problemsOf(table: SitesTable, folder: ConfigFolder): string[] {
  return [...table.sites.values()].flatMap(({ problems }) => problems.map((one) => renderProblem(one, folder.dir)))
}

test('of the sites that want more of a pool than there is, the later one is refused', async (t) => {
  const folder = configFolder(t, {
    'sites-enabled/a.ini': sharing('a.com', '60%'),
    'sites-enabled/b.ini': sharing('b.com', '40.001%'),
    'sites-enabled/c.ini': sharing('c.com', '40%'),
  })

  const { problems } = await loadAll(folder.path('vhostel.ini'), {})

  assert.deepEqual(
    problems.map((one) => renderProblem(one, folder.dir)),
    [
      'sites-enabled/b.ini:6: [limits] share: 40.001% of pool default is more than the 0% that the shares of its other sites leave: lower one of them',
    ],
  )
})

test('each pool is given out for itself, and a process of a site takes nothing of a pool', (t) => {
  const folder = configFolder(t, { 'vhostel.ini': '[pool shop]\n[defaults]\nshare = 100%\n' })

  const table = next(undefined, folder, {
    a: sharing('a.com', '100%'),
    b: sharing('b.com', '100%', 'pool = shop\n'),
    c: siteText('c.com', 'isolation = process\n'),
    d: sharing('d.com', '0%'),
  })

  assert.deepEqual(shown(table), ['a: ok 1', 'b: ok 1', 'c: ok 1', 'd: ok 0'])
})

test('a site that has a share keeps it, also where its file is touched and an earlier site wants as much', (t) => {
  const folder = configFolder(t)
  const before = next(undefined, folder, { b: sharing('b.com', '60%') })

  const table = next(before, folder, { a: sharing('a.com', '50%'), b: sharing('b.com b2.com', '60%') })

  assert.deepEqual(shown(table), ['a: refused -', 'b: ok 0.6'])
  assert.equal(table.sites.get('b')?.config?.domains.length, 2)
})

test('a site that wants more than is left goes on with what it had, until another gives back', (t) => {
  const folder = configFolder(t)
  const before = next(undefined, folder, { a: sharing('a.com', '50%'), b: sharing('b.com', '40%') })

  const greedy = next(before, folder, { a: 'same', b: sharing('b.com', '60%') })
  const again = next(greedy, folder, { a: sharing('a.com', '40%'), b: 'same' })

  assert.deepEqual(shown(greedy), ['a: ok 0.5', 'b: previous 0.4'])
  assert.match(problemsOf(greedy, folder).join(), /b\.ini:6: .* more than the 50% that the shares of its other sites/)
  assert.deepEqual(shown(again), ['a: ok 0.4', 'b: ok 0.6'])
  assert.deepEqual(again.reported, ['b'])
})

test('both reasons of a refusal are told', (t) => {
  const folder = configFolder(t)

  const table = next(undefined, folder, { a: sharing('a.com', '80%'), b: sharing('b.com a.com', '30%') })

  assert.match(problemsOf(table, folder).join('\n'), /b\.ini:2: .* is already served by .*\n.*b\.ini:6: .* 20% that/)
})

test('two shares may be exchanged at once', (t) => {
  const folder = configFolder(t)
  const before = next(undefined, folder, { a: sharing('a.com', '70%'), b: sharing('b.com', '30%') })

  const table = next(before, folder, { a: sharing('a.com', '30%'), b: sharing('b.com', '70%') })

  assert.deepEqual(shown(table), ['a: ok 0.3', 'b: ok 0.7'])
})

// ---- what holds for every history ------------------------------------------------------------------------------

const NAMES = ['a', 'b', 'c', 'd']
const stepArbitrary = fc.array(
  fc.option(
    fc.record({
      share: fc.constantFrom('0%', '10%', '33.3%', '50%', '60%', '100%'),
      domain: fc.constantFrom('own.com', 'u.com'),
      more: fc.constantFrom('', 'pool = shop\n', 'isolation = process\n'),
    }),
    { nil: undefined, freq: 4 },
  ),
  { minLength: NAMES.length, maxLength: NAMES.length },
)

/** The sum of the shares that each pool has promised. */
function promised(table: SitesTable): Map<string, number> {
  const sums = new Map<string, number>()
  for (const { config } of table.sites.values()) {
    if (config?.isolation !== 'shared') continue
    sums.set(config.pool, (sums.get(config.pool) ?? 0) + config.limits.share)
  }
  return sums
}

test('whatever happens to the files, no pool is promised to more than it has, and no refusal is without a reason', (t) => {
  const folder = configFolder(t, { 'vhostel.ini': '[pool shop]\n' })
  fc.assert(
    fc.property(fc.array(stepArbitrary, { maxLength: 4 }), (steps) => {
      let table: SitesTable | undefined
      for (const step of steps) {
        const wanted = step.flatMap((what, index): [string, string][] => {
          const name = NAMES[index] ?? ''
          if (what === undefined) return table?.sites.has(name) ? [[name, 'same']] : []
          return [[name, sharing(what.domain === 'own.com' ? `${name}.com` : what.domain, what.share, what.more)]]
        })
        table = next(table, folder, Object.fromEntries(wanted))
        for (const [pool, sum] of promised(table)) assert.ok(sum < 1.000_001, `${pool} ${sum}`)
        for (const { status, problems } of table.sites.values()) assert.equal(status === 'ok', problems.length === 0)
      }
    }),
    { numRuns: 150 },
  )
})
