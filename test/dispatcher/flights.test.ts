/** Who waits for whom, without a server. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Flights } from '../../src/dispatcher/flights.ts'

test('whoever waits is called once when the flight lands, unless it has left', () => {
  const flights = new Flights()
  const called: string[] = []
  assert.equal(
    flights.wait('a', () => called.push('none')),
    undefined,
  )
  const flight = flights.start('a')
  flights.wait('a', () => called.push('one'))
  flights.wait('a', () => called.push('two'))?.()
  flights.wait('a', () => called.push('three'))

  flight.land()
  flight.land()

  assert.deepEqual(called, ['one', 'three'])
  assert.equal(flights.isOpen('a'), false)
})

test('one who is called may start the next flight, which an old one does not end', () => {
  const flights = new Flights()
  const first = flights.start('a')
  let isNextOpen = false
  flights.wait('a', () => {
    flights.start('a')
    isNextOpen = flights.isOpen('a')
  })

  first.land()
  first.land()

  assert.ok(isNextOpen && flights.isOpen('a'))
})

test('after 10 s those who wait go on by themselves, and nobody waits for it in the next minute', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const flights = new Flights()
  flights.start('a')
  let calls = 0
  flights.wait('a', () => calls++)

  t.mock.timers.tick(9_999)
  assert.deepEqual([calls, flights.isPassed('a')], [0, false])
  t.mock.timers.tick(1)

  assert.deepEqual([calls, flights.isPassed('a'), flights.isOpen('a')], [1, true, false])
  flights.unpass('a')
  assert.equal(flights.isPassed('a'), false)
})

test('what is passed is bounded: the oldest is forgotten', () => {
  const flights = new Flights()
  for (let at = 0; at < 10_001; at++) flights.pass(String(at))

  assert.deepEqual(
    ['0', '1', '10000'].map((key) => flights.isPassed(key)),
    [false, true, true],
  )
})
