/** Several sites that are loaded in one thread: what else it has to do comes in between, and who waits keeps nobody. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { LoadTurns } from '../../src/worker/load-turns.ts'

const BLOCK_MS = 60

function block(): void {
  const until = performance.now() + BLOCK_MS
  while (performance.now() < until);
}

test('requests are answered between two loads that keep the thread', async (t) => {
  const events: string[] = []
  const server = createServer((_request, response) => {
    events.push('request')
    response.end()
  })
  t.after(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const turns = new LoadTurns()
  const load = (name: string) =>
    turns.run(async () => {
      await Promise.resolve()
      block()
      events.push(name)
    })

  const loads = ['a', 'b', 'c'].map(load)
  const { port } = server.address() as AddressInfo
  const answer = await fetch(`http://127.0.0.1:${port}/`)
  await answer.text()
  await Promise.all(loads)

  assert.deepEqual(events.toSorted(), ['a', 'b', 'c', 'request'])
  assert.ok(events.indexOf('request') < events.indexOf('c'), events.join())
})

test('loads begin in their order, one that fails as any other, and what comes of each goes to whoever asked', async () => {
  const turns = new LoadTurns()
  const begun: number[] = []
  const load = (number: number) =>
    turns.run(async () => {
      begun.push(number)
      if (number === 2) throw new Error('no')
      return number
    })

  const outcomes = await Promise.allSettled([load(1), load(2), load(3)])

  assert.deepEqual(begun, [1, 2, 3])
  assert.deepEqual(
    outcomes.map((one) => (one.status === 'fulfilled' ? one.value : one.reason.message)),
    [1, 'no', 3],
  )
})

test('a load that waits for something keeps no other from beginning', async () => {
  const turns = new LoadTurns()
  const { promise, resolve } = Promise.withResolvers<string>()

  const waiting = turns.run(() => promise)
  const next = await turns.run(async () => 'next')
  resolve('waited')

  assert.deepEqual([next, await waiting], ['next', 'waited'])
})
