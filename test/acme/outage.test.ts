import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Outage } from '../../src/acme/outage.ts'

test('orders that had begun when one found nobody are the same outage, in the same millisecond too', () => {
  const clock = { at: 1_000_000, now: () => clock.at, random: () => 0.5 }
  const outage = new Outage(clock)

  assert.equal(outage.note(['gone'], 0, 1_000_000), true)
  const { restsUntil } = outage
  assert.equal(outage.note(['gone'], 0, 1_000_000), false)
  assert.equal(outage.note(['gone'], 0, 999_000), false)
  assert.equal(outage.restsUntil, restsUntil)

  clock.at = restsUntil
  assert.equal(outage.note(['gone'], 0, restsUntil), true)
  assert.ok(outage.restsUntil > restsUntil)
})
