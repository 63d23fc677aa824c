/** The queue of what waits for a thread does what an array would, whoever leaves it from where. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { WaitingQueue } from '../../src/pool/waiting-queue.ts'

const step = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ kind: 'add' as const, pick: 0 }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'shift' as const, pick: 0 }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave' as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('putFirst' as const), pick: fc.nat(20) }) },
)

test('who comes is behind all others, who is put back is before them, and anyone may leave', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
      const queue = new WaitingQueue<number>()
      let expected: number[] = []
      let last = 0
      for (const { kind, pick } of steps) {
        if (kind === 'add') {
          queue.add(++last)
          expected.push(last)
        } else if (kind === 'putFirst') {
          const some = Array.from({ length: pick }, () => ++last)
          queue.putFirst(some)
          expected = [...some, ...expected]
        } else {
          const leaves = kind === 'shift' ? expected[0] : expected[pick % expected.length]
          if (leaves === undefined) continue
          assert.equal(queue.delete(leaves), true)
          assert.equal(queue.delete(leaves), false)
          expected = expected.filter((one) => one !== leaves)
        }
        assert.equal(queue.size, expected.length)
        assert.equal(queue.first, expected[0])
        assert.deepEqual([...queue], expected)
      }
    }),
    { numRuns: 300 },
  )
})

test('one that waits while thousands come and go behind it stays first, and all of them in order', () => {
  const queue = new WaitingQueue<number>()
  for (let number = 0; number < 100_000; number++) {
    queue.add(number)
    if (number > 5) assert.equal(queue.delete(number - 3), true)
  }
  assert.deepEqual([...queue], [0, 1, 2, 99_997, 99_998, 99_999])
})

test('all may leave while they are gone through', () => {
  const queue = new WaitingQueue<string>()
  for (let number = 0; number < 3_000; number++) queue.add(`request ${number}`)
  const seen: string[] = []
  for (const one of queue) {
    seen.push(one)
    queue.delete(one)
  }
  assert.equal(seen.length, 3_000)
  assert.equal(queue.size, 0)
  assert.equal(queue.first, undefined)
})
