/** What is kept, and what gives way, without a server. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CacheSettings } from '../../src/config/site-cache.ts'
import { termsOf } from '../../src/dispatcher/cache-policy.ts'
import { cacheStatus, purgeReport } from '../../src/dispatcher/cache-report.ts'
import { ServerCache } from '../../src/dispatcher/cache-store.ts'
import { StoredAnswer } from '../../src/dispatcher/stored-answer.ts'

const SETTINGS: CacheSettings = { memoryBytes: 100_000, largestBytes: 100_000, clientControl: true, keep: false }

function answer(bytes: number, variant = '', vary?: string): StoredAnswer {
  const headers = ['Cache-Control', 'max-age=60', ...(vary === undefined ? [] : ['Vary', vary])]
  const head = { status: 200, reason: undefined, headers }
  const terms = termsOf(head, false, { askedAt: Date.now(), cameAt: Date.now() })
  assert.ok(terms)
  return new StoredAnswer(head, Buffer.alloc(bytes), terms, variant)
}

test('each site has a store of its own, within its bound, and what was asked for last stays', () => {
  const server = new ServerCache(1_000_000)
  const [one, two] = [server.open('one', SETTINGS), server.open('two', SETTINGS)]

  for (let at = 0; at < 20; at++) {
    one.put(`http://a/${at}`, answer(10_000), one.mark())
    one.find('http://a/0', '')
  }

  assert.equal(two.find('http://a/0', ''), undefined)
  assert.ok(one.find('http://a/0', '') !== undefined && one.find('http://a/19', '') !== undefined)
  assert.equal(one.find('http://a/1', ''), undefined)
  assert.ok(one.bytes <= 100_000 && server.bytes === one.bytes + two.bytes)
  assert.equal(one.put('http://a/huge', answer(100_000), one.mark()), false)
  assert.equal(server.bytes, one.bytes)
})

test('beyond the bound of the server, the site that stores most gives way', () => {
  const server = new ServerCache(50_000)
  const [small, large] = [server.open('small', SETTINGS), server.open('large', SETTINGS)]
  small.put('http://s/', answer(5000), small.mark())

  for (let at = 0; at < 20; at++) large.put(`http://l/${at}`, answer(10_000), large.mark())

  assert.ok(server.bytes <= 50_000)
  assert.ok(small.find('http://s/', ''))
  assert.equal(server.bytes, small.bytes + large.bytes)
  server.close('large')
  assert.equal(server.bytes, small.bytes)
  assert.equal(large.put('http://l/', answer(1), large.mark()), false)
})

test('variants of a URL are bounded, and gone together', () => {
  const store = new ServerCache(1_000_000).open('one', SETTINGS)
  for (let at = 0; at < 40; at++) store.put('http://a/', answer(10, String(at), 'x-a'), store.mark())

  assert.deepEqual(store.vary('http://a/'), ['x-a'])
  assert.equal(store.find('http://a/', '7'), undefined)
  assert.ok(store.find('http://a/', '8') && store.find('http://a/', '39'))
  store.invalidate('http://a/')
  assert.deepEqual([store.vary('http://a/'), store.bytes], [undefined, 0])
})

test('what was asked for before a change or a purge is not stored after it', () => {
  const store = new ServerCache(1_000_000).open('one', SETTINGS)
  const before = store.mark()
  store.invalidate('http://a/')

  assert.deepEqual(
    [store.put('http://a/', answer(1), before), store.put('http://a/b', answer(1), before)],
    [false, true],
  )
  assert.equal(store.put('http://a/', answer(1), store.mark()), true)
  const beforePurge = store.mark()
  store.purge()
  assert.equal(store.put('http://a/b', answer(1), beforePurge), false)
})

test('new code drops what is stored, unless it is to be kept', () => {
  const server = new ServerCache(1_000_000)
  for (const keep of [false, true]) {
    const store = server.open(`keep ${keep}`, { ...SETTINGS, keep })
    store.put('http://a/', answer(1), store.mark())
    store.renewed()
    assert.equal(store.find('http://a/', '') !== undefined, keep)
  }
})

test('a purge takes all, a URL, a path of every host, or what begins so', () => {
  const server = new ServerCache(1_000_000)
  const store = server.open('one', SETTINGS)
  const keys = ['http://a.test/', 'https://a.test/', 'http://b.test/x?y=1', 'http://a.test/x', 'http://a.test/xy']
  const purged = (url?: string): string[] => {
    for (const key of keys) store.put(key, answer(1), store.mark())
    const { urls, bytes } = purgeReport(server, 'one', url)
    const gone = keys.filter((key) => store.find(key, '') === undefined)
    assert.deepEqual([gone.length, bytes > 0], [urls, urls > 0])
    return gone
  }

  assert.deepEqual(purged(), keys)
  assert.deepEqual(purged('HTTP://A.test'), ['http://a.test/'])
  assert.deepEqual(purged('/'), ['http://a.test/', 'https://a.test/'])
  assert.deepEqual(purged('/x*'), ['http://b.test/x?y=1', 'http://a.test/x', 'http://a.test/xy'])
  assert.deepEqual(purged('http://a.test/x*'), ['http://a.test/x', 'http://a.test/xy'])
  assert.deepEqual(purged('/X'), [])
  assert.deepEqual(purgeReport(server, 'none', undefined), { site: 'none', urls: 0, bytes: 0 })
  assert.equal(cacheStatus(store).urls, keys.length)
})

test('other settings take what is stored with them, as far as it fits', () => {
  const server = new ServerCache(1_000_000)
  const store = server.open('one', SETTINGS)
  for (let at = 0; at < 5; at++) store.put(`http://a/${at}`, answer(10_000), store.mark())

  assert.equal(server.open('one', { ...SETTINGS, memoryBytes: 30_000 }), store)

  assert.ok(store.find('http://a/4', '') && store.find('http://a/3', ''))
  assert.equal(store.find('http://a/0', ''), undefined)
  assert.ok(store.bytes <= 30_000 && server.bytes === store.bytes)
})
