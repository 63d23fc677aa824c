import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readDomains } from '../../src/config/domain-list.ts'
import { hostClaims } from '../../src/dispatcher/host-claims.ts'

interface Claimant {
  name: string
  config: { domains: ReturnType<typeof domains> }
  wanted: { domains: ReturnType<typeof domains> }
}

function domains(text: string) {
  return readDomains([{ text, quoted: false, line: 1 }]).patterns
}

/** A site whose settings in force name `has`; `wants` is what its file says, where that is not the same. */
function site(name: string, has: string, wants?: string): Claimant {
  const config = { domains: domains(has) }
  return { name, config, wanted: wants === undefined ? config : { domains: domains(wants) } }
}

const shown = (claims: ReturnType<typeof hostClaims<Claimant>>): string[] =>
  claims.map(({ name, patterns }) => `${name}: ${patterns.map(({ source }) => source).join(' ')}`)

test('each site has the domains of its settings in force', () => {
  const claims = hostClaims([site('a', 'a.test'), site('b', 'b.test *.b.test')], [])
  assert.deepEqual(shown(claims), ['a: a.test', 'b: b.test *.b.test'])
})

test('a domain stays with the site that gives it up until the one that takes it serves', () => {
  const [giver, taker] = [site('giver', 'g.test x.test *.x.test'), site('taker', 't.test')]
  const before = hostClaims([giver, taker], [])

  giver.config = giver.wanted = { domains: domains('g.test') }
  taker.wanted = { domains: domains('t.test x.test *.x.test') }
  const between = hostClaims([giver, taker], before)
  // Something else changes meanwhile.
  const later = hostClaims([giver, site('other', 'o.test'), taker], between)
  taker.config = taker.wanted
  const after = hostClaims([giver, taker], later)

  assert.deepEqual(shown(between), ['giver: g.test x.test *.x.test', 'taker: t.test'])
  assert.deepEqual(shown(later), ['giver: g.test x.test *.x.test', 'other: o.test', 'taker: t.test'])
  assert.deepEqual(shown(after), ['giver: g.test', 'taker: t.test x.test *.x.test'])
})

test('a domain of a site that is gone is that of the present version of the one that takes it', () => {
  const [giver, taker] = [site('giver', 'x.test'), site('taker', 't.test')]
  const before = hostClaims([giver, taker], [])
  taker.wanted = { domains: domains('t.test x.test') }

  const between = hostClaims([taker], before)
  const later = hostClaims([taker], between)

  assert.deepEqual(shown(between), ['taker: t.test x.test'])
  assert.deepEqual(shown(later), ['taker: t.test x.test'])
})

test('a domain that nobody had is taken when the settings are in force, and not before', () => {
  const taker = site('taker', 't.test', 't.test new.test')
  assert.deepEqual(shown(hostClaims([taker], hostClaims([site('taker', 't.test')], []))), ['taker: t.test'])
})

test('a domain that the one who takes it does not want any more is nobody’s', () => {
  const [giver, taker] = [site('giver', 'x.test'), site('taker', 't.test')]
  const before = hostClaims([giver, taker], [])
  giver.config = giver.wanted = { domains: [] }
  taker.wanted = { domains: domains('t.test x.test') }
  const between = hostClaims([giver, taker], before)

  taker.wanted = { domains: domains('t.test new.test') }
  assert.deepEqual(shown(between), ['giver: x.test', 'taker: t.test'])
  assert.deepEqual(shown(hostClaims([giver, taker], between)), ['giver: ', 'taker: t.test'])
})
