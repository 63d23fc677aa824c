import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Arrivals } from '../../src/advice/arrivals.ts'
import { fewestThreads, replay } from '../../src/advice/model.ts'
import { constant, erlangC, exponential, meanWaitMDc, meanWaitMMc, poissonArrivals, waitQuantileMMc } from './queues.ts'

const COUNT = 400_000
const SERVICE_MS = 10
/** Servers, and how much of them is busy. */
const CASES = [
  [1, 0.5],
  [1, 0.8],
  [2, 0.7],
  [4, 0.5],
  [4, 0.8],
  [16, 0.85],
] as const

function isClose(found: number, expected: number, share: number, what: string): void {
  assert.ok(Math.abs(found - expected) <= share * expected, `${what}: ${found} instead of ${expected}`)
}

test('the formulas are those of the tables', () => {
  isClose(erlangC(1, 0.5), 0.5, 1e-9, 'M/M/1 waits as often as it is busy')
  isClose(erlangC(2, 1), 1 / 3, 1e-9, 'M/M/2')
  isClose(erlangC(10, 8), 0.4092, 1e-3, 'M/M/10 of the tables')
  isClose(meanWaitMDc(1, 0.8), 0.8 / (2 * 0.2), 1e-6, 'M/D/1 by Pollaczek and Khinchine')
  for (const [servers, busy] of [
    [2, 0.8],
    [4, 0.8],
    [16, 0.85],
  ] as const) {
    const more = ((1 - busy) * (servers - 1) * (Math.sqrt(4 + 5 * servers) - 2)) / (16 * busy * servers)
    const cosmetatos = 0.5 * (1 + more) * meanWaitMMc(servers, servers * busy)
    isClose(meanWaitMDc(servers, servers * busy), cosmetatos, 0.01, `M/D/${servers} by the approximation of Cosmetatos`)
  }
})

for (const [servers, busy] of CASES) {
  const load = servers * busy
  const rate = load / SERVICE_MS

  test(`M/M/${servers}, ${busy * 100} % busy: mean, share and p99 of the waits are those of Erlang C`, () => {
    const arrivals = poissonArrivals(COUNT, rate, exponential(SERVICE_MS), 11)

    const { histogram, queued } = replay(arrivals, { threads: servers, concurrency: 1, cores: 1 })

    isClose(queued, erlangC(servers, load), 0.02, 'queued')
    isClose(histogram.meanMs, SERVICE_MS * meanWaitMMc(servers, load), 0.04, 'mean')
    isClose(histogram.quantile(0.99), SERVICE_MS * waitQuantileMMc(servers, load, 0.99), 0.05, 'p99')
  })

  test(`M/D/${servers}, ${busy * 100} % busy: the mean wait is Crommelin's`, () => {
    const arrivals = poissonArrivals(COUNT, rate, constant(SERVICE_MS), 12)

    const { histogram } = replay(arrivals, { threads: servers, concurrency: 500, cores: 1 })

    isClose(histogram.meanMs, SERVICE_MS * meanWaitMDc(servers, load), 0.04, 'mean')
  })
}

test('processors are servers too: with threads enough, requests that compute wait for them as in M/M/c', () => {
  const arrivals = poissonArrivals(COUNT, 1.6 / SERVICE_MS, exponential(SERVICE_MS), 13)
  const computing = { ...arrivals, cpuMs: arrivals.serviceMs }

  const { histogram } = replay(computing, { threads: 64, concurrency: 500, cores: 2 })

  isClose(histogram.meanMs, SERVICE_MS * meanWaitMMc(2, 1.6), 0.04, 'mean')
})

for (const [name, service] of [
  ['of one length', constant(SERVICE_MS)],
  ['short ones and few long ones', (random: () => number) => (random() < 0.9 ? 2 : 82)],
] as const) {
  test(`processors are shared evenly: requests that compute, ${name}, wait as in M/G/1 with processor sharing`, () => {
    const arrivals = poissonArrivals(COUNT, 0.6 / SERVICE_MS, service, 18)
    const computing = { ...arrivals, cpuMs: arrivals.serviceMs }

    const { histogram } = replay(computing, { threads: 512, concurrency: 500, cores: 1 })

    isClose(histogram.meanMs, (SERVICE_MS * 0.6) / (1 - 0.6), 0.04, 'mean')
  })
}

test('requests that only wait on something hold a place, and no event loop', () => {
  const arrivals = poissonArrivals(COUNT, 3.2 / SERVICE_MS, exponential(SERVICE_MS), 14)
  const idle = { ...arrivals, loopMs: new Float64Array(COUNT) }

  const roomy = replay(idle, { threads: 1, concurrency: 500, cores: 1 })
  const narrow = replay(idle, { threads: 2, concurrency: 2, cores: 1 })

  assert.equal(roomy.queued, 0)
  isClose(narrow.histogram.meanMs, SERVICE_MS * meanWaitMMc(4, 3.2), 0.04, 'mean of four places')
})

test('the fewest threads are those by which the formula first keeps the bound', () => {
  const load = 6
  const arrivals = poissonArrivals(COUNT, load / SERVICE_MS, exponential(SERVICE_MS), 15)
  const maxWaitMs = 5
  let expected = load + 1
  while (SERVICE_MS * waitQuantileMMc(expected, load, 0.99) > maxWaitMs) expected++

  const found = fewestThreads(arrivals, { concurrency: 1, cores: 1, quantile: 0.99, maxWaitMs, maxThreads: 1024 })

  assert.equal(found?.threads, expected)
})

test('where no number of threads is enough, there is none', () => {
  const arrivals = poissonArrivals(20_000, 4 / SERVICE_MS, constant(SERVICE_MS), 16)
  const computing = { ...arrivals, cpuMs: arrivals.serviceMs }

  const found = fewestThreads(computing, { concurrency: 1, cores: 2, quantile: 0.99, maxWaitMs: 50, maxThreads: 100 })

  assert.equal(found, undefined)
})

test('what weighs nothing makes the queue, and is not counted', () => {
  const arrivals = poissonArrivals(1000, 2 / SERVICE_MS, constant(SERVICE_MS), 17)
  arrivals.weight.fill(0, 0, 999)

  const { histogram } = replay(arrivals, { threads: 1, concurrency: 1, cores: 1 })

  assert.equal(histogram.count, 1)
  assert.ok(histogram.maxMs > 100 * SERVICE_MS)
})

test('a site with max_threads waits as if it had those threads alone, and nobody waits behind it', () => {
  const [single, others] = [
    poissonArrivals(COUNT / 4, 0.8 / SERVICE_MS, exponential(SERVICE_MS), 13),
    poissonArrivals(COUNT / 2, 1.6 / SERVICE_MS, exponential(SERVICE_MS), 14),
  ]
  const rows = [single, others]
    .flatMap(({ atMs, serviceMs }, of) => Array.from(atMs, (at, row) => ({ at, ms: serviceMs[row] as number, of })))
    .sort((a, b) => a.at - b.at)
  const column = (value: (row: { at: number; ms: number; of: number }) => number): Float64Array =>
    Float64Array.from(rows, value)
  const arrivals = (counted: number): Arrivals => ({
    ...single,
    atMs: column(({ at }) => at),
    serviceMs: column(({ ms }) => ms),
    loopMs: column(({ ms }) => ms),
    cpuMs: new Float64Array(rows.length),
    weight: column(({ of }) => (of === counted ? 1 : 0)),
    lanes: [{ site: 'single', maxThreads: 1 }],
    lane: Int16Array.from(rows, ({ of }) => (of === 0 ? 0 : -1)),
  })
  const shape = { threads: 16, concurrency: 500, cores: 1 }

  const [ofSingle, ofOthers] = [0, 1].map((counted) => replay(arrivals(counted), shape))

  isClose(ofSingle?.queued ?? 0, erlangC(1, 0.8), 0.02, 'queued')
  isClose(ofSingle?.histogram.meanMs ?? 0, SERVICE_MS * meanWaitMMc(1, 0.8), 0.06, 'mean')
  assert.equal(ofSingle?.histogram.count, COUNT / 4)
  assert.ok((ofOthers?.queued ?? 1) < 1e-4, `others waited: ${ofOthers?.queued}`)
})
