import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Lifetime, Setbacks } from '../../src/acme/schedule.ts'
import { challengeFor, dueAt, outageOverAt, renewAt, retryAt } from '../../src/acme/schedule.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const T = Date.UTC(2027, 0, 1)
const none: Setbacks = { failures: 0, lastAt: 0, notBefore: 0 }
const ninetyDays: Lifetime = { notBefore: T, notAfter: T + 90 * DAY }

const times = fc.integer({ min: 0, max: T + 1000 * DAY })
const setbacks = fc.record({ failures: fc.nat({ max: 2000 }), lastAt: times, notBefore: times })
const chance = fc.double({ min: 0, max: 1, noNaN: true })
const lifetime = fc.record({ notBefore: times, lifeMs: fc.integer({ min: 1, max: 400 * DAY }) }).map((life) => ({
  notBefore: life.notBefore,
  notAfter: life.notBefore + life.lifeMs,
}))

test('a certificate is renewed after 2/3 of its life, or up to 5 % of it earlier', () => {
  assert.equal(renewAt(ninetyDays, 0), T + 60 * DAY)
  assert.equal(renewAt(ninetyDays, 1), T + 55.5 * DAY)
})

test('after failures it waits a minute, then twice as long each time, a day at most', () => {
  const waits = [1, 2, 3, 4, 10, 11, 12, 1000].map((failures) => {
    return (retryAt({ failures, lastAt: T, notBefore: 0 }, undefined, 0) - T) / MINUTE
  })

  assert.deepEqual(waits, [1, 2, 4, 8, 512, 1024, 1440, 1440])
})

test('chance makes a wait up to a fifth longer', () => {
  assert.equal(retryAt({ failures: 3, lastAt: T, notBefore: 0 }, undefined, 1), T + 4.8 * MINUTE)
})

test('a certificate that runs out is tried for more often, an hour apart at least', () => {
  const many = { failures: 30, lastAt: T, notBefore: 0 }

  assert.equal(retryAt(many, { notBefore: T - 60 * DAY, notAfter: T + 30 * DAY }, 0), T + DAY)
  assert.equal(retryAt(many, { notBefore: T - 60 * DAY, notAfter: T + 2 * DAY }, 0), T + 12 * HOUR)
  assert.equal(retryAt(many, { notBefore: T - 60 * DAY, notAfter: T + 2 * HOUR }, 0), T + HOUR)
  assert.equal(retryAt(many, { notBefore: T - 60 * DAY, notAfter: T - HOUR }, 0), T + DAY)
})

test('what the server said about when to come back is obeyed, for a week at most', () => {
  assert.equal(retryAt({ failures: 1, lastAt: T, notBefore: T + 3 * HOUR }, undefined, 0.5), T + 3 * HOUR)
  assert.equal(retryAt({ failures: 1, lastAt: T, notBefore: T + 400 * DAY }, undefined, 0.5), T + 7 * DAY)
})

test('a server that is gone is looked at again within the hour', () => {
  assert.equal(outageOverAt({ failures: 1, lastAt: T, notBefore: 0 }, 0), T + MINUTE)
  assert.equal(outageOverAt({ failures: 50, lastAt: T, notBefore: 0 }, 1), T + HOUR)
  assert.equal(outageOverAt({ failures: 50, lastAt: T, notBefore: T + 5 * HOUR }, 1), T + 5 * HOUR)
})

test('the first order is due at once; one for names that are missing in the certificate too', () => {
  assert.equal(dueAt(none, undefined, false, 0.5), 0)
  assert.equal(dueAt({ ...none, lastAt: T }, ninetyDays, false, 0.5), T + MINUTE)
  assert.equal(dueAt({ ...none, lastAt: T }, ninetyDays, true, 0), T + 60 * DAY)
})

test('HTTP-01 and TLS-ALPN-01 take turns with auto, and only there', () => {
  assert.deepEqual(
    [0, 1, 2, 3].map((failures) => challengeFor('auto', failures)),
    ['http-01', 'tls-alpn-01', 'http-01', 'tls-alpn-01'],
  )
  assert.equal(challengeFor('tls-alpn-01', 0), 'tls-alpn-01')
  assert.equal(challengeFor('http-01', 1), 'http-01')
})

test('whatever the times and the failures are, a minute is between two orders, and a try always comes', () => {
  fc.assert(
    fc.property(
      setbacks,
      fc.option(lifetime, { nil: undefined }),
      fc.boolean(),
      chance,
      (given, inUse, whole, random) => {
        const due = dueAt(given, inUse, whole, random)

        if (given.lastAt > 0) assert.ok(due >= given.lastAt + MINUTE)
        const renewal = inUse !== undefined && whole ? renewAt(inUse, random) : 0
        assert.ok(due <= Math.max(given.lastAt + 7 * DAY, renewal))
      },
    ),
  )
})

test('more failures never mean an earlier try', () => {
  fc.assert(
    fc.property(setbacks, fc.option(lifetime, { nil: undefined }), chance, (given, inUse, random) => {
      const more = { ...given, failures: given.failures + 1 }

      assert.ok(retryAt(more, inUse, random) >= retryAt(given, inUse, random))
    }),
  )
})

test('a day of a server that refuses everything is at most a dozen orders', () => {
  fc.assert(
    fc.property(chance, (random) => {
      let at = T
      let orders = 0
      for (let failures = 1; at < T + DAY; failures++) {
        orders++
        at = dueAt({ failures, lastAt: at, notBefore: 0 }, undefined, false, random)
      }

      assert.ok(orders <= 12, String(orders))
    }),
  )
})
