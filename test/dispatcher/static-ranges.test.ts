import assert from 'node:assert/strict'
import { utimesSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { HotFiles } from '../../src/dispatcher/hot-files.ts'
import type { StaticFolder } from '../../src/dispatcher/static-folder.ts'
import type { Answer } from '../helpers/static-server.ts'
import { ask, MEGABYTE, openFilesIn, serve, until, writeSparse } from '../helpers/static-server.ts'

/** The bodies of the parts by their Content-Range, in order. */
function partsOf({ headers, body }: Answer): [range: string, type: string, body: string][] {
  const boundary = /^multipart\/byteranges; boundary=(.+)$/.exec(headers['content-type'] ?? '')?.[1]
  assert.equal(Number(headers['content-length']), body.length)
  const pieces = body.toString('latin1').split(`\r\n--${boundary}`)
  assert.equal(pieces[0], '')
  assert.equal(pieces.at(-1), '--\r\n')
  return pieces.slice(1, -1).map((piece) => {
    const [, type = '', range = '', text = ''] =
      /^\r\nContent-Type: (.*)\r\nContent-Range: bytes (.*)\r\n\r\n(.*)$/s.exec(piece) ?? []
    return [range, type, text]
  })
}

test('several ranges are sent in one answer, each with its place', async (t) => {
  const served = await serve(t, { 'a.txt': '0123456789' })

  const answer = await ask(served, '/a.txt', ['Range: bytes=0-1, -2, 4-5'])

  assert.equal(answer.status, 206)
  assert.equal(answer.headers['content-range'], undefined)
  assert.match(answer.headers.etag ?? '', /^"a-/)
  assert.deepEqual(partsOf(answer), [
    ['0-1/10', 'text/plain; charset=utf-8', '01'],
    ['8-9/10', 'text/plain; charset=utf-8', '89'],
    ['4-5/10', 'text/plain; charset=utf-8', '45'],
  ])
})

test('one range that is left of several is sent as one', async (t) => {
  const served = await serve(t, { 'a.txt': '0123456789' })

  const answer = await ask(served, '/a.txt', ['Range: bytes=0-1, 20-30'])

  assert.deepEqual(
    [answer.status, answer.headers['content-range'], answer.body.toString()],
    [206, 'bytes 0-1/10', '01'],
  )
})

test('many overlapping ranges get the file once', async (t) => {
  const served = await serve(t, { 'a.txt': '0123456789' })

  const answer = await ask(served, '/a.txt', [`Range: bytes=${Array(50).fill('0-').join(',')}`])

  assert.deepEqual([answer.status, answer.body.toString()], [200, '0123456789'])
})

test('large parts are whole, and a client that goes away between them frees the file', async (t) => {
  const bytes = Buffer.from(Array.from({ length: 400_000 }, (_, i) => (i * 7) % 251))
  const served = await serve(t, { 'a.bin': bytes })
  writeSparse(join(served.dir, 'root/big.bin'), 100 * MEGABYTE)

  const parts = partsOf(await ask(served, '/a.bin', ['Range: bytes=100-200000,200010-399999']))
  const socket = connect(served.port, '127.0.0.1').pause()
  socket.write('GET /big.bin HTTP/1.1\r\nHost: a.test\r\nRange: bytes=0-40000000,50000000-90000000\r\n\r\n')
  await until('it is being sent', () => openFilesIn(served.dir) === 1)
  socket.destroy()

  assert.deepEqual(
    parts.map(([range, , body]) => [range, Buffer.from(body, 'latin1').equals(bytes.subarray(...offsets(range)))]),
    [
      ['100-200000/400000', true],
      ['200010-399999/400000', true],
    ],
  )
  await until('the file is closed', () => openFilesIn(served.dir) === 0)
  await served.last?.done
})

function offsets(range: string): [number, number] {
  const [, start, end] = /^(\d+)-(\d+)/.exec(range) ?? []
  return [Number(start), Number(end) + 1]
}

test('HEAD takes no range, and a suffix longer than the file is the file', async (t) => {
  const served = await serve(t, { 'a.txt': '0123456789' })

  const head = await ask(served, '/a.txt', ['Range: bytes=0-1,4-5'], 'HEAD')
  const suffix = await ask(served, '/a.txt', ['Range: bytes=-99'])

  assert.deepEqual([head.status, head.headers['content-length']], [200, '10'])
  assert.deepEqual([suffix.status, suffix.headers['content-range']], [206, 'bytes 0-9/10'])
})

/** What is in memory follows the same rules as what comes from the disk. */
const MEMORIES: [where: string, settings: () => Partial<StaticFolder>][] = [
  ['from the disk', () => ({})],
  ['from memory', () => ({ memory: new HotFiles(), id: '1:' })],
]

for (const [where, settings] of MEMORIES) {
  test(`If-Range takes the very same tag or date, and nothing else, ${where}`, async (t) => {
    const served = await serve(t, { 'a.txt': '0123456789' }, [], () => {}, settings())
    utimesSync(join(served.dir, 'root/a.txt'), 1_700_000_000, 1_700_000_000)
    const { etag } = (await ask(served, '/a.txt')).headers
    const cases: [ifRange: string, status: number][] = [
      [String(etag), 206],
      ['Tue, 14 Nov 2023 22:13:20 GMT', 206],
      [`W/${etag}`, 200],
      ['"other"', 200],
      [`"other", ${etag}`, 200],
      ['Tue, 14 Nov 2023 22:13:21 GMT', 200],
      ['Tue, 14 Nov 2023 22:13:19 GMT', 200],
      ['nonsense', 200],
    ]

    for (const [ifRange, status] of cases) {
      const one = await ask(served, '/a.txt', ['Range: bytes=0-1', `If-Range: ${ifRange}`])
      const several = await ask(served, '/a.txt', ['Range: bytes=0-1,4-5', `If-Range: ${ifRange}`])

      assert.deepEqual([one.status, several.status], [status, status], ifRange)
      if (status === 200) assert.equal(one.body.toString(), '0123456789')
    }
  })
}

const DATE = 'Tue, 14 Nov 2023 22:13:20 GMT'
const LATER = 'Tue, 14 Nov 2023 22:13:21 GMT'
const EARLIER = 'Tue, 14 Nov 2023 22:13:19 GMT'

for (const [where, settings] of MEMORIES) {
  test(`conditions go before each other as RFC 9110 §13.2.2 says, tags are compared as §8.8.3.2 says, ${where}`, async (t) => {
    const served = await serve(t, { 'a.txt': '0123456789' }, [], () => {}, settings())
    utimesSync(join(served.dir, 'root/a.txt'), 1_700_000_000, 1_700_000_000)
    const { etag } = (await ask(served, '/a.txt')).headers
    const cases: [headers: string[], status: number][] = [
      [[`If-None-Match: ${etag}`], 304],
      [[`If-None-Match: W/${etag}`], 304],
      [[`If-None-Match: "x", W/"y", ${etag}`], 304],
      [['If-None-Match: *'], 304],
      [['If-None-Match: "x"'], 200],
      [['If-None-Match: x'], 200],
      [['If-None-Match: "x"', `If-Modified-Since: ${DATE}`], 200],
      [[`If-Modified-Since: ${DATE}`], 304],
      [[`If-Modified-Since: ${LATER}`], 304],
      [[`If-Modified-Since: ${EARLIER}`], 200],
      [['If-Modified-Since: nonsense'], 200],
      [[`If-Match: ${etag}`], 200],
      [['If-Match: *'], 200],
      [[`If-Match: W/${etag}`], 412],
      [[`If-Match: "x", ${etag}`], 200],
      [['If-Match: "x"'], 412],
      [['If-Match: "x"', `If-None-Match: ${etag}`], 412],
      [[`If-Unmodified-Since: ${DATE}`], 200],
      [[`If-Unmodified-Since: ${EARLIER}`], 412],
      [[`If-None-Match: ${etag}`, 'Range: bytes=0-1'], 304],
      [['If-Match: "x"', 'Range: bytes=0-1'], 412],
      [[`If-Match: ${etag}`, 'Range: bytes=0-1'], 206],
      [[`If-Match: ${etag}`, 'Range: bytes=90-'], 416],
    ]

    for (const [headers, status] of cases) {
      for (const method of ['GET', 'HEAD']) {
        const wanted = method === 'HEAD' && [206, 416].includes(status) ? 200 : status
        assert.equal((await ask(served, '/a.txt', headers, method)).status, wanted, `${method} ${headers.join('; ')}`)
      }
    }
  })
}
