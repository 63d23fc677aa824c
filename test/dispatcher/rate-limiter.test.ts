import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { addressKey } from '../../src/dispatcher/connections.ts'
import { judge, RateLimiter } from '../../src/dispatcher/rate-limiter.ts'

const rates = fc.record({
  count: fc.integer({ min: 1, max: 1000 }),
  perMs: fc.constantFrom(1_000, 60_000, 3_600_000),
  burst: fc.integer({ min: 1, max: 100 }),
})
/** Times of requests, each a pause behind the one before. */
const pauses = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 5_000 })), { minLength: 1, maxLength: 300 })

test('in no stretch of time more pass than its length allows, and a burst', () => {
  fc.assert(
    fc.property(rates, pauses, (rate, gaps) => {
      let now = 0
      let until: number | undefined
      const passed: number[] = []
      for (const gap of gaps) {
        now += gap
        const verdict = judge(until, now, rate)
        until = verdict.until
        if (verdict.waitMs === 0) passed.push(now)
      }
      for (const [from, start] of passed.entries()) {
        for (const [at, end] of passed.slice(from).entries()) {
          const most = rate.burst + ((end - start) * rate.count) / rate.perMs
          assert.ok(at + 1 <= most + 1e-6, `${at + 1} in ${end - start} ms`)
        }
      }
    }),
    { numRuns: 300 },
  )
})

test('who waits as long as it was told passes, and who comes evenly always does', () => {
  fc.assert(
    fc.property(rates, pauses, (rate, gaps) => {
      let now = 0
      let until: number | undefined
      for (const gap of gaps) {
        now += gap
        const verdict = judge(until, now, rate)
        until = verdict.until
        if (verdict.waitMs > 0) assert.equal(judge(until, now + verdict.waitMs, rate).waitMs, 0)
      }
      let even: number | undefined
      for (let at = 0; at < 50; at++) {
        const verdict = judge(even, at * (rate.perMs / rate.count), rate)
        assert.equal(verdict.waitMs, 0)
        even = verdict.until
      }
    }),
    { numRuns: 300 },
  )
})

test('addresses and sites are counted apart', () => {
  const limiter = new RateLimiter()
  const rate = { count: 1, perMs: 1_000, burst: 1 }

  assert.equal(limiter.take('a', '192.0.2.1', rate, 0), 0)
  assert.equal(limiter.take('a', '192.0.2.1', rate, 400), 600)
  assert.equal(limiter.take('a', '192.0.2.2', rate, 400), 0)
  assert.equal(limiter.take('b', '192.0.2.1', rate, 400), 0)
  assert.equal(limiter.take('a', '192.0.2.1', rate, 1_000), 0)
})

test('a rate that was raised holds for those too whom the one before held up', () => {
  const limiter = new RateLimiter()
  const daily = { count: 1, perMs: 86_400_000, burst: 5 }
  const fast = { count: 10, perMs: 1_000, burst: 1 }
  for (let at = 0; at < 6; at++) limiter.take('a', '192.0.2.1', daily, 0)

  const waitMs = limiter.take('a', '192.0.2.1', fast, 0)

  assert.ok(waitMs <= 100, String(waitMs))
  assert.equal(limiter.take('a', '192.0.2.1', fast, waitMs), 0)
})

test('addresses of IPv6 are counted by their /64 network, mapped ones as IPv4', () => {
  for (const [address, key] of [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['0:0:0:0:0:ffff:c000:201', '192.0.2.1'],
    ['2001:db8:0:1:2:3:4:5', '2001:db8:0:1::/64'],
    ['2001:0db8::5', '2001:db8:0:0::/64'],
    ['2001:db8::1:0:0:5', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['1:2:3:4:5:6:7::', '1:2:3:4::/64'],
    ['', ''],
  ] as const) {
    assert.equal(addressKey(address), key, address)
  }
})
