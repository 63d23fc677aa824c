/** What may be stored and for how long, told by heads alone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readAge, readDirectives, readHttpDate, readSeconds } from '../../src/dispatcher/cache-directives.ts'
import type { Terms } from '../../src/dispatcher/cache-policy.ts'
import { termsOf } from '../../src/dispatcher/cache-policy.ts'

const NOW = Date.parse('Sat, 01 Jan 2022 00:00:00 GMT')

function terms(headers: Record<string, string>, status = 200, isAuthorized = false): Terms | undefined {
  const head = { status, reason: undefined, headers: Object.entries(headers).flat() }
  return termsOf(head, isAuthorized, { askedAt: NOW - 2000, cameAt: NOW })
}

test('directives are read by the rules of RFC 9111, whatever they are written like', () => {
  const cases: [string, Record<string, string>][] = [
    ['max-age=60, public', { 'max-age': '60', public: '' }],
    ['MAX-AGE="60",private="a, no-store"', { 'max-age': '60', private: 'a, no-store' }],
    ['max-age=1, max-age=2', { 'max-age': '1' }],
    ['extension="max-age=60", a', { extension: 'max-age=60', a: '' }],
    [',, ;, =,max-age=5', { 'max-age': '5' }],
    ['max-age = 60', {}],
    ['', {}],
    ['a="unclosed, max-age=60', { 'max-age': '60' }],
  ]
  for (const [text, expected] of cases) assert.deepEqual(Object.fromEntries(readDirectives(text)), expected, text)
  fc.assert(fc.property(fc.string(), (text) => readDirectives(text).size >= 0))
})

test('numbers and dates are read, and nothing that only looks like one', () => {
  assert.deepEqual(['60', '0', '99999999999999999999', '-1', '1.5', '1s', ''].map(readSeconds), [
    60,
    0,
    2 ** 31,
    undefined,
    undefined,
    undefined,
    undefined,
  ])
  const dates = ['Sat, 01 Jan 2022 00:00:00 GMT', 'Saturday, 01-Jan-22 00:00:00 GMT', 'Sat Jan  1 00:00:00 2022']
  assert.deepEqual(dates.map(readHttpDate), [NOW, NOW, NOW])
  assert.deepEqual(
    dates.map((text) => readHttpDate(text.toUpperCase())),
    [NOW, NOW, NOW],
  )
  for (const text of ['2022-01-01', '0', 'Sat, 01 Jan 2022 00:00:00 UTC', 'Sat, 99 Jan 2022 00:00:00 GMT', '']) {
    assert.equal(readHttpDate(text), undefined, text)
  }
})

test('a year of two digits is at most 50 years ahead', () => {
  const thisYear = new Date().getUTCFullYear()
  for (const [ahead, isPast] of [
    [0, false],
    [40, false],
    [-30, false],
    [60, true],
  ] as const) {
    const year = thisYear + ahead
    const digits = String(year % 100).padStart(2, '0')
    const expected = Date.UTC(isPast ? year - 100 : year, 7, 18)
    assert.equal(readHttpDate(`Thursday, 18-Aug-${digits} 00:00:00 GMT`), expected, String(year))
  }
})

test('how long an answer is good', () => {
  const of = (headers: Record<string, string>): [number, number, number] | undefined => {
    const found = terms(headers)
    return found && [found.lifetimeMs, found.whileRevalidateMs, found.ifErrorMs]
  }
  const expires = new Date(NOW + 60_000).toUTCString()

  assert.deepEqual(of({ 'Cache-Control': 'max-age=60' }), [60_000, 0, 0])
  assert.deepEqual(of({ 'cache-control': 's-maxage=10, max-age=60, stale-while-revalidate=5' }), [10_000, 5000, 0])
  assert.deepEqual(of({ 'Cache-Control': 'max-age=60, must-revalidate, stale-if-error=9' }), [60_000, 0, 0])
  assert.deepEqual(of({ 'Cache-Control': 'max-age=60, proxy-revalidate' }), [60_000, 0, 0])
  assert.deepEqual(of({ Expires: expires }), [60_000, 0, 0])
  assert.deepEqual(of({ Expires: expires, 'Cache-Control': 'max-age=5' }), [5000, 0, 0])
  for (const useless of ['max-age=x', 'max-age=-1', 'max-age=0', 'no-cache, max-age=60', 'private', 'no-store', '']) {
    assert.equal(of({ 'Cache-Control': useless, ETag: '"a"' }), undefined, useless)
  }
  assert.equal(of({ Expires: '0' }), undefined)
  assert.deepEqual(of({ Expires: expires.toLowerCase() }), [60_000, 0, 0])
  assert.equal(of({ 'Last-Modified': new Date(0).toUTCString() }), undefined)
  assert.deepEqual(of({ 'Cache-Control': 'public, no-cache', ETag: '"a"' }), [0, 0, 0])
})

test('its age counts from when it was made; of several the first counts, and what is none does not', () => {
  const bornAgo = (headers: Record<string, string>): number =>
    NOW - (terms({ 'Cache-Control': 'max-age=600', ...headers })?.bornAt ?? 0)

  assert.equal(bornAgo({}), 0)
  assert.equal(bornAgo({ Age: '10' }), 12_000)
  assert.equal(bornAgo({ Date: new Date(NOW - 30_000).toUTCString(), Age: '10' }), 30_000)
  assert.equal(bornAgo({ Date: new Date(NOW + 30_000).toUTCString() }), 0)
  assert.equal(bornAgo({ Age: '10 , 900' }), 12_000)
  assert.equal(terms({ 'Cache-Control': 'max-age=600', Age: '900, 10' })?.bornAt, NOW - 902_000)
  for (const Age of ['abc', '-1', '1.5', '7;a=b', '']) assert.equal(bornAgo({ Age }), 0, Age)
  assert.deepEqual(['7', '7,8', ' 7 ', undefined].map(readAge), [7, 7, 7, undefined])
})

test('what is one visitor’s alone is stored only where the site says that it is for all', () => {
  assert.equal(terms({ 'Cache-Control': 'max-age=60' }, 200, true), undefined)
  for (const allowed of ['public, max-age=60', 's-maxage=60', 'must-revalidate, max-age=60']) {
    assert.equal(terms({ 'Cache-Control': allowed }, 200, true)?.forAuthorized, true, allowed)
  }
  assert.equal(terms({ 'Cache-Control': 's-maxage=60', 'Set-Cookie': 'a=b' }), undefined)
  assert.equal(terms({ 'Cache-Control': 'public, max-age=60', 'Set-Cookie': 'a=b' })?.lifetimeMs, 60_000)
  assert.equal(terms({ 'Cache-Control': 'max-age=60', Vary: 'a, *' }), undefined)
  assert.deepEqual(terms({ 'Cache-Control': 'max-age=60', Vary: 'Cookie,  accept,cookie' })?.vary, ['accept', 'cookie'])
})

test('any final status may be stored, but parts, confirmations, and what has to be understood and is not', () => {
  const fresh = { 'Cache-Control': 'max-age=60' }
  for (const status of [200, 204, 301, 404, 410, 503, 599]) assert.ok(terms(fresh, status), String(status))
  for (const status of [206, 304]) assert.equal(terms(fresh, status), undefined)
  assert.equal(terms({ 'Cache-Control': 'max-age=60, must-understand' }, 599), undefined)
  assert.ok(terms({ 'Cache-Control': 'max-age=60, must-understand' }, 404))
  assert.ok(terms({ 'Cache-Control': 'max-age=60, no-store, must-understand' }, 200))
  assert.equal(terms({ 'Cache-Control': 'max-age=60, no-store, must-understand' }, 599), undefined)
  assert.equal(terms({ 'Cache-Control': 'max-age=60, no-store, must-understand, private' }, 200), undefined)
})
