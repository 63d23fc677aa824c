/** The table of what is under way does what a Map does, whatever comes and goes, and keeps nothing that has left. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { IdTable } from '../../src/core/id-table.ts'
import { trimHeap } from '../../src/core/trim-heap.ts'

interface Thing {
  id: number
}

const RUNS = 300
const STEPS = 200

/** Puts in, and takes out those that are there or not, as a Map does. @param ids what the numbers may be */
function compareWithMap(ids: fc.Arbitrary<number>): void {
  const step = fc.record({ puts: fc.boolean(), id: ids })
  fc.assert(
    fc.property(fc.array(step, { maxLength: STEPS, size: 'max' }), (steps) => {
      const table = new IdTable<Thing>()
      const map = new Map<number, Thing>()
      for (const { puts, id } of steps) {
        const thing = { id }
        if (puts) table.set(id, thing)
        else assert.equal(table.delete(id), map.get(id))
        if (puts) map.set(id, thing)
        else map.delete(id)
        assert.equal(table.size, map.size)
        assert.equal(table.get(id), map.get(id))
        assert.equal(
          table.some(({ id: other }) => other === id),
          map.has(id),
        )
      }
      assert.deepEqual(
        table.entries(),
        [...map].sort(([a], [b]) => a - b),
      )
    }),
    { numRuns: RUNS },
  )
}

test('numbers in a row, over the end of 32 bits', () => {
  compareWithMap(fc.nat(30).map((id) => (id + 0xffff_fff0) >>> 0))
})

test('numbers that fall on the same places', () => {
  compareWithMap(fc.nat(30).map((id) => id * 64))
})

test('any numbers', () => {
  compareWithMap(fc.oneof(fc.nat(30), fc.nat({ max: 2 ** 32 - 1 })))
})

test('one that stays while thousands come and go behind it keeps the table small', () => {
  const table = new IdTable<Thing>()
  const first = { id: 1 }
  table.set(1, first)
  for (let id = 2; id < 100_000; id++) {
    table.set(id, { id })
    if (id > 10) table.delete(id - 8)
    assert.equal(table.get(1), first)
  }
  assert.ok(table.size < 12)
})

test('the table may change while what was in it is gone through', () => {
  const table = new IdTable<Thing>()
  for (let id = 0; id < 100; id++) table.set(id, { id })
  const seen = table.values().map(({ id }) => {
    assert.ok(table.delete(id))
    table.set(id + 1_000, { id: id + 1_000 })
    return id
  })
  assert.equal(seen.length, 100)
  assert.equal(table.size, 100)
  assert.equal(table.has(5), false)
  assert.equal(table.has(1_005), true)
})

test('what was cleared is gone, and a number that is not there is nothing', () => {
  const table = new IdTable<Thing>()
  for (let id = 0; id < 5_000; id++) table.set(id, { id })
  table.clear()
  assert.equal(table.size, 0)
  assert.equal(table.get(0), undefined)
  assert.deepEqual(table.values(), [])
  table.set(7, { id: 7 })
  assert.deepEqual(table.entries(), [[7, { id: 7 }]])
})

test('what has left can be collected while the table lives', async () => {
  const table = new IdTable<Thing>()
  const all: WeakRef<Thing>[] = []
  for (let id = 0; id < 10_000; id++) {
    const thing = { id }
    all.push(new WeakRef(thing))
    table.set(id, thing)
    table.delete(id - 40)
  }
  // What was referred to weakly stays until the end of the turn.
  await turn()

  await trimHeap()

  assert.equal(all.filter((one) => one.deref() !== undefined).length, table.size)
  assert.equal(table.size, 40)
})
