import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advise } from '../../src/advice/advice.ts'
import type { MemoryUse } from '../../src/advice/memory.ts'
import { memoryUse } from '../../src/advice/memory.ts'
import type { AdviceOptions, AdviceReport } from '../../src/advice/report.ts'
import { adviceLines } from '../../src/cli/advice-text.ts'
import type { Situation } from './situations.ts'
import { MEGABYTE, recorded } from './situations.ts'

const OPTIONS: AdviceOptions = { maxWaitMs: 50, quantile: 0.99, concurrency: 500 }
const MEMORY: MemoryUse = {
  ramBytes: 8192 * MEGABYTE,
  systemBytes: 300 * MEGABYTE,
  diskCacheBytes: 900 * MEGABYTE,
  otherBytes: 1500 * MEGABYTE,
  dispatcherBytes: 70 * MEGABYTE,
  perProcessBytes: 120 * MEGABYTE,
}
const BLOG = { name: 'blog', perSecond: 40, serviceMs: 4, loopShare: 0.9, cpuShare: 0.9 }
const SHOP = { name: 'shop', perSecond: 30, serviceMs: 200, loopShare: 0.03, cpuShare: 1 }
const REPORT = { name: 'report', perSecond: 1, serviceMs: 200, loopShare: 0.95, cpuShare: 0.95 }
const WIDE = { threads: 4, processes: 2, concurrency: 500 }

function reportOf(situation: Situation, options: Partial<AdviceOptions> = {}): AdviceReport {
  return advise(recorded(situation), MEMORY, { ...OPTIONS, ...options })
}

test('the whole text of a pool with a site that waits and one that blocks', () => {
  const report = reportOf({ ...WIDE, sites: [BLOG, SHOP, { ...REPORT, block: { every: 20, forMs: 340 } }] })

  assert.equal(
    adviceLines(report).join('\n'),
    `2026-03-02 10:00 to 2026-03-02 10:10 (10 min): 42,702 requests, 71.2/s

Pool default: 2 processes × 2 threads
  threads busy                         0      1      2      3     4
  share of the time                    0.2 %  2 %    9.9 %  32 %  56 %
  share of the requests, as they came  0.2 %  1.9 %  9.7 %  32 %  57 %
  utilisation 13 %: event loops were busy for 5 min of 40 min that threads were there; half busy is the aim: there is room for more than twice as much
  processors: 0.49 of 2 in use (25 %)
  waited in the queue: median 0 ms, p99 0 ms, longest 0 ms; 0 % waited
  waited until its code ran, by the model of this pool: median 0 ms, p99 6.8 ms, longest 140 ms; 0.8 % waited
  smallest pool: 2 processes × 2 threads would have kept p99 of the wait below 50 ms (3 threads: p99 10 ms; 2 threads: p99 85 ms)
  half busy: 2 threads (2 × 5 min of work in 10 min = 1.04)
  replayed: all 42,702 requests

Memory
  8.0 GB RAM − 300 MB system − 900 MB disk cache in use − 1.5 GB other processes − 70 MB dispatcher = 5.3 GB
  ÷ 120 MB a process (measured) = 45 processes at most

Capacity in requests/s, with 4 threads, if the pool were for this site alone; worst case: every request as slow as 1 in 100 is now
  SITE               REQUESTS  BUSY   CPU   MEAN    P99     WAIT P99  MEAN CAPACITY  WORST CASE
  shop               17,870    94 %   40 %  196 ms  884 ms  0 ms      301/s          296/s
  report             628       3.4 %  35 %  199 ms  888 ms  0 ms      12.1/s         5.4/s
  blog               24,204    2.6 %  25 %  4 ms    18 ms   0 ms      655/s          310/s
  all, as mixed now                                                   288/s          168/s

What stands out
  shop: 94 % of the pool's busy time but 3.4 % of that on a processor: it waits on something; that harms nobody while only 0.3 % of the pool's places are taken
  report: blocks its thread for 340 ms at p99; \`isolation = process\``,
  )
})

test('a pool that nobody asked is not among those whose capacity is told', () => {
  const report = reportOf({ ...WIDE, sites: [BLOG] })
  const idle = report.pools.map((pool) => ({ ...pool, pool: 'shop', requests: 0 }))

  const lines = adviceLines({ ...report, pools: [...report.pools, ...idle] })

  assert.match(lines.find((line) => line.startsWith('Capacity')) ?? '', /, with 4 threads, if the pool/)
})

test('a site that waits is told to take more places only where places are scarce', () => {
  const tight = reportOf({
    threads: 2,
    processes: 2,
    concurrency: 4,
    sites: [BLOG, { ...SHOP, waitMs: 120, refused: 17 }],
  })

  assert.deepEqual(tight.remarks, [
    "shop: 97 % of the pool's busy time but 3 % of that on a processor: it waits on something; raise `concurrency` or give it `[pool shop]`",
    'shop: waited 120 ms for a thread at p99, the pool as a whole 120 ms: see what the pool would need',
    'shop: 17 of 17,884 requests found no thread in time',
  ])
  assert.equal(tight.pools[0]?.utilisation?.of, 'places')
})

test('a site that computes much is found among those that do not', () => {
  const hash = { name: 'hash', perSecond: 12, serviceMs: 60, loopShare: 1, cpuShare: 1 }
  const { remarks, sites } = reportOf({ ...WIDE, sites: [BLOG, SHOP, hash] })

  const cpu = Object.fromEntries(sites.map(({ site, cpuShare = 0 }) => [site, cpuShare]))
  const real = { hash: 0.7, shop: 0.175, blog: 0.126 }
  for (const [site, share] of Object.entries(real))
    assert.ok(Math.abs((cpu[site] ?? 0) - share) < 0.15, `${site} ${cpu[site]}`)
  assert.match(remarks.join('\n'), /^hash: computes for 2\d\d ms at p99, .*`isolation = process`$/m)
  assert.match(
    remarks.join('\n'),
    /^hash: \d\d % of the pool's processor time with 15 % of its requests; give it `\[pool hash\]`/m,
  )
})

test('where the processors are the limit, no number of threads is advised', () => {
  const hash = { name: 'hash', perSecond: 35, serviceMs: 60, loopShare: 1, cpuShare: 1 }
  const report = reportOf({ ...WIDE, sites: [hash] })

  assert.equal(report.pools[0]?.smallest, undefined)
  assert.match(
    adviceLines(report).join('\n'),
    /no number of threads .* 2\.\d+ of 2 processors are busy, more threads do not/,
  )
})

test('capacity is the number of threads by the time that a request holds one', () => {
  const all = { name: 'blog', perSecond: 20, serviceMs: 50, loopShare: 1, cpuShare: 0.001 }
  const { sites, capacity, pools } = reportOf({ ...WIDE, sites: [all] })

  const [site] = sites
  assert.ok(Math.abs((site?.capacity.mean ?? 0) - 4000 / (site?.service.meanMs ?? 1)) < 0.5)
  assert.ok(Math.abs((site?.capacity.worst ?? 0) - 4000 / (site?.service.p99Ms ?? 1)) < 0.5)
  assert.ok(Math.abs(capacity.mean - (site?.capacity.mean ?? 0)) < 1e-9)
  assert.ok(Math.abs((pools[0]?.utilisation?.share ?? 0) - 0.25) < 0.02)
})

test('a stricter bound needs more threads', () => {
  const site = { name: 'blog', perSecond: 60, serviceMs: 40, loopShare: 1, cpuShare: 0.1 }
  const sizes = [500, 50, 5].map(
    (maxWaitMs) => reportOf({ ...WIDE, sites: [site] }, { maxWaitMs }).pools[0]?.smallest?.threads,
  )

  const [loose = 0, usual = 0, strict = 0] = sizes
  assert.ok(loose >= 3 && loose < usual && usual < strict, `${sizes}`)
})

test('the memory ceiling is what nobody else has, by what a process takes', () => {
  const { memory } = reportOf({ ...WIDE, sites: [BLOG] })

  assert.equal(memory?.leftBytes, (8192 - 300 - 900 - 1500 - 70) * MEGABYTE)
  assert.equal(memory?.processes, 45)
})

test('a pool that may take less memory than there is has a ceiling of its own', () => {
  const snapshot = recorded({ ...WIDE, sites: [BLOG] })
  const pools = snapshot.pools.map((pool) => ({ ...pool, memoryBytes: 250 * MEGABYTE }))

  const lines = adviceLines(advise({ ...snapshot, pools }, MEMORY, OPTIONS))

  assert.ok(lines.includes('  `[pool] memory` 250 MB ÷ 120 MB = 2 processes at most'), lines.join('\n'))
})

test('in a cgroup the limit counts, and what the rest of the machine does does not', () => {
  const snapshot = recorded({ ...WIDE, sites: [BLOG] })
  const limited = { ...snapshot, machine: { cores: 2, memoryBytes: 1000 * MEGABYTE } }

  const { memory } = advise(limited, MEMORY, OPTIONS)

  assert.deepEqual([memory?.limitBytes, memory?.leftBytes, memory?.processes], [1000 * MEGABYTE, 930 * MEGABYTE, 7])
})

test('the figures of memory are read from what the kernel says', () => {
  const meminfo = `MemTotal:       24683912 kB
MemFree:        22858796 kB
Buffers:           51660 kB
Cached:          1178504 kB
Active(file):     234716 kB
AnonPages:        900000 kB
Shmem:              8192 kB
SUnreclaim:        20000 kB
KernelStack:        3000 kB
PageTables:         2000 kB
Percpu:             1000 kB
`

  const use = memoryUse(meminfo, [200 * MEGABYTE, 100 * MEGABYTE], 50 * MEGABYTE)

  assert.deepEqual(use, {
    ramBytes: 24_683_912 * 1024,
    systemBytes: 26_000 * 1024,
    diskCacheBytes: 234_716 * 1024,
    otherBytes: (900_000 + 8192) * 1024 - 350 * MEGABYTE,
    dispatcherBytes: 50 * MEGABYTE,
    perProcessBytes: 150 * MEGABYTE,
  })
})

test('without a request there is nothing to go by, and it says so', () => {
  const report = reportOf({ ...WIDE, sites: [] })

  assert.match(adviceLines(report).join('\n'), /: 0 requests, 0\/s\nNothing to go by yet/)
})

test('the longest of a hundred requests decides what a site blocks, so a block in a thousand is none', () => {
  const seldom = reportOf({ ...WIDE, sites: [{ ...BLOG, block: { every: 1000, forMs: 340 } }] })
  const often = reportOf({ ...WIDE, sites: [{ ...BLOG, block: { every: 20, forMs: 340 } }] })

  assert.equal(seldom.sites[0]?.blockP99Ms, 0)
  assert.ok(Math.abs((often.sites[0]?.blockP99Ms ?? 0) - 340) < 20)
  assert.deepEqual([seldom.remarks.length, often.remarks.length], [0, 1])
})

test('a site that is alone in its pool is not told to leave it', () => {
  const { remarks } = reportOf({ ...WIDE, sites: [{ ...REPORT, block: { every: 20, forMs: 340 } }] })

  assert.deepEqual(remarks, [
    'report: blocks its thread for 340 ms at p99; it is alone in its pool, so no other site waits for that',
  ])
})

test('requests that waited for their site to be loaded are no reason for more threads, but for `preload`', () => {
  const rare = { name: 'rare', perSecond: 0.1, serviceMs: 4, loopShare: 0.9, cpuShare: 0.9 }
  const cold = (requests: number) => ({ ...rare, cold: { requests, waitMs: 700 } })

  const [often, once, kept] = [cold(12), cold(1), { ...cold(12), preload: true as const }].map((site) =>
    reportOf({ ...WIDE, sites: [BLOG, site] }),
  )

  const requests = often?.sites.find(({ site }) => site === 'rare')?.requests
  const found = `12 of ${requests} requests came while it was not loaded, and waited for that, 700 ms at most`
  assert.deepEqual(often?.remarks, [`rare: ${found}; \`preload = yes\` keeps it loaded`])
  assert.deepEqual([once?.remarks, kept?.remarks], [[], []])
  assert.equal(often?.pools[0]?.waits?.maxMs, 0)
})

test('a site that waits behind its own blocks is told so', () => {
  const report = reportOf({ ...WIDE, sites: [BLOG, { ...REPORT, waitMs: 300, block: { every: 20, forMs: 340 } }] })

  assert.match(
    report.remarks.join('\n'),
    /^report: waited \d+ ms .*: behind its own requests, which block the thread$/m,
  )
})

test('a report is JSON', () => {
  const report = reportOf({ ...WIDE, sites: [BLOG, SHOP] })

  const again: AdviceReport = JSON.parse(JSON.stringify(report))

  assert.deepEqual(adviceLines(again), adviceLines(report))
})

const CHAT = { name: 'chat', perSecond: 18, serviceMs: 40, loopShare: 1, cpuShare: 0.1 }

test('a site with max_threads is reckoned with no more threads than those', () => {
  const [free, single] = [CHAT, { ...CHAT, maxThreads: 1 }].map((chat) => reportOf({ ...WIDE, sites: [BLOG, chat] }))
  const site = (report: AdviceReport | undefined) => report?.sites.find((one) => one.site === 'chat')

  const [ofFree, ofSingle] = [site(free)?.capacity.mean ?? 0, site(single)?.capacity.mean ?? 0]

  assert.ok(Math.abs(ofFree / 4 - ofSingle) < 0.1, `${ofFree} ${ofSingle}`)
  // Of 58 requests a second 18 are its: at its own limit, the whole has reached its end, whatever is left of the pool.
  const share = (site(single)?.requests ?? 0) / (single?.pools[0]?.requests ?? 1)
  assert.ok(Math.abs((single?.capacity.mean ?? 0) - ofSingle / share) < 0.5, `${single?.capacity.mean}`)
  assert.deepEqual([site(free)?.maxThreads, site(single)?.maxThreads], [undefined, 1])
})

test('the waits that max_threads makes are no reason for a larger pool, and are told as what they are', () => {
  const chat = { ...CHAT, maxThreads: 1, waitMs: 300 }
  const [report, alone] = [[BLOG, chat], [chat]].map((sites) => reportOf({ ...WIDE, sites }))

  const text = adviceLines(report as AdviceReport).join('\n')

  assert.deepEqual(report?.pools[0]?.limited, ['chat'])
  assert.ok((report?.pools[0]?.smallest?.threads ?? 9) <= 3, text)
  assert.match(
    text,
    /^ {2}that is without the waits of chat: `max_threads` makes them, whatever the number of threads$/m,
  )
  assert.match(
    text,
    /^ {2}chat: waited 3\d\d ms for a thread at p99, .*: more threads in the pool would not help it, it has `max_threads = 1`$/m,
  )
  assert.match(
    adviceLines(alone as AdviceReport).join('\n'),
    /^ {2}no number of threads would have kept p99 .*: chat may not use more, by `max_threads`$/m,
  )
})
