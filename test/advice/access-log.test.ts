import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import type { AccessLogOptions, AccessLogResult } from '../../src/advice/access-log.ts'
import { readAccessLog } from '../../src/advice/access-log.ts'
import { arrivalsOf } from '../../src/advice/arrivals.ts'
import { readLogLine } from '../../src/advice/log-line.ts'
import { replay } from '../../src/advice/model.ts'
import { meanWaitMMc } from './queues.ts'
import { syntheticLog } from './synthetic-log.ts'

const AT_MS = Date.parse('2000-10-10T20:55:36Z')
const STAMP = '[10/Oct/2000:13:55:36 -0700]'
const LINE = `127.0.0.1 - frank ${STAMP} "GET /apache_pb.gif HTTP/1.0" 200 2326 "http://a.test/" "Mozilla/4.08 [en]"`
const OPTIONS: AccessLogOptions = { site: 'access', windowMs: 86_400_000, machine: { cores: 2, memoryBytes: 2 ** 34 } }

function read(lines: readonly string[] | string, options: Partial<AccessLogOptions> = {}): Promise<AccessLogResult> {
  const text = typeof lines === 'string' ? lines : `${lines.join('\n')}\n`
  return readAccessLog(Readable.from([Buffer.from(text)]), { ...OPTIONS, ...options })
}

const FORMS: Record<string, [line: string, host: string | undefined, serviceMs: number]> = {
  "nginx's $request_time behind the combined format": [`${LINE} 0.250`, undefined, 250],
  'the host in front': [`Shop.Example ${LINE} 0.250`, 'shop.example', 250],
  'vhost_combined, with a port': [`shop.example:443 ${LINE} 0.250`, 'shop.example', 250],
  'microseconds, as %D of Apache': [`${LINE} 250000`, undefined, 250],
  'a time with its name': [`${LINE} "-" urt="1.5" rt=0.250`, undefined, 250],
  'a time behind other fields': [`${LINE} "203.0.113.9, 10.0.0.1" 512 0.250 0.249`, undefined, 250],
  'a time in quotes': [`${LINE} "0.250"`, undefined, 250],
  'a time with a unit, behind a number of the request': [`${LINE} 71 "web" "http://10.0.0.1:80" 250ms`, undefined, 250],
  "a time behind nginx's $gzip_ratio": [`${LINE} "3.25" 0.250`, undefined, 250],
  "a time behind nginx's $msec": [`${LINE} 1772445617.123 0.250`, undefined, 250],
  'a time behind an HTTP version of the upstream': [`${LINE} 2.0 0.250`, undefined, 250],
  'a time behind what the client sent': [`${LINE} "9.999" 0.250`, undefined, 250],
  'a time of two decimals': [`${LINE} 1.1 0.25`, undefined, 250],
  'a time and its name in one pair of quotes': [`${LINE} "rt=0.250"`, undefined, 250],
  'a time with its name and a colon': [`${LINE} request_time:0.250`, undefined, 250],
  'a time with another name, behind that of the upstream': [`${LINE} urt=0.240 t=0.250`, undefined, 250],
  'a time with its name, in quotes': [`${LINE} uct="0.001" urt="0.240" rt="0.250"`, undefined, 250],
  'the common format': [`::1 - - ${STAMP} "GET / HTTP/1.1" 304 - 0.250`, undefined, 250],
  'quotes within the request': [`${LINE.replace('GET', 'G\\"T')} 0.250`, undefined, 250],
  'a user with a blank': [`${LINE.replace('frank', 'frank x')} 0.250`, undefined, 250],
  'ISO 8601': [`${LINE.replace(STAMP, '[2000-10-10T13:55:36-07:00]')} 0.250`, undefined, 250],
}
const JSON_FORMS: Record<string, object> = {
  "nginx's own names": {
    time_iso8601: '2000-10-10T13:55:36-07:00',
    host: 'Shop.example:8080',
    status: '200',
    request_time: '0.250',
    upstream_response_time: '0.240',
  },
  'names of Logstash': { '@timestamp': '2000-10-10T20:55:36Z', http_host: 'shop.example', request_time: 0.25 },
  'the time of the combined format': {
    time_local: '10/Oct/2000:13:55:36 -0700',
    server_name: 'shop.example',
    request_time: '0.250',
  },
  "nginx's $msec": { msec: `${AT_MS / 1000}.000`, host: '-', vhost: 'shop.example', request_time: '0.250' },
  Caddy: { level: 'info', ts: AT_MS / 1000, request: { host: 'shop.example', uri: '/' }, duration: 0.25, status: 200 },
}
for (const [form, fields] of Object.entries(JSON_FORMS)) {
  test(`it reads JSON of other servers: ${form}`, () => {
    assert.deepEqual(readLogLine(JSON.stringify(fields)), { host: 'shop.example', atMs: AT_MS, serviceMs: 250 })
  })
}

for (const [form, [line, host, serviceMs]] of Object.entries(FORMS)) {
  test(`it reads ${form}`, () => {
    assert.deepEqual(readLogLine(line), { host, atMs: AT_MS, serviceMs })
  })
}

test("the hours of another server's tunnel are not taken for work", () => {
  const line = `${LINE.replace('" 200 ', '" 101 ')} 7200.000`
  const json = JSON.stringify({ time_iso8601: '2000-10-10T20:55:36Z', status: '101', request_time: '7200.000' })

  for (const text of [line, json]) {
    const read = readLogLine(text)
    assert.equal(typeof read === 'object' && read.serviceMs, 0, text)
  }
})

test('the unit can be said', () => {
  const ms = readLogLine(`${LINE} 250`, 'ms')
  const seconds = readLogLine(`${LINE} 2`, 's')

  assert.deepEqual(
    [typeof ms === 'object' && ms.serviceMs, typeof seconds === 'object' && seconds.serviceMs],
    [250, 2000],
  )
})

test('what is wrong with a line is told apart: no line of the format, and no time in it', () => {
  assert.equal(readLogLine(LINE), 'time')
  assert.equal(readLogLine(`${LINE} -`), 'time')
  assert.equal(readLogLine(`${LINE} "3.25"`), 'time', "nginx's $gzip_ratio")
  assert.equal(readLogLine(`${LINE} 1772445617.123 urt=0.240`), 'time')
  assert.equal(readLogLine('{"time":"2000-10-10T20:55:36Z","status":200,"request_time":"-"}'), 'time')
  for (const line of [
    '',
    'x',
    '{"status":200}',
    LINE.replace('Oct', 'Okt'),
    LINE.replace('200', 'ok'),
    LINE.slice(0, 60),
  ]) {
    assert.equal(readLogLine(line), 'garbage', line)
  }
})

test('no line makes it throw, or takes long', () => {
  const alphabet = fc.constantFrom(...'a"\\ []:-./0 \u0000"é"'.split(''), STAMP, '200 5 "', ' 0.5')
  fc.assert(
    fc.property(fc.array(alphabet, { maxLength: 2000 }), (parts) => {
      readLogLine(parts.join(''))
    }),
  )
  const startedAt = performance.now()
  for (const part of ['"', '\\', ' ', '[', ']', '"\\"', '1', 'a=', ` ${STAMP} "`]) {
    readLogLine(`${LINE}${part.repeat(65_536 / part.length)}`)
    readLogLine(part.repeat(65_536 / part.length))
  }
  assert.ok(performance.now() - startedAt < 2000)
})

test('lines that are of no use are counted, and the first of each kind is told', async () => {
  const early = LINE.replace('10/Oct', '09/Oct')
  const lines = ['# rotated', `${LINE} 0.1`, LINE, 'x'.repeat(500), '', `${early} 0.1`, `${LINE} 0.2`, LINE]

  const { garbage, timeless, early: earlier, lines: count, snapshot } = await read(lines)

  assert.equal(count, 8)
  assert.deepEqual(garbage, { count: 2, first: 1, text: '# rotated' })
  assert.deepEqual([timeless.count, timeless.first], [2, 3])
  assert.deepEqual([earlier.count, earlier.first], [1, 6])
  assert.deepEqual(
    snapshot?.sites.map(({ site, service }) => [site, service.count, Math.round(service.sumMs)]),
    [['access', 2, 300]],
  )
})

test('a file that is no log gives no snapshot', async () => {
  const { snapshot, garbage } = await read('\u007fELF\u0000'.repeat(100_000))

  assert.equal(snapshot, undefined)
  assert.equal(garbage.count, 1)
  assert.equal(garbage.text.length, 121)
})

test('a log in pieces that end anywhere is the same log', async () => {
  const bytes = Buffer.from(`${syntheticLog(20).join('\r\n')}\r\n`)
  const pieces = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, index) =>
    bytes.subarray(7 * index, 7 * index + 7),
  )

  const whole = await readAccessLog(Readable.from([bytes]), OPTIONS)
  const cut = await readAccessLog(Readable.from(pieces), OPTIONS)

  assert.equal(whole.garbage.count, 0)
  assert.deepEqual(cut, whole)
})

test('sites are told apart by host, and how many requests were open at once is known by the second', async () => {
  const log = syntheticLog(600)

  const { snapshot } = await read(log)

  const sites = snapshot?.sites ?? []
  assert.deepEqual(sites.map(({ site }) => site).sort(), ['blog.example', 'report.example', 'shop.example'])
  assert.equal(
    sites.reduce((sum, { service }) => sum + service.count, 0),
    log.length,
  )
  const busyMs = snapshot?.pools[0]?.busyMs ?? []
  const openMs = busyMs.reduce((sum, ms, k) => sum + k * ms, 0)
  const serviceMs = sites.reduce((sum, { service }) => sum + service.sumMs, 0)
  assert.ok(Math.abs(openMs - serviceMs) < 0.01 * serviceMs, `${openMs} instead of ${serviceMs}`)
})

test('the moments within a second are like those of independent clients: waits are those of M/M/c', async () => {
  const lines: string[] = []
  for (const line of syntheticLog(7200)) {
    if (!line.startsWith('blog')) continue
    lines.push(line.replace(/0\.\d+$/, (text) => (Number(text) * 10).toFixed(3)))
  }

  const { snapshot } = await read(lines)

  assert.ok(snapshot !== undefined)
  const { histogram } = replay(arrivalsOf(snapshot, 'default'), { threads: 2, concurrency: 1, cores: 1 })
  const expected = 60 * meanWaitMMc(2, 1.2)
  assert.ok(Math.abs(histogram.meanMs - expected) < 0.07 * expected, `${histogram.meanMs} instead of ${expected}`)
})

test('a window is counted from the last line', async () => {
  const { snapshot } = await read(syntheticLog(3600), { windowMs: 600_000 })

  const coveredMs = (snapshot?.toMs ?? 0) - (snapshot?.fromMs ?? 0)
  assert.ok(coveredMs >= 600_000 && coveredMs < 720_000, `${coveredMs}`)
})

test('a log of more than a day is read as its last day', async () => {
  const lines = Array.from({ length: 100 }, (_, hour) => {
    const stamp = new Date(AT_MS + hour * 3_600_000).toISOString().slice(0, 19)
    return `::1 - - [${stamp}+00:00] "GET / HTTP/1.1" 200 1 "-" "-" 7.5`
  })

  const { snapshot } = await read(lines)

  assert.ok((snapshot?.toMs ?? 0) - (snapshot?.fromMs ?? 0) < 30 * 3_600_000)
  assert.ok((snapshot?.sites[0]?.service.count ?? 0) <= 30)
  const openMs = (snapshot?.pools[0]?.busyMs ?? []).reduce((sum, ms, k) => sum + k * ms, 0)
  assert.ok(openMs >= 24 * 7000 && openMs <= 30 * 7500, `${openMs}`)
})
