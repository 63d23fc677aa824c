import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readLogLine } from '../../src/advice/log-line.ts'
import type { AccessEntry } from '../../src/dispatcher/access-format.ts'
import { formatEntry } from '../../src/dispatcher/access-format.ts'

const TIME = Date.UTC(2026, 9, 10, 13, 55, 36, 78)

function entry(more: Partial<AccessEntry> = {}): AccessEntry {
  return {
    time: TIME,
    client: '192.0.2.7',
    site: 'shop',
    host: 'shop.example',
    port: 443,
    method: 'GET',
    target: '/a?b=c',
    httpVersion: '1.1',
    status: 200,
    bytes: 2326,
    firstByteMs: 1.23456,
    totalMs: 2,
    queueMs: 0.5,
    process: 77,
    thread: 3,
    cache: 'vhostel; hit',
    id: 'id-1',
    referer: 'http://www.example.com/',
    userAgent: 'Mozilla/4.08 [en]',
    tls: 'TLSv1.3',
    isCut: false,
    reason: '',
    ...more,
  }
}

const NOTHING = {
  client: '',
  site: '',
  host: '',
  method: '',
  target: '',
  httpVersion: '',
  status: 400,
  bytes: 0,
  firstByteMs: undefined,
  totalMs: 0,
  queueMs: undefined,
  process: undefined,
  thread: undefined,
  cache: '',
  id: '',
  referer: '',
  userAgent: '',
  tls: '',
}

/** In the time zone of the machine that the test runs on. */
function commonTime(text: string): string {
  return /\[(\d{2}\/\w{3}\/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4})\]/.exec(text)?.[1] ?? ''
}

test('combined is what nginx and Apache write', () => {
  const line = formatEntry(entry(), 'combined')

  assert.equal(
    line.replace(commonTime(line), 'TIME'),
    '192.0.2.7 - - [TIME] "GET /a?b=c HTTP/1.1" 200 2326 "http://www.example.com/" "Mozilla/4.08 [en]"\n',
  )
  const [, day, month, year, time, zone] = /^(\d+)\/(\w+)\/(\d+):(\S+) (\S+)$/.exec(commonTime(line)) ?? []
  assert.equal(Date.parse(`${day} ${month} ${year} ${time} ${zone}`), TIME - 78)
})

test('vhost_combined has host and port in front, and vhostel advise knows the host', () => {
  const line = formatEntry(entry(), 'vhost_combined')

  assert.ok(line.startsWith('shop.example:443 192.0.2.7 - - ['))
  assert.equal(readLogLine(line.trimEnd()), 'time')
  assert.deepEqual(readLogLine(`${line.trimEnd()} 0.005`), { host: 'shop.example', atMs: TIME - 78, serviceMs: 5 })
})

test('timed has times, thread, id and cache status behind the combined format, and vhost_timed the host in front', () => {
  const line = formatEntry(entry(), 'timed')

  assert.equal(
    line,
    `${formatEntry(entry(), 'combined').trimEnd()} rt=0.002000 ft=0.001235 qt=0.000500 thread=77/3 id=id-1 cache="vhostel; hit"\n`,
  )
  assert.equal(formatEntry(entry(), 'vhost_timed'), `shop.example:443 ${line}`)
  assert.match(formatEntry(entry(NOTHING), 'timed'), / rt=0\.000000 ft=- qt=- thread=- id=- cache="-"\n$/)
})

test('vhostel advise reads its own logs: the time that a thread had the request, without its wait', () => {
  const hit = { host: 'shop.example', serviceMs: 1.5 }

  assert.deepEqual(readLogLine(formatEntry(entry(), 'vhost_timed').trimEnd()), { ...hit, atMs: TIME - 78 })
  assert.deepEqual(readLogLine(formatEntry(entry(), 'json').trimEnd()), { ...hit, host: 'shop', atMs: TIME })
  const tunnel = entry({ status: 101, totalMs: 3_600_000, firstByteMs: 2 })
  assert.deepEqual(readLogLine(formatEntry(tunnel, 'vhost_timed').trimEnd()), { ...hit, atMs: TIME - 78 })
  assert.deepEqual(readLogLine(formatEntry(tunnel, 'json').trimEnd()), { ...hit, host: 'shop', atMs: TIME })
})

test('what reached no thread is nothing for a pool', () => {
  const file = entry({ process: undefined, thread: undefined, queueMs: undefined, cache: 'a "quoted" one; rt=5' })

  for (const format of ['timed', 'vhost_timed', 'json'] as const) {
    assert.equal(readLogLine(formatEntry(file, format).trimEnd()), 'elsewhere', format)
  }
})

test('JSON has everything that is known', () => {
  assert.deepEqual(JSON.parse(formatEntry(entry(), 'json')), {
    time: '2026-10-10T13:55:36.078Z',
    site: 'shop',
    host: 'shop.example',
    method: 'GET',
    target: '/a?b=c',
    protocol: 'HTTP/1.1',
    status: 200,
    bytes: 2326,
    first_byte_ms: 1.235,
    total_ms: 2,
    queue_ms: 0.5,
    process: 77,
    thread: 3,
    cache: 'vhostel; hit',
    request: 'id-1',
    client: '192.0.2.7',
    referer: 'http://www.example.com/',
    user_agent: 'Mozilla/4.08 [en]',
    tls: 'TLSv1.3',
  })
  assert.equal(JSON.parse(formatEntry(entry({ isCut: true }), 'json')).cut, true)
})

test('what is not known is a dash, or is left out', () => {
  const unknown = entry({ ...NOTHING, reason: 'HPE_INVALID_METHOD' })

  assert.match(formatEntry(unknown, 'vhost_combined'), /^-:443 - - - \[[^\]]+\] "-" 400 0 "-" "-"\n$/)
  assert.deepEqual(JSON.parse(formatEntry(unknown, 'json')), {
    time: '2026-10-10T13:55:36.078Z',
    status: 400,
    bytes: 0,
    total_ms: 0,
    reason: 'HPE_INVALID_METHOD',
  })
})

test('what could end a field or a line is escaped as nginx does', () => {
  const bad = entry({ target: '/"\\', userAgent: 'a\n127.0.0.1 - - "GET', referer: '\u001b[31m\x7f\xff' })

  const line = formatEntry(bad, 'combined')

  assert.ok(line.includes('"GET /\\x22\\x5C HTTP/1.1"'))
  assert.ok(line.endsWith('"\\x1B[31m\\x7F\\xFF" "a\\x0A127.0.0.1 - - \\x22GET"\n'))
})

test('bytes that are UTF-8 are letters in JSON', () => {
  const target = Buffer.from('/käse').toString('latin1')

  assert.equal(JSON.parse(formatEntry(entry({ target }), 'json')).target, '/käse')
  assert.ok(formatEntry(entry({ target }), 'combined').includes('"GET /k\\xC3\\xA4se HTTP/1.1"'))
})

test('a field is cut at 2,048 characters', () => {
  const long = entry({ userAgent: 'x'.repeat(100_000), target: `/${'"'.repeat(20_000)}` })

  assert.equal(JSON.parse(formatEntry(long, 'json')).user_agent, `${'x'.repeat(2048)}...`)
  assert.ok(formatEntry(long, 'combined').length < 2 * 2048 * 4)
})

test('whatever a client sends, a line is one line with the right number of fields', () => {
  const bytes = fc.string({ unit: fc.integer({ min: 0, max: 0x2029 }).map((code) => String.fromCharCode(code)) })
  const properties = fc.property(bytes, bytes, bytes, bytes, (target, referer, userAgent, host) => {
    const one = entry({ target, referer, userAgent, host })
    const [combined, json] = [formatEntry(one, 'combined'), formatEntry(one, 'json')]

    assert.match(combined, /^\S+ - - \[[^\]]+\] "GET [^"\n]* HTTP\/1\.1" 200 2326 "[^"\n]*" "[^"\n]*"\n$/)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    assert.doesNotMatch(json.slice(0, -1), /[\x00-\x1f\x7f-\x9f\u2028\u2029]/)
    assert.equal(JSON.parse(json).status, 200)
  })
  fc.assert(properties, { numRuns: 500 })
})
