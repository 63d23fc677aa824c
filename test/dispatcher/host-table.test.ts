import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { DomainPattern } from '../../src/config/domains.ts'
import { parseDomain } from '../../src/config/domains.ts'
import type { HostClaim } from '../../src/dispatcher/host-table.ts'
import { buildHostTable } from '../../src/dispatcher/host-table.ts'

function patternsOf(domains: string[]): DomainPattern[] {
  return domains.flatMap((domain) => {
    const parsed = parseDomain(domain)
    assert.ok('patterns' in parsed, 'problem' in parsed ? parsed.problem : '')
    return parsed.patterns
  })
}

/** Claims in the order of the keys; the site's value is its name in capitals, to see that the value comes back. */
function claims(sites: Record<string, string[]>): HostClaim<string>[] {
  return Object.entries(sites).map(([name, domains]) => ({
    name,
    site: name.toUpperCase(),
    patterns: patternsOf(domains),
  }))
}

const ROWS: [what: string, sites: Record<string, string[]>, host: string, site: string | undefined][] = [
  ['an exact name', { a: ['example.com'] }, 'example.com', 'A'],
  ['an exact name is not a suffix', { a: ['example.com'] }, 'www.example.com', undefined],
  ['an exact name is not a prefix', { a: ['example.com'] }, 'example.com.test', undefined],
  ['an exact IPv6 address', { a: ['[::1]'] }, '[::1]', 'A'],
  ['exact goes before suffix', { a: ['*.example.com'], b: ['www.example.com'] }, 'www.example.com', 'B'],
  ['exact goes before prefix', { a: ['www.*'], b: ['www.example.com'] }, 'www.example.com', 'B'],
  ['exact goes before regex', { a: ['~.'], b: ['www.example.com'] }, 'www.example.com', 'B'],
  ['a suffix takes one label', { a: ['*.example.com'] }, 'www.example.com', 'A'],
  ['a suffix takes many labels', { a: ['*.example.com'] }, 'a.b.c.example.com', 'A'],
  ['a suffix does not take the name itself', { a: ['*.example.com'] }, 'example.com', undefined],
  ['a suffix does not take an empty label', { a: ['*.example.com'] }, '.example.com', undefined],
  ['a suffix begins at a label', { a: ['*.example.com'] }, 'myexample.com', undefined],
  ['a suffix of one label', { a: ['*.localhost'] }, 'blog.localhost', 'A'],
  ['the longer suffix wins', { a: ['*.example.com'], b: ['*.b.example.com'] }, 'a.b.example.com', 'B'],
  ['the longer suffix wins in any order', { a: ['*.b.example.com'], b: ['*.example.com'] }, 'a.b.example.com', 'A'],
  ['the shorter suffix has the rest', { a: ['*.example.com'], b: ['*.b.example.com'] }, 'b.example.com', 'A'],
  ['suffix goes before prefix', { a: ['www.*'], b: ['*.com'] }, 'www.example.com', 'B'],
  ['suffix goes before regex', { a: ['~^www'], b: ['*.com'] }, 'www.example.com', 'B'],
  ['a prefix takes one label', { a: ['www.*'] }, 'www.test', 'A'],
  ['a prefix takes many labels', { a: ['www.*'] }, 'www.example.co.uk', 'A'],
  ['a prefix does not take the name itself', { a: ['www.*'] }, 'www', undefined],
  ['a prefix does not take an empty label', { a: ['www.*'] }, 'www.', undefined],
  ['a prefix ends at a label', { a: ['www.*'] }, 'www2.example.com', undefined],
  ['the longer prefix wins', { a: ['www.*'], b: ['www.shop.*'] }, 'www.shop.example', 'B'],
  ['the shorter prefix has the rest', { a: ['www.*'], b: ['www.shop.*'] }, 'www.shop', 'A'],
  ['prefix goes before regex', { a: ['~^www'], b: ['www.*'] }, 'www.example.com', 'B'],
  ['a prefix of an address', { a: ['10.*'] }, '10.0.0.1', 'A'],
  ['a leading dot takes the name', { a: ['.example.com'] }, 'example.com', 'A'],
  ['a leading dot takes the names below', { a: ['.example.com'] }, 'a.b.example.com', 'A'],
  ['a regex', { a: [String.raw`~^shop\d+\.example\.com$`] }, 'shop12.example.com', 'A'],
  ['a regex that does not match', { a: [String.raw`~^shop\d+\.example\.com$`] }, 'shop.example.com', undefined],
  ['the regex of the first site wins', { a: ['~^www'], b: ['~example'] }, 'www.example.com', 'A'],
  ['the first regex of a site wins', { a: ['~nothing', '~^www', '~example'] }, 'www.example.com', 'A'],
  ['a regex goes before the default site', { z: [], b: ['~example'] }, 'www.example.com', 'B'],
  ['the default site has the rest', { a: ['example.com'], z: ['z.test'] }, 'other.test', 'Z'],
  ['the default site has requests without a host', { a: ['~.*'], z: [] }, '', 'Z'],
  ['of two that claim one name the first has it', { a: ['example.com'], b: ['example.com'] }, 'example.com', 'A'],
  ['of two that claim one suffix the first has it', { a: ['*.test'], b: ['.test'] }, 'a.test', 'A'],
  ['of two that claim one prefix the first has it', { a: ['www.*'], b: ['www.*'] }, 'www.test', 'A'],
  ['a name like a property of objects', { a: ['example.com'] }, 'constructor', undefined],
  ['no site at all', {}, 'example.com', undefined],
]

for (const [what, sites, host, site] of ROWS) {
  test(`host table: ${what}`, () => {
    const table = buildHostTable(claims(sites), 'z')

    assert.equal(table.lookup(host)?.site, site)
    assert.equal(table.explain(host).site?.toUpperCase(), site)
  })
}

test('a default site that is not there is none', () => {
  assert.equal(buildHostTable(claims({ a: ['a.test'] }), 'gone').lookup('b.test'), undefined)
  assert.equal(buildHostTable(claims({ a: ['a.test'] })).lookup('b.test'), undefined)
  assert.equal(buildHostTable(claims({ a: ['a.test'] })).lookup(''), undefined)
})

test('a lookup tells the rule as it was written, and none for the default site', () => {
  const table = buildHostTable(claims({ a: ['.Example.com'], z: [] }), 'z')

  assert.equal(table.lookup('www.example.com')?.pattern?.source, '.Example.com')
  assert.deepEqual(table.lookup('z.test'), { site: 'Z', pattern: undefined, captures: undefined })
})

test('groups of a regular expression are handed over by number and by name', () => {
  const domain = String.raw`~^(?<user>[^.]+)\.(?:(eu)|(?<__proto__>us))\.example\.com$`
  const table = buildHostTable(claims({ a: [domain] }))

  assert.deepEqual({ ...table.lookup('ann.eu.example.com')?.captures }, { 1: 'ann', 2: 'eu', user: 'ann' })
  assert.equal(Object.hasOwn(table.lookup('ann.us.example.com')?.captures ?? {}, '__proto__'), true)
  assert.deepEqual(table.explain('ann.eu.example.com').captures, { 1: 'ann', 2: 'eu', user: 'ann' })
})

test('a lookup of the same host twice gives the same answer', () => {
  const table = buildHostTable(claims({ a: ['~^w'] }))

  assert.equal(table.lookup('www.test')?.site, 'A')
  assert.equal(table.lookup('www.test')?.site, 'A')
})

test('an explanation names every rule that matches, the winner first, and why the others lost', () => {
  const table = buildHostTable(
    claims({
      a: ['~^a', '*.com'],
      b: ['a.*', '*.example.com', 'b.test'],
      c: ['a.example.com', '~example'],
      z: ['z.test'],
    }),
    'z',
  )

  assert.deepEqual(table.explain('a.example.com'), {
    site: 'c',
    captures: {},
    rules: [
      { site: 'c', rule: 'a.example.com', kind: 'exact', outcome: 'won' },
      {
        site: 'b',
        rule: '*.example.com',
        kind: 'suffix',
        outcome: "an exact name goes before a *.suffix: a.example.com of site 'c'",
      },
      {
        site: 'a',
        rule: '*.com',
        kind: 'suffix',
        outcome: "an exact name goes before a *.suffix: a.example.com of site 'c'",
      },
      {
        site: 'b',
        rule: 'a.*',
        kind: 'prefix',
        outcome: "an exact name goes before a prefix.*: a.example.com of site 'c'",
      },
      {
        site: 'a',
        rule: '~^a',
        kind: 'regex',
        outcome: "an exact name goes before a regular expression: a.example.com of site 'c'",
      },
      {
        site: 'c',
        rule: '~example',
        kind: 'regex',
        outcome: "an exact name goes before a regular expression: a.example.com of site 'c'",
      },
      {
        site: 'z',
        rule: 'default_site',
        kind: 'default',
        outcome: "only for hosts that no rule matches, and a.example.com of site 'c' does",
      },
    ],
  })
})

test('an explanation tells rules of one kind apart by length, then by order', () => {
  const table = buildHostTable(claims({ a: ['*.test', '~x'], b: ['*.b.test', '~.'], c: ['*.b.test'] }))

  assert.deepEqual(
    table.explain('a.b.test').rules.map(({ rule, outcome }) => [rule, outcome]),
    [
      ['*.b.test', 'won'],
      ['*.b.test', "*.b.test of site 'b' comes first"],
      ['*.test', "*.b.test of site 'b' is longer"],
      ['~.', "a *.suffix goes before a regular expression: *.b.test of site 'b'"],
    ],
  )
  assert.deepEqual(table.explain('x.example').rules[1]?.outcome, "~x of site 'a' comes first")
})

test('an explanation of a host that nobody wants has no rules', () => {
  assert.deepEqual(buildHostTable(claims({ a: ['a.test'] })).explain('b.test'), {
    site: undefined,
    captures: {},
    rules: [],
  })
})

// ---- against a naive matcher -----------------------------------------------------------------------------------

const label = fc.constantFrom('a', 'b', 'c', 'ab')
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'))
const domain = fc.oneof(
  name,
  name.map((host) => `.${host}`),
  name.map((host) => `*.${host}`),
  name.map((host) => `${host}.*`),
  name.map((host) => `~^${host.replaceAll('.', '\\.')}`),
  name.map((host) => `~(?<tail>${host})$`),
)
const siteMap = fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), fc.array(domain, { maxLength: 4 }), {
  maxKeys: 8,
  noNullPrototype: true,
})

/** What the order in docs says, read literally: all rules, by kind, then by length, then by order. */
function naiveLookup(all: HostClaim<string>[], defaultSite: string | undefined, host: string): string | undefined {
  const each = all.flatMap(({ site, patterns }) => patterns.map((pattern) => ({ site, pattern })))
  const exact = each.find(({ pattern }) => pattern.kind === 'exact' && pattern.host === host)
  const longest = (kind: 'suffix' | 'prefix', textOf: (pattern: DomainPattern) => string | undefined) =>
    each
      .filter(({ pattern }) => pattern.kind === kind && (textOf(pattern)?.length ?? 0) < host.length)
      .filter(({ pattern }) => {
        const text = textOf(pattern) ?? '\0'
        return kind === 'suffix' ? host.endsWith(text) : host.startsWith(text)
      })
      .sort((a, b) => (textOf(b.pattern)?.length ?? 0) - (textOf(a.pattern)?.length ?? 0))[0]
  const suffix = longest('suffix', (pattern) => (pattern.kind === 'suffix' ? pattern.suffix : undefined))
  const prefix = longest('prefix', (pattern) => (pattern.kind === 'prefix' ? pattern.prefix : undefined))
  const regex = each.find(({ pattern }) => pattern.kind === 'regex' && pattern.regex.test(host))
  const fallback = all.find((claim) => claim.name === defaultSite)
  return (exact ?? suffix ?? prefix ?? regex ?? fallback)?.site
}

test('a lookup and its explanation agree with a matcher that tries every rule', () => {
  fc.assert(
    fc.property(siteMap, fc.array(name, { minLength: 1, maxLength: 10 }), fc.boolean(), (sites, hosts, hasDefault) => {
      const all = claims(sites)
      const defaultSite = hasDefault ? all[0]?.name : undefined
      const table = buildHostTable(all, defaultSite)
      for (const host of hosts) {
        const expected = naiveLookup(all, defaultSite, host)

        assert.equal(table.lookup(host)?.site, expected, host)
        assert.equal(table.explain(host).site?.toUpperCase(), expected, host)
      }
    }),
    { numRuns: 3_000 },
  )
})

test('a lookup asks the maps once for each length of wildcards, however many sites there are', (t) => {
  const many = Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`s${i}`, [`s${i}.test`, `*.s${i}.test`]]))
  const table = buildHostTable(claims({ ...many, w: ['www.*'] }))
  const get = t.mock.method(Map.prototype, 'get')

  table.lookup('s1999.test')
  const exact = get.mock.callCount()
  table.lookup(`${'a.'.repeat(126)}a`)
  const miss = get.mock.callCount() - exact

  assert.equal(exact, 1)
  assert.equal(miss, 1 + 1 + 1) // the whole host, `.a.a`, `a.`
})
