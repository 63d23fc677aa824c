import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { GroupLoad } from '../../src/pool/elastic.ts'
import { Elastic } from '../../src/pool/elastic.ts'

const MINUTE_MS = 60_000
const CALM: GroupLoad = { size: 2, ready: 2, least: 1, most: 4, waiting: 0, busyThreads: 0, mayGrow: true }

/** Plays one group: each look takes up the size that the last one wanted. */
class Group {
  readonly elastic = new Elastic()
  size: number
  now = 0
  why = ''

  constructor(size: number) {
    this.size = size
  }

  look(load: Partial<GroupLoad>, afterMs = 1000): number {
    this.now += afterMs
    const { size, why } = this.elastic.look({ ...CALM, size: this.size, ready: this.size, ...load }, this.now)
    this.size = size
    this.why = why
    return size
  }

  /** @returns how long it takes until the calm group shrinks, in ms, to a second */
  shrinksAfterMs(): number {
    const [from, before] = [this.now, this.size]
    while (this.look({}) === before) if (this.now - from > 3 * 3_600_000) return Number.POSITIVE_INFINITY
    return this.now - from
  }

  grow(): void {
    const before = this.size
    while (this.look({ waiting: 1 }) === before);
  }
}

test('a group grows by one after two looks in a row at which requests wait, and says so', () => {
  const group = new Group(2)

  const sizes = [1, 1, 1, 1].map(() => group.look({ waiting: 7 }))

  assert.deepEqual(sizes, [2, 3, 3, 4])
  assert.match(group.why, /7 requests wait/)
})

test('one look without pressure starts the count again', () => {
  const group = new Group(2)

  const sizes = [1, 0, 1, 0, 1].map((waiting) => group.look({ waiting }))

  assert.deepEqual(sizes, [2, 2, 2, 2, 2])
})

test('threads that are busy most of the time make a group grow though nothing waits', () => {
  const group = new Group(2)

  assert.deepEqual([group.look({ busyThreads: 1.5 }), group.look({ busyThreads: 1.5 })], [2, 2], '75 % is enough')
  assert.deepEqual([group.look({ busyThreads: 1.6 }), group.look({ busyThreads: 1.6 })], [2, 3])
  assert.match(group.why, /80 %/)
})

test('a group does not grow beyond its most, beyond memory, or before the last thread is there', () => {
  for (const limit of [{ most: 2 }, { mayGrow: false }, { ready: 1 }]) {
    const group = new Group(2)

    for (let look = 0; look < 5; look++) group.look({ waiting: 9, ...limit })

    assert.equal(group.size, 2, JSON.stringify(limit))
  }
})

test('once memory allows it a group under pressure grows at the next look', () => {
  const group = new Group(2)
  for (let look = 0; look < 5; look++) group.look({ waiting: 9, mayGrow: false })

  assert.equal(group.look({ waiting: 9 }), 3)
})

test('a calm group shrinks by one after a minute, again after another, and never below its least', () => {
  const group = new Group(4)

  const times = [group.shrinksAfterMs(), group.shrinksAfterMs(), group.shrinksAfterMs()]

  assert.deepEqual(times, [MINUTE_MS + 1000, MINUTE_MS, MINUTE_MS])
  assert.equal(group.size, 1)
  assert.equal(group.shrinksAfterMs(), Number.POSITIVE_INFINITY)
})

test('any look that is not calm starts the calm time again', () => {
  for (const stir of [{ waiting: 1 }, { busyThreads: 0.5 }]) {
    const group = new Group(2)
    for (let look = 0; look < 59; look++) group.look({})

    group.look(stir)

    assert.equal(group.shrinksAfterMs(), MINUTE_MS + 1000)
  }
})

test('a group does not shrink to where one thread fewer would be busy', () => {
  const group = new Group(2)

  group.look({ busyThreads: 0.4 })

  assert.equal(group.look({ busyThreads: 0.4 }, 2 * MINUTE_MS), 2)
})

test('a group that has to grow soon after it shrank waits twice as long each time, up to an hour', () => {
  const group = new Group(2)
  const times: number[] = []

  for (let round = 0; round < 9; round++) {
    times.push(Math.round(group.shrinksAfterMs() / MINUTE_MS))
    group.grow()
  }

  assert.deepEqual(times, [1, 2, 4, 8, 16, 32, 60, 60, 60])
})

test('growth by several threads after one shrinking counts as one mistake', () => {
  const group = new Group(2)
  group.shrinksAfterMs()

  group.grow()
  group.grow()
  group.grow()

  assert.equal(Math.round(group.shrinksAfterMs() / MINUTE_MS), 2)
})

test('growth that goes on for long after a mistake does not undo the damping', () => {
  const group = new Group(2)
  group.shrinksAfterMs()
  group.grow()

  for (let look = 0; look < 400; look++) group.look({ waiting: 1, most: group.size })
  group.grow()

  assert.equal(Math.round(group.shrinksAfterMs() / MINUTE_MS), 2)
})

test('a group that grows long after it shrank waits the usual time again', () => {
  const group = new Group(3)
  group.shrinksAfterMs()
  group.grow()
  group.shrinksAfterMs()

  group.look({ busyThreads: 1 }, 400_000)
  group.grow()

  assert.equal(Math.round(group.shrinksAfterMs() / MINUTE_MS), 1)
})

test('whatever the load, the size stays within its bounds and changes by at most one', () => {
  const look = fc.record({
    ready: fc.nat(9),
    waiting: fc.oneof(fc.constant(0), fc.nat(1000)),
    busyThreads: fc.double({ min: 0, max: 9, noNaN: true }),
    mayGrow: fc.boolean(),
    afterMs: fc.nat(200_000),
  })
  fc.assert(
    fc.property(fc.nat(4), fc.nat(4), fc.nat(4), fc.array(look, { maxLength: 80 }), (least, room, above, looks) => {
      const most = least + room
      const group = new Group(least + Math.min(room, above))
      for (const { afterMs, ...load } of looks) {
        const before = group.size
        const size = group.look({ ...load, least, most }, afterMs)
        assert.ok(size >= least && size <= most && Math.abs(size - before) <= 1)
        assert.equal(size === before, group.why === '', 'a change has a reason')
        assert.ok(size <= before || (load.mayGrow && load.ready >= before), 'it grows only where it may')
      }
    }),
    { numRuns: 1000 },
  )
})
