import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GroupStatus, SiteStatus, StatusReport, ThreadStatus } from '../../src/admin/reports.ts'
import { clock, lasting } from '../../src/cli/moments.ts'
import { siteLines } from '../../src/cli/site-text.ts'
import { statusLines } from '../../src/cli/status-text.ts'
import { isWell, troublesOf } from '../../src/cli/troubles.ts'
import { VERSION } from '../../src/core/version.ts'

const NOW = new Date(2026, 10, 21, 12, 0, 0).getTime()
const GOOD_THREAD: ThreadStatus = {
  thread: 1,
  state: 'ready',
  lateSince: undefined,
  keptBy: undefined,
  inFlight: 0,
  requests: 2,
  memoryBytes: 30 * 1024 ** 2,
  sites: ['shop'],
  loading: [],
}

function group(more: Partial<GroupStatus>, thread: Partial<ThreadStatus> = {}): GroupStatus {
  const processes = [{ pid: 70, residentBytes: 200 * 1024 ** 2, threads: [{ ...GOOD_THREAD, ...thread }] }]
  return { name: 'default', size: 1, least: 1, most: 1, ready: 1, processes, ...more }
}

function site(more: Partial<SiteStatus>): SiteStatus {
  return {
    name: 'shop',
    kind: 'module',
    file: '/x/sites-enabled/shop.ini',
    domains: ['shop.test'],
    urls: ['http://shop.test/'],
    state: 'live',
    problems: [],
    shape: 'fetch',
    generation: 1,
    threads: 1,
    inFlight: 0,
    waiting: 0,
    requests: 2,
    residency: { group: 'default', quarantinedSince: undefined, releasedAt: undefined, offences: [] },
    throttledUntil: undefined,
    ...more,
  }
}

function quarantined(more: Partial<SiteStatus> = {}): SiteStatus {
  const offences = [1, 2, 3, 4].map((number) => ({
    kind: 'crashed' as const,
    text: `ended its process (exit code ${number})`,
    at: NOW - 65_000 + number * 1000,
  }))
  const residency = { group: 'site:shop', quarantinedSince: NOW - 64_000, releasedAt: NOW + 600_000, offences }
  return site({ state: 'quarantined', residency, ...more })
}

function report(sites: SiteStatus[], groups: GroupStatus[], problems: string[] = []): StatusReport {
  const pool = { processes: 1, threadsPerProcess: 1, concurrency: 500, reason: '', ready: 1, groups }
  const listen = ['http://127.0.0.1:8080']
  const about = { version: VERSION, pid: 7, startedAt: NOW - 3_600_000, configFile: '/x/vhostel.ini', listen }
  return { ...about, defaultSite: undefined, pool, sites, problems, awaitsRestart: [], logs: [] }
}

function shown(status: StatusReport): string {
  return statusLines(status, troublesOf(status, NOW), NOW).join('\n')
}

function well(status: StatusReport): boolean {
  return isWell(troublesOf(status, NOW))
}

test('a log file that cannot be written is no good news', () => {
  const status = { ...report([site({})], [group({})]), logs: ['/var/log/access.log: ENOSPC: no space left on device'] }

  assert.match(
    shown(status),
    /^1 log file cannot be written:\n {2}\/var\/log\/access\.log: ENOSPC: .*\n\nAll else is well/m,
  )
  assert.equal(well(status), false)
})

test('a server of another version than the command is spoken of, and is no trouble', () => {
  const status = { ...report([site({})], [group({})]), version: '0.0.1' }

  assert.match(shown(status), /^this command is vhostel \S+, and the server is 0\.0\.1: restart it .*\n\nAll is well/m)
  assert.equal(well(status), true)
})

test('a process that keeps ending is told with the time of its next start, and only the last offences', () => {
  const text = shown(report([quarantined({ throttledUntil: NOW + 8_000 })], [group({})]))

  assert.match(text, /^ {4}since +11:58:56 \(for 64 s\)$/m)
  assert.match(
    text,
    /^ {4}why +11:58:57 crashed: ended its process \(exit code 2\)\n {11}11:58:58 .*\n {11}11:58:59 .*$/m,
  )
  assert.match(text, /^ {11}… and 1 before: vhostel status shop$/m)
  assert.match(
    text,
    /^ {4}done +its own process keeps ending and is started again at 12:00:08 \(in 8\.0 s\); visitors get 503/m,
  )
  assert.match(text, /^All else is well: there is no other site\.$/m)
})

test('what was done follows the process: not there, being started, there', () => {
  const done = (groups: GroupStatus[]): string | undefined =>
    /^ {4}done +(.*)$/m.exec(shown(report([quarantined()], groups)))?.[1]
  const own = (pid: number | undefined): GroupStatus =>
    group({ name: 'site:shop', processes: [{ pid, residentBytes: 0, threads: [] }] })

  assert.equal(done([]), 'it gets a process of its own with its next request')
  assert.equal(done([own(undefined)]), 'a process of its own is being started for it')
  assert.equal(done([own(71)]), 'it is alone in a process of its own (pid 71)')
})

test('a quarantined site whose code fails too is told once, with both', () => {
  const text = shown(report([quarantined({ state: 'failed', problems: ['sites/shop/app.mjs:1: no'] })], [group({})]))

  assert.match(text, /^1 site is quarantined:\n {2}shop: failed\n {4}since (?:.*\n)+ {4}sites\/shop\/app\.mjs:1: no$/m)
  assert.doesNotMatch(text, /is wrong:/)
})

test('a thread that is kept for a second is wrong, one that is late for a moment or only starts is not', () => {
  const late = (ms: number, more: Partial<ThreadStatus> = {}): StatusReport =>
    report([site({})], [group({}, { lateSince: NOW - ms, keptBy: 'shop', ...more })])

  assert.deepEqual([well(late(999)), well(late(1000)), well(late(5000, { state: 'starting' }))], [true, false, true])
  assert.match(shown(late(999)), / late for less than 1 s, blocked by shop\n\nAll is well: 1 site \(1 live\)\.$/)
  assert.match(
    shown(late(3000)),
    /\n1 thread is blocked:\n {2}thread 1 of process 70 is late for 3\.0 s, blocked by shop: vhostel stack shop\n\nAll else is well/,
  )
})

test('a thread that is late because a site is being loaded says so; in the process of that site nothing is wrong with that', () => {
  const loading = { lateSince: NOW - 3000, loading: ['shop'] }
  const [shared, own] = ['default', 'site:shop'].map((name) => report([site({})], [group({ name }, loading)]))
  const other = report([site({})], [group({}, { ...loading, sites: ['blog', 'shop'], keptBy: 'blog' })])
  assert.ok(shared !== undefined && own !== undefined)

  assert.deepEqual([well(shared), well(own)], [false, true])
  assert.match(shown(shared), /\n {2}thread 1 of process 70 is late for 3\.0 s, loading shop\n/)
  assert.match(shown(own), / late for 3\.0 s, loading shop\n/)
  assert.match(shown(other), / is late for 3\.0 s, blocked by blog: vhostel stack blog\n/)
})

test('a pool with fewer threads than its least is wrong; the process of a site alone may be on its way', () => {
  const short = report([site({})], [group({ size: 3, least: 2, most: 4 })])
  const own = report([site({})], [group({}), group({ name: 'site:shop', ready: 0 })])

  assert.deepEqual([well(short), well(own)], [false, true])
  assert.match(shown(short), /^pool default: 1 thread ready \(2–4\), 3 wanted$/m)
  assert.match(shown(short), /^1 pool is too small:\n {2}pool default: only 1 of 2 threads ready; the log says why$/m)
})

test('a vhostel.ini that went wrong since the start is told', () => {
  const status = report([], [group({})], ['vhostel.ini:2: [server] listen: no'])

  assert.equal(well(status), false)
  assert.match(
    shown(status),
    /\nvhostel\.ini is wrong; the settings before serve on:\n {2}vhostel\.ini:2: .*\n\nAll else is well: no site is enabled\.$/,
  )
})

test('of many sites that are wrong the first 50 are shown and the others counted', () => {
  const sites = Array.from({ length: 60 }, (_, index) =>
    site({ name: `site${index}`, state: 'failed', problems: ['x'] }),
  )

  const text = shown(report(sites, [group({})]))

  assert.match(text, /^60 sites are wrong:$/m)
  assert.match(text, /^ {2}… and 10 more: vhostel list shows all$/m)
  assert.doesNotMatch(text, /site50/)
})

test('of one site small offences are shown though they did not convict it', () => {
  const offences = [{ kind: 'blocked' as const, text: 'kept its thread for 120\u0007 ms', at: NOW - 86_400_000 }]
  const residency = { group: 'shop', quarantinedSince: undefined, releasedAt: undefined, offences }
  const one = site({ residency })

  const text = siteLines(one, report([one], [group({ name: 'shop' })]), NOW).join('\n')

  assert.match(text, /^offences +2026-11-20 12:00:00 blocked: kept its thread for 120 {2}ms$/m)
  assert.match(text, /^lives in +pool shop\nthreads +1 of process 70: ready, 0 in flight, 1 site, 30 MB$/m)
})

test('a time of another day has its date, and a long time is told in days', () => {
  assert.equal(clock(NOW - 1000, NOW), '11:59:59')
  assert.equal(clock(NOW - 13 * 3_600_000, NOW), '2026-11-20 23:00:00')
  assert.deepEqual([-5, 999, 1000, 12 * 86_400_000].map(lasting), [
    'less than 1 s',
    'less than 1 s',
    '1.0 s',
    '12 days',
  ])
})

test('a site without the certificate that it should have is told with why, and when it is tried again', () => {
  const certificate = {
    state: 'waiting' as const,
    names: ['shop.test'],
    covered: [],
    notAfter: undefined,
    nextTryAt: NOW + 90_000,
    failures: 2,
    reasons: ['shop.test: no such host\u001b[2J (dns)', ...Array.from({ length: 6 }, (_, index) => `reason ${index}`)],
  }
  const late = { ...certificate, state: 'valid' as const, notAfter: NOW + 20 * 86_400_000, covered: ['shop.test'] }
  const waiting = report([site({ certificate }), site({ name: 'blog' })], [group({})])
  const renewing = (failures: number) => report([site({ certificate: { ...late, failures } })], [group({})])
  const good = site({ certificate: { ...late, failures: 0, reasons: [] } })

  assert.match(
    shown(waiting),
    new RegExp(
      [
        /^1 site is without the certificate that it should have:$/,
        /^ {2}shop: live$/,
        /^ {4}none yet, so the site is served without TLS; next try at 12:01:30 \(in 90 s\)$/,
        /^ {4}shop\.test: no such host.*\(dns\)$/,
      ]
        .map(({ source }) => source)
        .join('\n'),
      'm',
    ),
  )
  assert.match(shown(waiting), /^ {4}… and 2 more reasons in the log$/m)
  assert.match(shown(waiting), /All else is well: 1 site \(1 live\)/)
  assert.deepEqual([waiting, renewing(1), renewing(3)].map(well), [false, true, false])
  assert.match(
    siteLines(good, waiting, NOW).join('\n'),
    /^certificate +good, until 2026-12-11 12:00:00; renewal at 12:01:30 \(in 90 s\)$/m,
  )
})

test('of a site that another program answers for it says which program, and where it stands', () => {
  const program = { state: 'running', pid: 4711, startedAt: NOW, starts: 2, lastEnd: undefined } as const
  const none = { shape: undefined, generation: 0, threads: 0, residency: undefined }
  const command = site({ kind: 'command', program, ...none })
  const braked = site({ kind: 'command', program: { ...program, state: 'throttled', pid: undefined }, ...none })
  const lastEnd = { at: NOW - 90_000, why: 'SIGKILL' }
  const ended = site({ kind: 'command', program: { ...program, lastEnd }, ...none })
  const proxy = site({ kind: 'proxy', ...none })
  const livesIn = (one: SiteStatus): string =>
    siteLines(one, report([one], []), NOW).find((line) => line.startsWith('lives in')) ?? ''

  assert.match(livesIn(command), /^lives in +a program of its own \(4711\): running, started 2 times$/)
  assert.match(livesIn(braked), /^lives in +a program of its own: throttled, started 2 times$/)
  assert.match(livesIn(proxy), /^lives in +other servers, as its file says$/)
  assert.match(siteLines(ended, report([ended], []), NOW).join('\n'), /^last end +11:58:30 \(90 s ago\): SIGKILL$/m)
})
