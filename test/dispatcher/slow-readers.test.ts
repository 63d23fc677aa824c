import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SlowReaders } from '../../src/dispatcher/slow-readers.ts'

type Exchange = Parameters<SlowReaders['add']>[0]
type Response = Parameters<SlowReaders['add']>[1]

function reader(state = 'answering') {
  const cut = { exchange: { state } as Exchange, isCut: false, res: {} as Response }
  cut.res = { destroy: () => (cut.isCut = true) } as unknown as Response
  return cut
}

test('only the place of an answer that waits for a second is given away', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let now = 0
  t.mock.method(performance, 'now', () => now)
  const yielded: Exchange[] = []
  const readers = new SlowReaders((exchange) => yielded.push(exchange))
  const [slow, quick, later] = [reader(), reader(), reader()]

  readers.add(slow.exchange, slow.res)
  readers.add(quick.exchange, quick.res)
  now = 500
  readers.add(later.exchange, later.res)
  readers.delete(quick.exchange)
  now = 1_000
  t.mock.timers.tick(1_000)

  assert.deepEqual(yielded, [slow.exchange])
  assert.ok(yielded[0] === slow.exchange && !slow.isCut)
})

test('of too many the one that waits longest is cut off, unless its site is through with it', () => {
  const readers = new SlowReaders(() => {})
  const all = Array.from({ length: 258 }, (_, at) => reader(at === 1 ? 'done' : 'answering'))

  for (const { exchange, res } of all) readers.add(exchange, res)

  assert.deepEqual(
    all.flatMap(({ isCut }, at) => (isCut ? [at] : [])),
    [0],
  )
  for (const { exchange } of all) readers.delete(exchange)
})
