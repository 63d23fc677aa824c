/** The cache of a site before somebody who answers in its place, over a real socket. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Visit } from '../../src/dispatcher/visit.ts'
import { serveCached } from '../helpers/cached-page.ts'

test('a range is for GET alone: HEAD shows the whole', async (t) => {
  const ask = await serveCached(t, ({ res }) => res.writeHead(200, { 'cache-control': 'max-age=60' }).end('0123456789'))
  await ask()

  const head = await ask({ range: 'bytes=0-3' }, 'HEAD')
  const part = await ask({ range: 'bytes=0-3' })

  assert.deepEqual([head.status, head.headers['content-length']], [200, '10'])
  assert.deepEqual([part.status, part.text, part.headers['content-range']], [206, '0123', 'bytes 0-3/10'])
})

test('a clock that is set back makes no answer good for longer', async (t) => {
  let count = 0
  const ask = await serveCached(t, ({ res }) => {
    res.writeHead(200, { 'cache-control': 'max-age=60', age: '59' }).end(`page ${++count}`)
  })
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const first = await ask()
  assert.match(String((await ask()).headers['cache-status']), /^vhostel; hit/)

  t.mock.timers.setTime(Date.now() - 86_400_000)
  const deadline = performance.now() + 10_000
  let reply = first
  while (reply.text === 'page 1' && performance.now() < deadline) reply = await ask()

  assert.equal(reply.text, 'page 2')
  assert.equal(reply.headers['cache-status'], 'vhostel; fwd=stale; stored')
})

test('an answer grows old while the machine sleeps, when the steady clock stands', async (t) => {
  let count = 0
  const ask = await serveCached(t, ({ res }) =>
    res.writeHead(200, { 'cache-control': 'max-age=60' }).end(`page ${++count}`),
  )
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  await ask()

  t.mock.timers.setTime(Date.now() + 61_000)

  assert.equal((await ask()).text, 'page 2')
})

test('what an answer varies by is told apart by name, also where it was another name before', async (t) => {
  const ask = await serveCached(t, ({ req, res }) => {
    const by = req.headers['x-mode'] === 'theme' ? 'x-theme' : 'x-tongue'
    res.writeHead(200, { 'cache-control': 'max-age=60', vary: by }).end(`${by}: ${req.headers[by]}`)
  })

  assert.equal((await ask({ 'x-tongue': 'one' })).text, 'x-tongue: one')
  assert.equal((await ask({ 'x-tongue': 'two', 'x-theme': 'two', 'x-mode': 'theme' })).text, 'x-theme: two')
  const other = await ask({ 'x-theme': 'one', 'x-mode': 'theme' })

  assert.equal(other.text, 'x-theme: one')
})

test('a client that wants a part of what is stale has all of it fetched anew', async (t) => {
  let count = 0
  const ask = await serveCached(t, ({ res }) => {
    res.writeHead(200, { 'cache-control': 'max-age=1, stale-while-revalidate=60', age: '2' }).end(`page ${++count}`)
  })
  assert.equal((await ask()).text, 'page 1')

  const part = await ask({ range: 'bytes=0-3' })
  assert.deepEqual([part.status, part.text], [206, 'page'])
  // Each of these asks for the next one; what it is given is what the one before has fetched.
  assert.equal((await ask()).text, 'page 2')
  assert.equal((await ask()).text, 'page 3')
})

test('several ranges of what is stored are one answer of several parts', async (t) => {
  const ask = await serveCached(t, ({ res }) => {
    res.writeHead(200, { 'cache-control': 'max-age=60', 'content-type': 'text/x' }).end('0123456789')
  })
  await ask()

  const { status, headers, text } = await ask({ range: 'bytes=0-1, -2' })
  const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(headers['content-type'] ?? '')?.[1]

  assert.deepEqual([status, headers['content-range']], [206, undefined])
  const part = (range: string, bytes: string): string =>
    `\r\n--${boundary}\r\nContent-Type: text/x\r\nContent-Range: bytes ${range}/10\r\n\r\n${bytes}`
  assert.equal(text, `${part('0-1', '01')}${part('8-9', '89')}\r\n--${boundary}--\r\n`)
  assert.equal((await ask({ range: 'bytes=0-,0-' })).text, '0123456789')
})

test('a part that is not there may be kept by nobody', async (t) => {
  const ask = await serveCached(t, ({ res }) => {
    res.writeHead(200, { 'cache-control': 'max-age=60', etag: '"1"' }).end('0123456789')
  })
  await ask()

  for (const range of ['bytes=10-', 'bytes=one']) {
    const { status, text, headers } = await ask({ range })
    assert.deepEqual([status, text, headers['content-range']], [416, '', 'bytes */10'])
    assert.deepEqual([headers['cache-control'], headers.etag], ['no-store', undefined])
  }
})

test('where the whole may be compressed, a part of what is stored varies as the whole does', async (t) => {
  const page = 'text '.repeat(1000)
  const answer = ({ res }: Visit): void => {
    res.writeHead(200, { 'cache-control': 'max-age=60', 'content-type': 'text/plain', vary: 'x-a' }).end(page)
  }
  const ask = await serveCached(t, answer, { compresses: true })
  await ask()

  for (const range of ['bytes=0-3', 'bytes=0-3,5-8']) {
    const part = await ask({ range, 'accept-encoding': 'gzip' })
    assert.deepEqual([part.status, part.headers.vary], [206, 'x-a, Accept-Encoding'])
    assert.equal(part.headers['content-encoding'], undefined)
  }
})

test('what is stale is used where the site fails, for HEAD and for a part too', async (t) => {
  let isWell = true
  const ask = await serveCached(t, ({ res }) => {
    if (!isWell) return void res.writeHead(503, { 'content-length': 6 }).end('broken')
    res.writeHead(200, { 'cache-control': 'max-age=1, stale-if-error=60', age: '2', etag: '"1"' }).end('0123456789')
  })
  await ask()
  isWell = false

  const head = await ask({}, 'HEAD')
  const part = await ask({ range: 'bytes=0-3' })

  assert.deepEqual([head.status, head.headers['content-length'], head.text], [200, '10', ''])
  assert.deepEqual([part.status, part.text, part.headers['content-range']], [206, '0123', 'bytes 0-3/10'])
  for (const { headers } of [head, part]) {
    assert.match(String(headers['cache-status']), /fwd=stale; fwd-status=503; detail=stale-if-error/)
  }
})
