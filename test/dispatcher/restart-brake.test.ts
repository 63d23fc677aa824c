import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RestartBrake } from '../../src/dispatcher/command/restart-brake.ts'

test('a program that was up is started again at once, the next time after 1 s, doubling to 3 min', () => {
  const brake = new RestartBrake()

  const waits = Array.from({ length: 11 }, () => brake.ended(true, 500) / 1000)

  assert.deepEqual(waits, [0, 1, 2, 4, 8, 16, 32, 64, 128, 180, 180])
})

test('a program that never came up waits from the first time', () => {
  const brake = new RestartBrake()

  assert.deepEqual([brake.ended(false, 5), brake.ended(false, 5), brake.ended(false, 90_000)], [1000, 2000, 4000])
})

test('a minute of life, or a person, releases the brake', () => {
  const brake = new RestartBrake()
  for (let count = 0; count < 5; count++) brake.ended(true, 10)

  assert.equal(brake.ended(true, 60_000), 0)
  assert.equal(brake.ended(true, 10), 1000)
  brake.reset()
  assert.equal(brake.ended(true, 10), 0)
})
