import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryBrake } from '../../src/pool/memory-brake.ts'

test('threads that are full soon after their start are replaced less and less often', () => {
  const brake = new MemoryBrake()
  const waits = Array.from({ length: 9 }, () => brake.replaced(5_000, 0) / 1_000)
  assert.deepEqual(waits, [0, 10, 20, 40, 80, 160, 320, 600, 600])
})

test('a thread that took long to fill releases the brake', () => {
  const brake = new MemoryBrake()
  for (let count = 0; count < 5; count++) brake.replaced(5_000, 0)
  assert.deepEqual([brake.replaced(600_000, 0), brake.replaced(5_000, 0)], [0, 10_000])
})

test('while it is on a thread may take twice as much, and no more', () => {
  const brake = new MemoryBrake()
  const before = brake.limit(100, 0)
  brake.replaced(5_000, 0)
  const once = brake.limit(100, 1)
  brake.replaced(5_000, 100)
  assert.deepEqual(
    [before, once, brake.limit(100, 101), brake.limit(100, 10_099), brake.limit(100, 10_100)],
    [100, 100, 200, 200, 100],
  )
})
