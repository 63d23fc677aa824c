import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ResponseHead } from '../../src/protocol/frames.ts'
import { KnownHeads } from '../../src/protocol/known-heads.ts'

const read = (status: number, text: string): ResponseHead => ({ status, reason: text, headers: [] })

test('a head that comes again is the same object', () => {
  const heads = new KnownHeads(read)
  const first = heads.head(200, 'OK\nContent-Length\n18')
  assert.equal(heads.head(200, ['OK', 'Content-Length', '18'].join('\n')), first)
  assert.notEqual(heads.head(201, 'OK\nContent-Length\n18'), first)
})

test('whatever came before, a head is the one that was asked for', () => {
  // Few letters and lengths, so that many of them share a place.
  const text = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 40 })
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 200, max: 203 }), text), { maxLength: 2000 }), (asked) => {
      const heads = new KnownHeads(read)
      for (const [status, reason] of asked) {
        const head = heads.head(status, reason)
        if (head.status !== status || head.reason !== reason) return false
      }
      return true
    }),
    { numRuns: 50 },
  )
})

test('a head that cannot be read is refused each time, and a long one is not kept', () => {
  const heads = new KnownHeads((status, text) => {
    if (text === 'bad') throw new Error('bad head')
    return read(status, text)
  })
  for (let time = 0; time < 3; time++) assert.throws(() => heads.head(200, 'bad'), /bad head/)
  const long = 'x'.repeat(5000)
  assert.notEqual(heads.head(200, long), heads.head(200, long))
})
