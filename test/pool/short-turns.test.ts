import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LeakyBucket } from '../../src/pool/short-turns.ts'

/** When a thread that is late for `forMs` every `everyMs` has been so for too long, in ms; undefined: not within a minute. */
function fullAfter(forMs: number, everyMs: number): number | undefined {
  const bucket = new LeakyBucket(0)
  for (let now = everyMs; now <= 60_000; now += everyMs) if (bucket.add(forMs, now)) return now
  return undefined
}

test('a thread that is late most of the time fills its bucket within seconds', () => {
  assert.ok((fullAfter(60, 80) ?? Number.POSITIVE_INFINITY) < 3_000)
  assert.ok((fullAfter(90, 300) ?? Number.POSITIVE_INFINITY) < 6_000)
})

test('one that is late for less than a seventh of the time never does', () => {
  assert.equal(fullAfter(60, 430), undefined)
  assert.equal(fullAfter(99, 700), undefined)
})

test('what was long ago has leaked out', () => {
  const bucket = new LeakyBucket(0)
  assert.deepEqual([bucket.add(600, 0), bucket.add(600, 10_000), bucket.add(200, 10_100)], [false, false, true])
})
