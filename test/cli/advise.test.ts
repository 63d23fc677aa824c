import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { AdviceReport } from '../../src/advice/report.ts'
import { syntheticLog } from '../advice/synthetic-log.ts'
import { COMMAND, startBox } from '../helpers/box.ts'
import { makeFolder } from '../helpers/folder.ts'
import { makeConfig, vhostel } from './command.ts'

const LOG = `${syntheticLog(600).join('\n')}\n`
const HOUR = `${syntheticLog().join('\n')}\n`

test('from an access log it says what pool would do, what it could do, and which site stands out', async (t) => {
  const dir = makeFolder(t, { 'access.log': HOUR })

  const { code, stdout, stderr } = await vhostel(['advise', '--from', `${dir}/access.log`])

  assert.deepEqual([code, stderr], [0, ''])
  assert.match(
    stdout,
    /^2026-03-02 \d\d:00 to 2026-03-02 \d\d:00 \(60 min\): 94,255 requests, 26\.2\/s\n\nAs one pool\n/,
  )
  assert.match(stdout, /^ {2}share of the time +17 % +56 % +23 % +3\.8 % +0\.4 %$/m)
  assert.match(
    stdout,
    /smallest pool: \d+ process.* would have kept p99 .* \(5 threads: p99 0 ms; 4 threads: p99 5\d ms\)/,
  )
  assert.match(stdout, /^ {2}half busy: 3 threads \(2 × 69 min of work in 60 min = 2\.3\)$/m)
  assert.match(stdout, /^ {2}÷ \d+ MB a process \(without sites: an estimate\) = \d+ process(es)? at most/m)
  assert.match(stdout, /^ {2}shop\.example +21,722 +64 % +- +122 ms +557 ms +- +\d/m)
  assert.match(
    stdout,
    /^ {2}report\.example: 26 % of all time with 0\.7 % of the requests \(p99 7\.\d s\): harmless if it waits/m,
  )
})

test('the bound, the window and the share of computing change what is advised', async (t) => {
  const dir = makeFolder(t, { 'access.log': HOUR })
  const ask = async (...args: string[]): Promise<{ pools: { smallest: { threads: number }; requests: number }[] }> =>
    JSON.parse((await vhostel(['advise', '--json', '--from', `${dir}/access.log`, ...args])).stdout)

  const [usual, loose, computing, late] = await Promise.all([
    ask(),
    ask('--max-wait', '400ms'),
    ask('--cpu-share', '25%'),
    ask('--window', '10m'),
  ])

  const threads = [usual, loose, computing].map(({ pools }) => pools[0]?.smallest.threads ?? 0)
  assert.deepEqual(threads.slice(0, 2), [5, 3])
  assert.ok((threads[2] ?? 9) < 5, `${threads}`)
  assert.ok((late.pools[0]?.requests ?? 0) < 25_000)
})

test('lines that cannot be read are told with the number of the first, and the others count', async (t) => {
  const dir = makeFolder(t, {
    'access.log': `${LOG}\u001b[31mgarbage\n::1 - - [02/Mar/2026:10:20:00 +0000] "GET /" 200 1 "-" "-"\n`,
  })
  const lines = LOG.split('\n').length - 1

  const { code, stdout, stderr } = await vhostel(['advise', '--from', `${dir}/access.log`])

  assert.equal(code, 0)
  assert.ok(
    stderr.includes(
      `access.log:${lines + 1}: is neither a line of the combined log format nor JSON with known names (1 of ${(lines + 2).toLocaleString('en')} lines`,
    ),
  )
  assert.ok(stderr.includes(`access.log:${lines + 2}: has no request time; put $request_time (nginx) or %D (Apache)`))
  assert.ok(!stderr.includes('\u001b'))
  assert.match(stdout, /requests/)
})

test('a log that has no request times, or is none, is exit code 1', async (t) => {
  const dir = makeFolder(t, { 'combined.log': LOG.replaceAll(/ [\d.]+\n/g, '\n'), 'empty.log': '' })

  const combined = await vhostel(['advise', '--from', `${dir}/combined.log`])
  const empty = await vhostel(['advise', '--from', `${dir}/empty.log`])
  const missing = await vhostel(['advise', '--from', `${dir}/missing.log`])

  assert.deepEqual([combined.code, empty.code, missing.code], [1, 1, 1])
  assert.match(combined.stderr, /has no request time; .*\n.*no line could be used\n$/)
  assert.match(empty.stderr, /no line could be used/)
  assert.match(missing.stderr, /^vhostel: ENOENT: no such file or directory, open .*missing\.log/)
})

test('a log may be compressed, or come on standard input', async (t) => {
  const dir = makeFolder(t, { 'access.log': LOG, 'broken.log.gz': 'no gzip' })
  writeFileSync(`${dir}/access.log.gz`, gzipSync(LOG))

  const plain = await vhostel(['advise', '--from', `${dir}/access.log`])
  const packed = await vhostel(['advise', '--from', `${dir}/access.log.gz`])
  const broken = await vhostel(['advise', '--from', `${dir}/broken.log.gz`])
  const child = spawn(process.execPath, [...COMMAND, 'advise', '--from', '-'], { stdio: ['pipe', 'pipe', 'inherit'] })
  let piped = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    piped += text
  })
  child.stdin.end(LOG)
  await once(child, 'close')

  const withoutMemory = (text: string): string => text.replace(/^ {2}.* RAM .*\n/m, '').replace(/at most.*/, '')
  const sizes = (text: string): string => withoutMemory(text).replace(/= \d+ process(es)?/, '')
  assert.equal(sizes(packed.stdout), sizes(plain.stdout))
  assert.equal(sizes(piped), sizes(plain.stdout))
  assert.equal(broken.code, 1)
  assert.equal(
    broken.stderr,
    `vhostel: ${dir}/broken.log.gz cannot be unpacked to its end, so nothing of it was used: incorrect header check\n`,
  )
})

test('what makes no sense is wrong usage', async () => {
  const outcomes = await Promise.all(
    [
      ['--window', '1x'],
      ['--max-wait', ''],
      ['--cpu-share', '120%'],
      ['--concurrency', '0'],
      ['--time-unit', 'h'],
    ].map((args) => vhostel(['advise', '--from', '-', ...args])),
  )

  assert.deepEqual(
    outcomes.map(({ code }) => code),
    [2, 2, 2, 2, 2],
  )
  assert.match(outcomes[0]?.stderr ?? '', /"1x" is not a duration \(such as 500ms, 30s, 5m\)/)
})

test('of a running server, a site with max_threads = 1 can do what one thread can', async (t) => {
  const app = `export default async () => { await new Promise((done) => setTimeout(done, 5)); return new Response('x') }`
  const files = { 'app.mjs': app }
  const box = await startBox(
    t,
    { free: { files }, single: { files, more: '[limits]\nmax_threads = 1\n' } },
    { config: '[pool]\nprocesses = 1\nthreads = 2\nconcurrency = 1\n' },
  )
  for (const site of ['free', 'single']) for (let count = 0; count < 20; count++) await box.ask(site)

  const { code, stdout } = await vhostel(['advise', '--json', '--config', box.dir])

  const { sites } = JSON.parse(stdout) as AdviceReport
  const factors = sites.map(({ site, capacity, unlimited }) => [site, unlimited.mean / capacity.mean])
  assert.equal(code, 0)
  assert.deepEqual(Object.fromEntries(factors), { free: 1, single: 2 })
})

test('what a site costs while it is loaded is neither a wait for a thread nor a block of its requests', async (t) => {
  const app = `const until = performance.now() + 600
    while (performance.now() < until);
    export default () => new Response('x')`
  const box = await startBox(t, { heavy: { files: { 'app.mjs': app } } })
  for (let count = 0; count < 25; count++) await box.ask('heavy')

  const { stdout } = await vhostel(['advise', '--json', '--config', box.dir])

  const { sites, remarks } = JSON.parse(stdout) as AdviceReport
  const heavy = sites.find(({ site }) => site === 'heavy')
  assert.deepEqual(remarks, [])
  assert.equal(heavy?.cold.requests, 1)
  assert.ok((heavy?.cold.longestMs ?? 0) >= 600 && (heavy?.waitP99Ms ?? 600) < 300, JSON.stringify(heavy))
  assert.equal(heavy?.blockP99Ms, undefined)
})

test('with no server running it says so', async (t) => {
  const dir = makeConfig(t, {})

  const { code, stderr } = await vhostel(['advise', '--config', dir])

  assert.equal(code, 1)
  assert.match(stderr, /no server is running/)
})
