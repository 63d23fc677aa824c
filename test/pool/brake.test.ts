import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backOffMs } from '../../src/core/back-off.ts'
import { OWN_BRAKE, SHARED_BRAKE } from '../../src/pool/worker-process.ts'

test('the process of a site that keeps ending it waits for 1 s, twice as long each time, and never longer than 3 min', () => {
  const { firstMs, lastMs, free } = OWN_BRAKE
  const seconds = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1_000].map((end) => backOffMs(end, firstMs, lastMs) / 1_000)

  assert.deepEqual(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 180, 180, 180])
  assert.equal(free, 0, 'from the first end on')
})

test('a process that sites share never waits for longer than a second', () => {
  const { firstMs, lastMs } = SHARED_BRAKE

  assert.deepEqual(
    [1, 2, 3, 4, 100].map((end) => backOffMs(end, firstMs, lastMs)),
    [200, 400, 800, 1_000, 1_000],
  )
})
