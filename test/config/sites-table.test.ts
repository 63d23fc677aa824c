import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { domainKey, readDomains } from '../../src/config/domain-list.ts'
import type { SiteLoad } from '../../src/config/load-site.ts'
import { fileProblem, renderProblem } from '../../src/config/problems.ts'
import type { SiteConfig } from '../../src/config/site-schema.ts'
import type { SitesTable } from '../../src/config/sites-table.ts'
import { checkDefaultSite, nextSitesTable } from '../../src/config/sites-table.ts'

const DIR = '/etc/vhostel'

/** A site's file as read: good with these domains, or `undefined`: one that is wrong. */
function reading(name: string, domains: string | undefined, version = 0): SiteLoad {
  const file = `${DIR}/sites-enabled/${name}.ini`
  const base = {
    name,
    file,
    linkTargets: [],
    dependencies: [],
    shareLine: undefined,
    warnings: [],
    goodUntil: Number.POSITIVE_INFINITY,
  }
  if (domains === undefined) {
    return { ...base, config: undefined, problems: [fileProblem(file, 'is wrong', 1)], domainLines: [] }
  }
  const { patterns, lines } = readDomains([{ text: domains, quoted: false, line: 2 }])
  const config: SiteConfig = {
    name,
    file,
    realFile: file,
    domains: patterns,
    kind: 'static',
    root: '/srv',
    module: undefined,
    type: 'auto',
    args: [],
    httpPort: undefined,
    watch: false,
    isolation: 'shared',
    pool: 'default',
    identity: undefined,
    preload: false,
    idleMs: 0,
    env: {},
    options: { version },
    limits: {
      timeoutMs: 1,
      queue: 1,
      queueTimeoutMs: 1,
      startTimeoutMs: 1,
      stopTimeoutMs: 1,
      hangTimeoutMs: 1,
      maxBodyBytes: 1,
      bodyWaitMs: 1,
      bodyRate: 1,
      bodyTimeoutMs: 1,
      sendTimeoutMs: 1,
      slowMs: 1,
      softLimitMs: 1,
      hardLimitMs: 1,
      offences: 1,
      quarantineMs: 1,
      share: 0,
      max: 1,
      maxThreads: undefined,
    },
    compress: true,
    cache: undefined,
    static: {
      index: [],
      try: [],
      cleanUrls: false,
      notFound: undefined,
      listing: false,
      precompressed: true,
      cacheControl: 'public, max-age=0',
      immutable: [],
      mounts: [],
    },
    redirect: undefined,
    canonical: undefined,
    log: { access: undefined, error: undefined, format: 'combined' },
    acme: undefined,
    certificate: undefined,
    tls: { httpsOnly: false, hstsSeconds: 0 },
    backend: undefined,
    doors: {
      allow: undefined,
      deny: undefined,
      rate: undefined,
      auth: undefined,
      headers: undefined,
      errors: undefined,
    },
  }
  return { ...base, config, problems: [], domainLines: lines }
}

function next(previous: SitesTable | undefined, ...readings: SiteLoad[]): SitesTable {
  return nextSitesTable(previous, readings, DIR)
}

/** `name: status domains`, one for each site. */
function shown(table: SitesTable): string[] {
  return [...table.sites.values()].map(({ name, status, config }) => {
    return `${name}: ${status} ${config?.domains.map(({ source }) => source).join(' ') ?? '-'}`
  })
}

function problemsOf(table: SitesTable, name: string): string[] {
  return (table.sites.get(name)?.problems ?? []).map((problem) => renderProblem(problem, DIR))
}

function changes({ added, changed, removed, reported }: SitesTable) {
  return { added, changed, removed, reported }
}

test('at the start every good site serves, and a wrong one alone is refused', () => {
  const table = next(undefined, reading('a', 'a.com'), reading('b', undefined), reading('c', 'c.com'))

  assert.deepEqual(shown(table), ['a: ok a.com', 'b: refused -', 'c: ok c.com'])
  assert.deepEqual(changes(table), { added: ['a', 'c'], changed: [], removed: [], reported: ['b'] })
})

test('a site whose file becomes wrong goes on serving its last good version, until it is good again', () => {
  const good = next(undefined, reading('a', 'a.com'))

  const bad = next(good, reading('a', undefined))
  const worse = next(bad, reading('a', undefined))
  const again = next(worse, reading('a', 'a.com b.com'))

  assert.deepEqual(shown(bad), ['a: previous a.com'])
  assert.deepEqual(changes(bad), { added: [], changed: [], removed: [], reported: ['a'] })
  assert.equal(bad.sites.get('a')?.config, good.sites.get('a')?.config)
  assert.deepEqual(shown(worse), ['a: previous a.com'])
  assert.deepEqual(changes(worse), { added: [], changed: [], removed: [], reported: [] })
  assert.deepEqual(shown(again), ['a: ok a.com b.com'])
  assert.deepEqual(changes(again), { added: [], changed: ['a'], removed: [], reported: ['a'] })
})

test('a site whose file is gone is removed, and one that comes is added', () => {
  const table = next(next(undefined, reading('a', 'a.com'), reading('b', undefined)), reading('c', 'a.com'))

  assert.deepEqual(shown(table), ['c: ok a.com'])
  assert.deepEqual(changes(table), { added: ['c'], changed: [], removed: ['a'], reported: [] })
})

test('of two sites that are new to a domain the first by file name gets it, and the other is told who has it', () => {
  const table = next(undefined, reading('a', 'x.com'), reading('b', 'b.com .x.com'))

  assert.deepEqual(shown(table), ['a: ok x.com', 'b: refused -'])
  assert.deepEqual(problemsOf(table, 'b'), [
    "sites-enabled/b.ini:2: [site] domains: domain '.x.com' is already served by sites-enabled/a.ini; remove it from one of the two",
  ])
  assert.equal(table.sites.get('b')?.problems[0]?.code, 'VHOSTEL_HOST_TAKEN')
})

test('who has a domain keeps it against a site that comes before it by name', () => {
  const first = next(undefined, reading('b', 'x.com'))

  const table = next(first, reading('a', 'x.com'), ...[...first.sites.values()].map((entry) => entry.reading))

  assert.deepEqual(shown(table), ['a: refused -', 'b: ok x.com'])
})

test('a site that claims a domain of another serves its version before, which keeps its own domains', () => {
  const before = next(undefined, reading('a', 'a.com'), reading('b', 'b.com'))

  const table = next(before, reading('a', 'b.com new.com'), reading('b', 'b.com'), reading('c', 'a.com'))

  assert.deepEqual(shown(table), ['a: previous a.com', 'b: ok b.com', 'c: refused -'])
  assert.match(problemsOf(table, 'a')[0] ?? '', /domain 'b\.com' is already served by sites-enabled\/b\.ini/)
  assert.match(problemsOf(table, 'c')[0] ?? '', /domain 'a\.com' is already served by sites-enabled\/a\.ini/)
})

test('a domain that becomes free goes to the site that waits for it, whose file did not change', () => {
  const waiting = reading('b', 'x.com')
  const before = next(undefined, reading('a', 'x.com a.com'), waiting)

  const table = next(before, reading('a', 'a.com'), waiting)

  assert.deepEqual(shown(table), ['a: ok a.com', 'b: ok x.com'])
  assert.deepEqual(changes(table), { added: ['b'], changed: ['a'], removed: [], reported: ['b'] })
})

test('a domain can move from one site to another, and two can change places, in one step', () => {
  const before = next(undefined, reading('a', 'a.com x.com'), reading('b', 'b.com'))

  const moved = next(before, reading('a', 'a.com'), reading('b', 'b.com x.com'))
  const swapped = next(moved, reading('a', 'b.com x.com'), reading('b', 'a.com'))

  assert.deepEqual(shown(moved), ['a: ok a.com', 'b: ok b.com x.com'])
  assert.deepEqual(shown(swapped), ['a: ok b.com x.com', 'b: ok a.com'])
})

test('a site that loses to one that is itself refused gets its domain all the same', () => {
  const table = next(undefined, reading('a', 'x.com'), reading('b', 'x.com y.com'), reading('c', 'y.com'))

  assert.deepEqual(shown(table), ['a: ok x.com', 'b: refused -', 'c: ok y.com'])
})

test('a file that was touched but says the same changes nothing', () => {
  const before = next(undefined, reading('a', '~^a{1,3}$ a.com'), reading('b', 'b.com'))

  const table = next(before, reading('a', '~^a{1,3}$ a.com'), reading('b', 'b.com', 1))

  assert.deepEqual(changes(table), { added: [], changed: ['b'], removed: [], reported: [] })
  assert.equal(table.sites.get('a')?.config, before.sites.get('a')?.config)
})

test('a site that is as it was keeps its very entry', () => {
  const readings = [reading('a', 'a.com'), reading('b', 'a.com'), reading('c', undefined)]
  const before = next(undefined, ...readings)

  const table = next(before, ...readings)

  for (const [name, entry] of table.sites) assert.equal(entry, before.sites.get(name))
  assert.deepEqual(changes(table), { added: [], changed: [], removed: [], reported: [] })
})

test('a site with very many domains that others have names the first of them', () => {
  const domains = Array.from({ length: 30 }, (_, index) => `d${index}.com`).join(' ')

  const table = next(undefined, reading('a', domains), reading('b', domains))

  assert.equal(problemsOf(table, 'b').length, 11)
  assert.match(problemsOf(table, 'b').at(-1) ?? '', /and more domains that other sites have/)
})

test('ten thousand sites that all claim one domain are settled in a moment', () => {
  const readings = Array.from({ length: 10_000 }, (_, index) => reading(`s${index}`, `s${index}.com x.com`))
  const started = performance.now()

  const table = next(undefined, ...readings)

  assert.equal([...table.sites.values()].filter(({ status }) => status === 'ok').length, 1)
  assert.ok(performance.now() - started < 2000)
})

test('two sites that both claim ten thousand domains are settled in a moment', () => {
  const domains = Array.from({ length: 9_999 }, (_, index) => `d${index}.com`).join(' ')
  const before = next(undefined, reading('b', domains))
  const readings = [reading('a', domains), reading('b', `${domains} new.com`)]
  const started = performance.now()

  const table = next(before, ...readings)

  assert.deepEqual(table.changed, ['b'])
  assert.equal(table.sites.get('a')?.status, 'refused')
  assert.ok(performance.now() - started < 1000)
})

test('a default site that is not there is a problem of vhostel.ini', () => {
  const table = next(undefined, reading('blog', 'a.com'), reading('shop', undefined))
  const server = (defaultSite: string | undefined) => ({
    file: `${DIR}/vhostel.ini`,
    defaultSite,
    defaultSiteLine: 4,
  })
  const problem = (name: string) => {
    const found = checkDefaultSite(server(name), table)
    return found && renderProblem(found, DIR)
  }

  assert.equal(checkDefaultSite(server(undefined), table), undefined)
  assert.equal(problem('shop'), undefined)
  assert.equal(
    problem('blgo'),
    'vhostel.ini:4: [server] default_site: there is no site "blgo" in the sites folder; did you mean blog?',
  )
})

// ---- what holds for every history ------------------------------------------------------------------------------

const NAMES = ['a', 'b', 'c', 'd']
const domainsArbitrary = fc.option(
  fc.uniqueArray(fc.constantFrom('u.com', 'v.com', '*.w.com', 'x.*', '~y'), { minLength: 1, maxLength: 3 }),
  { nil: undefined, freq: 5 },
)
/** For each site: no file, the same file as before, or another one. */
const stepArbitrary = fc.array(
  fc.oneof(
    { weight: 1, arbitrary: fc.constant('none' as const) },
    { weight: 3, arbitrary: fc.constant('same' as const) },
    { weight: 3, arbitrary: fc.record({ domains: domainsArbitrary }) },
  ),
  { minLength: NAMES.length, maxLength: NAMES.length },
)

test('whatever happens to the files, no domain is served twice, and no site is refused without a reason', () => {
  fc.assert(
    fc.property(fc.array(stepArbitrary, { maxLength: 8 }), (steps) => {
      let table: SitesTable | undefined
      for (const step of steps) {
        const readings = step.flatMap((what, index) => {
          const name = NAMES[index] ?? ''
          if (what === 'none') return []
          const same = table?.sites.get(name)?.reading
          return what === 'same' ? (same ?? []) : reading(name, what.domains?.join(' '))
        })
        const before = table
        table = nextSitesTable(before, readings, DIR)
        checkTable(before, table, readings)
      }
    }),
    { numRuns: 3000 },
  )
})

function keysOf(config: SiteConfig | undefined): string[] {
  return (config?.domains ?? []).map(domainKey)
}

function checkTable(before: SitesTable | undefined, table: SitesTable, readings: SiteLoad[]): void {
  const owners = new Map<string, string>()
  for (const { name, config } of table.sites.values()) {
    for (const key of keysOf(config)) {
      assert.ok(!owners.has(key), `${key} is served twice`)
      owners.set(key, name)
    }
  }
  assert.deepEqual(
    [...table.sites.keys()],
    readings.map(({ name }) => name),
  )
  for (const entry of table.sites.values()) {
    const old = before?.sites.get(entry.name)
    const isFree = keysOf(entry.reading.config).every((key) => (owners.get(key) ?? entry.name) === entry.name)
    if (entry.status === 'ok') assert.deepEqual(entry.config, entry.reading.config)
    else {
      assert.ok(entry.problems.length > 0)
      assert.ok(entry.reading.config === undefined || !isFree, `${entry.name} could be served`)
      assert.equal(entry.config, old?.config, 'a site that is refused loses nothing')
    }
    assert.equal(table.added.includes(entry.name), old?.config === undefined && entry.config !== undefined)
    assert.equal(table.changed.includes(entry.name), old?.config !== undefined && old.config !== entry.config)
  }
  for (const [name, old] of before?.sites ?? []) {
    // Who has a domain and still wants it keeps it.
    const wants = new Set(keysOf(table.sites.get(name)?.config))
    for (const key of keysOf(old.config)) if (wants.has(key)) assert.equal(owners.get(key), name)
    assert.equal(table.removed.includes(name), old.config !== undefined && !table.sites.get(name)?.config)
  }
}
