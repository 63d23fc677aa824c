import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { RecyclingKind, RecyclingLimits, ThreadFigures } from '../../src/pool/recycling.ts'
import { nextToRecycle } from '../../src/pool/recycling.ts'

const MB = 1024 ** 2
const NONE: RecyclingLimits = {
  threadMemoryBytes: 500 * MB,
  processMemoryBytes: undefined,
  maxRequests: 0,
  maxAgeMs: 0,
}
const WELL: ThreadFigures = {
  thread: 1,
  memoryBytes: 50 * MB,
  processBytes: 200 * MB,
  descriptorShare: 0.01,
  requests: 10,
  ageMs: 3_600_000,
  sites: 3,
  idleSites: 0,
  isEmpty: false,
}

function threads(...figures: Partial<ThreadFigures>[]): ThreadFigures[] {
  return figures.map((one, index) => ({ ...WELL, thread: index + 1, ...one }))
}

/** From how many requests on a thread is recycled, as a part of the limit. */
function spreadOf(thread: number): number {
  const limit = 1_000_000
  let [low, high] = [0, 2 * limit]
  while (high - low > 1) {
    const requests = Math.floor((low + high) / 2)
    if (nextToRecycle([{ ...WELL, thread, requests }], { ...NONE, maxRequests: limit }, 0)) high = requests
    else low = requests
  }
  return high / limit
}

test('threads that are well are left alone', () => {
  assert.equal(nextToRecycle(threads({}, {}), NONE, 0), undefined)
  assert.equal(nextToRecycle([], { ...NONE, maxRequests: 1 }, MB), undefined)
})

test('of threads with too much memory the one with the most is replaced', () => {
  const next = nextToRecycle(threads({ memoryBytes: 501 * MB }, { memoryBytes: 700 * MB }, {}), NONE, 0)

  assert.equal(next?.thread, 2)
  assert.equal(next?.kind, 'memory')
  assert.match(next?.why ?? '', /700 MB.*500 MB/)
})

test('exactly its limit a thread may take', () => {
  assert.equal(nextToRecycle(threads({ memoryBytes: 500 * MB }), NONE, 0), undefined)
})

test('of a process with too much memory the largest thread is replaced, and none of another process', () => {
  const limits = { ...NONE, processMemoryBytes: 300 * MB }
  const figures = threads(
    { memoryBytes: 400 * MB },
    { processBytes: 301 * MB },
    { processBytes: 301 * MB, memoryBytes: 60 * MB },
  )

  const next = nextToRecycle(figures, limits, 0)

  assert.equal(next?.thread, 3)
  assert.equal(next?.kind, 'process memory')
  assert.match(next?.why ?? '', /301 MB.*300 MB/)
})

test('when the pool takes too much the largest thread of all is replaced', () => {
  const next = nextToRecycle(threads({}, { memoryBytes: 90 * MB }, { memoryBytes: 80 * MB }), NONE, 25 * MB)

  assert.equal(next?.thread, 2)
  assert.equal(next?.kind, 'pool memory')
  assert.match(next?.why ?? '', /25 MB/)
})

test('an empty thread and a young one give back nothing to a process or to the pool', () => {
  const limits = { ...NONE, processMemoryBytes: 100 * MB }
  const figures = threads({ isEmpty: true, memoryBytes: 400 * MB }, { ageMs: 60_000, memoryBytes: 300 * MB })

  assert.equal(nextToRecycle(figures, limits, 500 * MB), undefined)
  assert.equal(nextToRecycle([...figures, ...threads({ thread: 9 })], NONE, 500 * MB)?.thread, 9)
})

test('a thread that itself takes too much is replaced however young it is', () => {
  assert.equal(nextToRecycle(threads({ ageMs: 1, memoryBytes: 600 * MB }), NONE, 0)?.kind, 'memory')
})

test('in a process with many open descriptors the thread that did the most is replaced, unless it is empty', () => {
  const next = nextToRecycle(
    threads({ requests: 900 }, { descriptorShare: 0.51 }, { descriptorShare: 0.51, requests: 20 }),
    NONE,
    0,
  )

  assert.equal(next?.thread, 3)
  assert.equal(next?.kind, 'descriptors')
  assert.equal(
    nextToRecycle(threads({ descriptorShare: 0.3 }, { descriptorShare: 0.9, isEmpty: true }), NONE, 0),
    undefined,
  )
})

test('a thread is replaced for its requests, and for its age, only where there is such a limit', () => {
  const old = threads({ requests: 5000, ageMs: 86_400_000 })

  const requests = nextToRecycle(old, { ...NONE, maxRequests: 1000 }, 0)
  const age = nextToRecycle(old, { ...NONE, maxAgeMs: 3_600_000 }, 0)

  assert.equal(requests?.kind, 'requests')
  assert.match(requests?.why ?? '', /5000 requests \(max_requests = 1000\)/)
  assert.equal(age?.kind, 'age')
  assert.match(age?.why ?? '', /86400 s old \(max_age = 3600 s\)/)
  assert.equal(nextToRecycle(old, NONE, 0), undefined)
})

test('limits are spread between 0.8 and 1.2, evenly, and no two neighbours come together', () => {
  const spreads = Array.from({ length: 200 }, (_, thread) => spreadOf(thread))

  for (const [thread, spread] of spreads.entries()) {
    assert.ok(spread >= 0.8 && spread <= 1.2001, `${thread}: ${spread}`)
    if (thread > 0) assert.ok(Math.abs(spread - (spreads[thread - 1] ?? 0)) > 0.1, `${thread} beside its neighbour`)
  }
  const mean = spreads.reduce((sum, one) => sum + one, 0) / spreads.length
  assert.ok(Math.abs(mean - 1) < 0.01, `${mean}`)
  assert.equal(new Set(spreads).size, spreads.length)
  assert.equal(spreadOf(1_000_000), spreadOf(1_000_000), 'the same for one thread always')
})

test('of several threads beyond their limit the one that is farthest beyond goes first', () => {
  const limits = { ...NONE, maxRequests: 100 }

  const next = nextToRecycle(threads({ requests: 121 }, { requests: 500 }, { requests: 300 }), limits, 0)

  assert.equal(next?.thread, 2)
})

test('a thread that only holds sites that nobody uses is replaced', () => {
  const next = nextToRecycle(threads({}, { sites: 2, idleSites: 2 }, { sites: 1, idleSites: 1 }), NONE, 0)

  assert.equal(next?.thread, 2)
  assert.equal(next?.kind, 'idle sites')
  assert.match(next?.why ?? '', /2 of its 2 sites/)
})

test('one that also holds sites in use is replaced only where many are dropped and few loaded again', () => {
  const idle = (sites: number, idleSites: number): boolean =>
    nextToRecycle(threads({ sites, idleSites }), NONE, 0) !== undefined

  assert.equal(idle(8, 7), false, 'fewer than eight')
  assert.equal(idle(9, 8), true)
  assert.equal(idle(16, 8), true)
  assert.equal(idle(17, 8), false, 'more are used than not')
  assert.equal(idle(0, 0), false)
  assert.equal(idle(5, 0), false)
})

test('the most pressing reason comes first, whichever thread it is', () => {
  const figures = threads(
    { memoryBytes: 600 * MB },
    { processBytes: 900 * MB },
    { memoryBytes: 80 * MB },
    { descriptorShare: 0.9 },
    { requests: 9000 },
    { ageMs: 9_000_000 },
    { sites: 1, idleSites: 1 },
  )
  const limits = { ...NONE, processMemoryBytes: 800 * MB, maxRequests: 1000, maxAgeMs: 4_000_000 }
  const order: (RecyclingKind | undefined)[] = []
  const spared = { ...limits }

  order.push(nextToRecycle(figures, spared, MB)?.kind)
  spared.threadMemoryBytes = 1000 * MB
  order.push(nextToRecycle(figures, spared, MB)?.kind)
  spared.processMemoryBytes = 1000 * MB
  order.push(nextToRecycle(figures, spared, MB)?.kind)
  order.push(nextToRecycle(figures, spared, 0)?.kind)
  for (const one of figures) one.descriptorShare = 0
  order.push(nextToRecycle(figures, spared, 0)?.kind)
  spared.maxRequests = 0
  order.push(nextToRecycle(figures, spared, 0)?.kind)
  spared.maxAgeMs = 0
  order.push(nextToRecycle(figures, spared, 0)?.kind)

  assert.deepEqual(order, ['memory', 'process memory', 'pool memory', 'descriptors', 'requests', 'age', 'idle sites'])
})

test('whatever the figures, what is replaced is one of the threads, and has the reason that is told', () => {
  const figure = fc.record({
    memoryBytes: fc.nat(1000 * MB),
    processBytes: fc.nat(1000 * MB),
    requests: fc.nat(3000),
    ageMs: fc.nat(200_000),
    sites: fc.integer({ min: 20, max: 40 }),
    idleSites: fc.nat(20),
    isEmpty: fc.boolean(),
  })
  const limits = { ...NONE, processMemoryBytes: 900 * MB, maxRequests: 1000, maxAgeMs: 150_000 }
  fc.assert(
    fc.property(fc.array(figure, { maxLength: 6 }), fc.nat(2), (list, overBytes) => {
      const figures = threads(...list)
      const next = nextToRecycle(figures, limits, overBytes)
      if (next === undefined) return
      const one = figures.find(({ thread }) => thread === next.thread)
      assert.ok(one)
      const isOld = !one.isEmpty && one.ageMs > 60_000
      const holds: Record<RecyclingKind, boolean> = {
        memory: one.memoryBytes > limits.threadMemoryBytes,
        'process memory': isOld && one.processBytes > limits.processMemoryBytes,
        'pool memory': isOld && overBytes > 0,
        descriptors: !one.isEmpty && one.descriptorShare > 0.3,
        requests: one.requests > 800,
        age: one.ageMs > 120_000,
        'idle sites': one.idleSites >= 8,
      }
      assert.ok(holds[next.kind], next.kind)
    }),
  )
})
