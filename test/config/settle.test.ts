import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSettler } from '../../src/config/settle.ts'

test('many events are one call, once it has been quiet', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let calls = 0
  const settler = createSettler(() => calls++, { quietMs: 100, maxMs: 1_000_000 })

  for (let i = 0; i < 50; i++) {
    settler.touch()
    t.mock.timers.tick(99)
  }
  assert.equal(calls, 0)
  t.mock.timers.tick(1)

  assert.equal(calls, 1)
})

test('a storm that does not end cannot put the call off for ever', async () => {
  const called = Promise.withResolvers<number>()
  const started = performance.now()
  const settler = createSettler(() => called.resolve(performance.now() - started), { quietMs: 1000, maxMs: 30 })
  const storm = setInterval(() => settler.touch(), 1)
  settler.touch()

  const after = await called.promise

  clearInterval(storm)
  settler.close()
  // Timers count from the start of a turn of the loop, by whole milliseconds: one may seem to come two early.
  assert.ok(after > 25 && after < 900, `${after} ms`)
})

test('after the end nothing is called', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let calls = 0
  const settler = createSettler(() => calls++, { quietMs: 10, maxMs: 100 })

  settler.touch()
  settler.close()
  settler.touch()
  t.mock.timers.tick(1000)

  assert.equal(calls, 0)
})
