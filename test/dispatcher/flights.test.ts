import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Flights } from '../../src/dispatcher/flights.ts'

test('what is not waited for is remembered as far as it takes little memory, however long its keys are', () => {
  const flights = new Flights()
  const keyOf = (number: number): string => `http://a.test/${number}?${'x'.repeat(20_000)}`

  for (let number = 0; number < 1000; number++) flights.pass(keyOf(number))
  flights.pass('http://a.test/')

  const kept = Array.from({ length: 1000 }, (_, number) => flights.isPassed(keyOf(number))).filter(Boolean).length
  assert.ok(kept > 10 && kept < 60, `${kept}`)
  assert.equal(flights.isPassed('http://a.test/'), true)
})
