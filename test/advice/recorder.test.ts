import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { randomNumbers } from '../../src/advice/access-log.ts'
import { arrivalsOf, level } from '../../src/advice/arrivals.ts'
import { unpack } from '../../src/advice/histogram.ts'
import { replay } from '../../src/advice/model.ts'
import { OTHER_SITES, Recorder } from '../../src/advice/recorder.ts'
import type { AdviceSnapshot } from '../../src/core/advice-report.ts'
import { exponential, meanWaitMMc, poissonArrivals } from './queues.ts'

const MACHINE = { cores: 2, memoryBytes: 2 ** 34 }
const HOUR_MS = 3_600_000
const UNIX_MS = 1_700_000_000_000

function snapshotOf(recorder: Recorder, nowMs: number, windowMs = 24 * HOUR_MS): AdviceSnapshot {
  return recorder.snapshot({ nowMs, windowMs, machine: MACHINE, processes: [] })
}

test('it counts the time with k busy threads, and what requests found', () => {
  const recorder = new Recorder(0, UNIX_MS)
  const pool = recorder.pool('default', 500, 0)
  const site = recorder.flow(pool, 'blog')
  const [one, two] = [recorder.thread(pool, 0), recorder.thread(pool, 0)]

  recorder.arrived(site, 100)
  recorder.started(site, one, 100)
  recorder.arrived(site, 150)
  recorder.started(site, one, 150)
  recorder.arrived(site, 200)
  recorder.started(site, two, 210)
  recorder.finished(site, one, 300, 100, 100)
  recorder.finished(site, one, 400, 150, 150)
  recorder.finished(site, two, 500, 200, 210)

  const { pools, sites, fromMs, toMs } = snapshotOf(recorder, 1000)
  assert.deepEqual([fromMs, toMs], [UNIX_MS, UNIX_MS + 1000])
  assert.deepEqual(pools, [
    { pool: 'default', concurrency: 500, threads: 2, threadMs: 2000, busyMs: [600, 210, 190], found: [1, 2] },
  ])
  assert.equal(sites.length, 1)
  assert.deepEqual([sites[0]?.arrived, sites[0]?.service.count, sites[0]?.service.sumMs], [3, 3, 740])
  assert.deepEqual([sites[0]?.wait.sumMs, sites[0]?.wait.maxMs], [10, 10])
  assert.equal(sites[0]?.loopMs, undefined)
})

test('the times with k busy threads add up to the time that passed, whatever happens', () => {
  const step = fc.record({
    what: fc.constantFrom('start', 'finish', 'gone', 'thread'),
    thread: fc.nat({ max: 3 }),
    passedMs: fc.oneof(fc.integer({ min: -5, max: 50 }), fc.integer({ min: 0, max: 300_000 })),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const recorder = new Recorder(0, 0)
      const pool = recorder.pool('default', 500, 0)
      const site = recorder.flow(pool, 'blog')
      const threads = [0, 1, 2, 3].map(() => recorder.thread(pool, 0))
      let nowMs = 0
      let latestMs = 0
      for (const { what, thread, passedMs } of steps) {
        nowMs = Math.max(0, nowMs + passedMs)
        latestMs = Math.max(latestMs, nowMs)
        const mark = threads[thread]
        if (mark === undefined) continue
        if (what === 'start') recorder.started(site, mark, nowMs)
        else if (what === 'finish') recorder.finished(site, mark, nowMs, nowMs - 1, nowMs - 1)
        else if (what === 'gone') mark.gone(nowMs)
        else threads[thread] = recorder.thread(pool, nowMs)
      }

      const [record] = snapshotOf(recorder, latestMs).pools

      const sum = record?.busyMs.reduce((total, ms) => total + ms, 0) ?? 0
      assert.ok(Math.abs(sum - latestMs) < 1e-6 * (1 + latestMs), `${sum} of ${latestMs}`)
    }),
  )
})

test('a thread that ends while it is busy is busy no more', () => {
  const recorder = new Recorder(0, 0)
  const pool = recorder.pool('default', 1, 0)
  const site = recorder.flow(pool, 'blog')
  const thread = recorder.thread(pool, 0)
  recorder.started(site, thread, 0)

  thread.gone(400)
  recorder.finished(site, thread, 500, 0, 0)

  const [record] = snapshotOf(recorder, 1000).pools
  assert.deepEqual([record?.busyMs, record?.threads, record?.threadMs], [[600, 400], 0, 400])
})

test('a window has what lies in it, and little more', () => {
  const recorder = new Recorder(0, 0)
  const pool = recorder.pool('default', 500, 0)
  const site = recorder.flow(pool, 'blog')
  const thread = recorder.thread(pool, 0)
  for (let nowMs = 0; nowMs < 10 * HOUR_MS; nowMs += 1000) {
    recorder.arrived(site, nowMs)
    recorder.started(site, thread, nowMs)
    recorder.finished(site, thread, nowMs + 5, nowMs, nowMs)
  }

  for (const windowMs of [60_000, 600_000, HOUR_MS, 5 * HOUR_MS]) {
    const snapshot = snapshotOf(recorder, 10 * HOUR_MS, windowMs)
    const coveredMs = snapshot.toMs - snapshot.fromMs
    assert.ok(coveredMs >= windowMs && coveredMs <= windowMs * 1.15 + 60_000, `${coveredMs} for ${windowMs}`)
    assert.ok(Math.abs((snapshot.sites[0]?.service.count ?? 0) - coveredMs / 1000) < 2)
    assert.ok(Math.abs((snapshot.pools[0]?.busyMs[1] ?? 0) - coveredMs / 200) < 20)
  }
})

test('what is replayed is what was counted, also where the window begins within a minute or within a stretch', () => {
  const recorder = new Recorder(0, 0)
  const flow = recorder.flow(recorder.pool('default', 500, 0), 'blog')
  const END = 299_000
  for (let nowMs = 0; nowMs < END; nowMs += 10) recorder.ended(flow, nowMs, nowMs - 5, nowMs - 5)

  for (const windowMs of [10_000, 30_000, 100_000, HOUR_MS]) {
    const snapshot = snapshotOf(recorder, END, windowMs)
    const { weight } = arrivalsOf(snapshot, 'default')

    const counted = snapshot.sites[0]?.service.count ?? 0
    const replayed = weight.reduce((sum, each) => sum + each, 0)
    assert.ok(Math.abs(replayed - counted) <= 1, `${replayed} of ${counted} in ${windowMs}`)
  }
})

test('times are told by the clock as it is now, though it was set since the start', () => {
  const recorder = new Recorder(0, 0)
  const flow = recorder.flow(recorder.pool('default', 500, 0), 'blog')
  recorder.ended(flow, 1000, 900, 900)

  const { fromMs, toMs, arrivals } = recorder.snapshot({
    nowMs: 5000,
    unixMs: UNIX_MS,
    windowMs: HOUR_MS,
    machine: MACHINE,
    processes: [],
  })

  assert.deepEqual([fromMs, toMs, arrivals[0]?.toMs], [UNIX_MS - 5000, UNIX_MS, UNIX_MS - 4000])
})

test('an hour in which nothing happened is an hour with no busy thread', () => {
  const recorder = new Recorder(0, 0)
  const pool = recorder.pool('default', 500, 0)
  recorder.thread(pool, 0)
  recorder.arrived(recorder.flow(pool, 'blog'), 10)

  const { pools, sites, fromMs } = snapshotOf(recorder, 30 * HOUR_MS, HOUR_MS)

  assert.deepEqual(sites, [])
  assert.equal(fromMs, 29 * HOUR_MS)
  assert.deepEqual(pools[0]?.busyMs, [HOUR_MS])
})

test('memory stays bounded, and the counts right, through a day of many sites', () => {
  const recorder = new Recorder(0, 0)
  const pool = recorder.pool('default', 500, 0)
  const thread = recorder.thread(pool, 0)
  const flows = Array.from({ length: 300 }, (_, index) => recorder.flow(pool, `site${index}`))
  const random = randomNumbers(3)
  const REQUESTS = 1_200_000
  const endMs = 23 * HOUR_MS
  for (let index = 0; index < REQUESTS; index++) {
    const nowMs = (endMs * index) / REQUESTS
    const flow = flows[Math.floor(random() * flows.length)]
    if (flow === undefined) continue
    recorder.arrived(flow, nowMs)
    recorder.started(flow, thread, nowMs)
    recorder.finished(flow, thread, nowMs, nowMs - 20 * random(), nowMs - 10 * random())
  }

  const snapshot = snapshotOf(recorder, endMs)

  assert.equal(
    snapshot.sites.reduce((sum, { service }) => sum + service.count, 0),
    REQUESTS,
  )
  assert.equal(
    snapshot.arrivals.reduce((sum, { represents }) => sum + represents, 0),
    REQUESTS,
  )
  assert.ok(snapshot.arrivals.length <= 130)
  assert.ok(JSON.stringify(snapshot).length < 10e6)
})

test('sites beyond the limit are counted together', () => {
  const recorder = new Recorder(0, 0)
  const pool = recorder.pool('default', 500, 0)
  for (let index = 0; index < 3000; index++) recorder.refused(recorder.flow(pool, `site${index}`), 1)

  const { sites } = snapshotOf(recorder, 10)

  assert.equal(sites.length, 2049)
  assert.equal(sites.find(({ site }) => site === OTHER_SITES)?.refused, 952)
})

test('a site in two pools has a record for each, a second handle for the same has none of its own', () => {
  const recorder = new Recorder(0, 0)
  const [shared, own] = [recorder.pool('default', 500, 0), recorder.pool('blog', 500, 0)]
  for (const pool of [shared, own, own]) recorder.refused(recorder.flow(pool, 'blog'), 1)

  const { sites } = snapshotOf(recorder, 10)

  assert.deepEqual(
    sites.map(({ pool, site, refused }) => [pool, site, refused]),
    [
      ['default', 'blog', 1],
      ['blog', 'blog', 2],
    ],
  )
})

test('blocks and memory are kept by site', () => {
  const recorder = new Recorder(0, 0)
  const site = recorder.flow(recorder.pool('default', 500, 0), 'blog')
  recorder.blocked(site, 1, 340)
  recorder.memory(site, 2, 1000)
  recorder.memory(site, 3, 500)

  const [record] = snapshotOf(recorder, 10).sites

  assert.equal(record?.memoryBytes, 1000)
  assert.deepEqual([record?.blocks.count, record?.blocks.maxMs], [1, 340])
})

test('time of event loops is divided so that it adds up, and finds out which site is dear', () => {
  const recorder = new Recorder(0, 0)
  const pool = recorder.pool('default', 500, 0)
  const threads = [recorder.thread(pool, 0), recorder.thread(pool, 0)]
  const sites = ['dear', 'cheap', 'idle'].map((name) => recorder.flow(pool, name))
  const costs = [20, 1, 1]
  const random = randomNumbers(5)
  const totals = [0, 0]
  for (let second = 0; second < 600; second++) {
    for (const [which, thread] of threads.entries()) {
      let loopMs = 0
      for (const [index, site] of sites.entries()) {
        for (let request = Math.floor(random() * 12); request > 0; request--) {
          recorder.started(site, thread, second * 1000)
          recorder.finished(site, thread, second * 1000 + 50, second * 1000, second * 1000)
          loopMs += costs[index] as number
        }
      }
      totals[which] = (totals[which] as number) + loopMs
      recorder.sampled(thread, second * 1000 + 100, loopMs, (totals[which] as number) / 2)
    }
  }

  const records = snapshotOf(recorder, 600_000).sites

  const total = totals.reduce((sum, ms) => sum + ms, 0)
  const loopMs = records.map((record) => record.loopMs ?? 0)
  assert.ok(Math.abs(loopMs.reduce((sum, ms) => sum + ms, 0) - total) < 1e-6 * total)
  const found = records.map((record) => (record.loopMs ?? 0) / record.service.count)
  for (const [index, cost] of found.entries()) {
    const real = costs[index] as number
    assert.ok(Math.abs(cost - real) < 0.1 * real + 1, `${records[index]?.site}: ${cost} instead of ${real}`)
  }
  assert.ok(Math.abs((records[0]?.cpuMs ?? 0) - (records[0]?.loopMs ?? 0) / 2) < 0.05 * total)
})

test('what a thread did without a request is given to the next one that ends there', () => {
  const recorder = new Recorder(0, 0)
  const pool = recorder.pool('default', 500, 0)
  const thread = recorder.thread(pool, 0)
  const site = recorder.flow(pool, 'blog')
  recorder.sampled(thread, 1000, 5, 5)
  recorder.started(site, thread, 1100)
  recorder.finished(site, thread, 1200, 1100, 1100)
  recorder.sampled(thread, 2000, 7, 12)

  const [record] = snapshotOf(recorder, 3000).sites
  assert.deepEqual([record?.loopMs, record?.cpuMs], [12, 12])
})

test('a request that was taken back is counted once, where it ended', () => {
  const recorder = new Recorder(0, 0)
  const pool = recorder.pool('default', 500, 0)
  const [one, two] = [recorder.thread(pool, 0), recorder.thread(pool, 0)]
  const site = recorder.flow(pool, 'blog')
  recorder.arrived(site, 0)
  recorder.started(site, one, 0)
  recorder.returned(site, one, 100)
  recorder.started(site, two, 100)
  recorder.finished(site, two, 150, 0, 100)

  const { sites, pools } = snapshotOf(recorder, 200)
  assert.deepEqual([sites[0]?.arrived, sites[0]?.service.count], [1, 1])
  assert.deepEqual([sites[0]?.service.sumMs, sites[0]?.wait.sumMs], [50, 100])
  assert.deepEqual(pools[0]?.busyMs, [50, 150])
})

test('the recorded requests give the waits of the formula again, also when most of them were not kept', () => {
  const REQUESTS = 2_000_000
  const { atMs, serviceMs } = poissonArrivals(REQUESTS, 0.14, exponential(10), 21)
  const recorder = new Recorder(0, 0)
  const flow = recorder.flow(recorder.pool('default', 1, 0), 'blog')
  const order = Uint32Array.from({ length: REQUESTS }, (_, index) => index)
  const end = (index: number): number => (atMs[index] as number) + (serviceMs[index] as number)
  order.sort((a, b) => end(a) - end(b))
  for (const index of order) recorder.ended(flow, end(index), atMs[index] as number, atMs[index] as number)

  const snapshot = snapshotOf(recorder, end(order.at(-1) as number))
  const arrivals = arrivalsOf(snapshot, 'default')
  const { histogram } = replay(arrivals, { threads: 2, concurrency: 1, cores: 1 })

  assert.ok(arrivals.atMs.length < 0.3 * REQUESTS)
  assert.ok(Math.abs(histogram.count - REQUESTS) < 0.01 * REQUESTS, `${histogram.count}`)
  const expected = 10 * meanWaitMMc(2, 1.4)
  assert.ok(Math.abs(histogram.meanMs - expected) < 0.05 * expected, `${histogram.meanMs} instead of ${expected}`)
})

test('computing is given out as the first part of each request, so that the sum is what was measured', () => {
  assert.equal(level([1, 2, 3], 2), Number.POSITIVE_INFINITY)
  assert.ok(Math.abs(level([1, 100, 1000], 7 / 3) - 3) < 1e-6)
  assert.equal(level([], 5), Number.POSITIVE_INFINITY)

  const recorder = new Recorder(0, 0)
  const pool = recorder.pool('default', 500, 0)
  const thread = recorder.thread(pool, 0)
  const flow = recorder.flow(pool, 'blog')
  for (const serviceMs of [1, 100, 1000]) {
    recorder.started(flow, thread, 0)
    recorder.finished(flow, thread, 2000, 2000 - serviceMs, 2000 - serviceMs)
  }
  recorder.sampled(thread, 2000, 7, 3.5)

  const { loopMs, cpuMs, serviceMs } = arrivalsOf(snapshotOf(recorder, 3000), 'default')

  assert.deepEqual([...serviceMs], [1000, 100, 1])
  for (const [index, ms] of [3, 3, 1].entries()) {
    assert.ok(Math.abs((loopMs[index] as number) - ms) < 0.001)
    assert.ok(Math.abs((cpuMs[index] as number) - ms / 2) < 0.001)
  }
})

test('only requests of the pool that is asked for are replayed', () => {
  const recorder = new Recorder(0, 0)
  const flows = ['default', 'shop'].map((name) => recorder.flow(recorder.pool(name, 500, 0), 'blog'))
  for (const [index, flow] of flows.entries()) {
    for (let request = 0; request <= index; request++) recorder.ended(flow, 100 + request, 50, 50)
  }

  const snapshot = snapshotOf(recorder, 1000)

  assert.equal(arrivalsOf(snapshot, 'default').atMs.length, 1)
  assert.equal(arrivalsOf(snapshot, 'shop').atMs.length, 2)
  assert.equal(unpack(snapshot.sites[1]?.service ?? { count: 0, sumMs: 0, maxMs: 0, buckets: [] }).count, 2)
})
