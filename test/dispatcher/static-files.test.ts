import assert from 'node:assert/strict'
import { utimesSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { ask, MEGABYTE, readAll, serve, writeSparse } from '../helpers/static-server.ts'

test('a file is sent with its type, length, date and tag', async (t) => {
  const served = await serve(t, { 'a.html': '<p>hä' })
  utimesSync(join(served.dir, 'root/a.html'), 1_700_000_000, 1_700_000_000)

  const answer = await ask(served, '/a.html?v=1')

  assert.equal(answer.status, 200)
  assert.equal(answer.body.toString(), '<p>hä')
  assert.equal(answer.headers['content-type'], 'text/html; charset=utf-8')
  assert.equal(answer.headers['content-length'], '6')
  assert.equal(answer.headers['last-modified'], 'Tue, 14 Nov 2023 22:13:20 GMT')
  assert.equal(answer.headers.etag, '"6-18bcfe56800"')
  assert.equal(answer.headers['accept-ranges'], 'bytes')
})

const TYPES: [name: string, type: string][] = [
  ['a.js', 'text/javascript; charset=utf-8'],
  ['a.mjs', 'text/javascript; charset=utf-8'],
  ['a.css', 'text/css; charset=utf-8'],
  ['a.txt', 'text/plain; charset=utf-8'],
  ['a.json', 'application/json; charset=utf-8'],
  ['a.svg', 'image/svg+xml'],
  ['a.wasm', 'application/wasm'],
  ['a.woff2', 'font/woff2'],
  ['a.unknown', 'application/octet-stream'],
  ['LICENSE', 'application/octet-stream'],
]

test('files have the type of their extension, text with its charset', async (t) => {
  const served = await serve(t, Object.fromEntries(TYPES.map(([name]) => [name, 'x'])))

  for (const [name, type] of TYPES) {
    assert.equal((await ask(served, `/${name}`)).headers['content-type'], type, name)
  }
})

test('a name with letters beyond ASCII, blanks and signs is found by its escaped path', async (t) => {
  const served = await serve(t, { 'ä b/c#d?e%.txt': 'yes' })

  const answer = await ask(served, '/%C3%A4%20b/c%23d%3Fe%25.txt')

  assert.equal(answer.body.toString(), 'yes')
})

test('a folder is answered with the first index that exists', async (t) => {
  const served = await serve(t, { 'index.htm': 'second', 'sub/index.html': 'sub' }, ['index.html', 'index.htm'])

  assert.equal((await ask(served, '/')).body.toString(), 'second')
  assert.equal((await ask(served, '/sub/')).body.toString(), 'sub')
})

test('a folder without an index, and every folder where no index is set, is not found', async (t) => {
  const served = await serve(t, { 'sub/a.txt': 'a' })
  const without = await serve(t, { 'index.html': 'a' }, [])

  assert.equal((await ask(served, '/sub/')).status, 404)
  assert.equal((await ask(without, '/')).status, 404)
})

test('a folder without its slash is redirected, with its escapes and its query as they were', async (t) => {
  const served = await serve(t, { 'my dir/index.html': 'x' })

  const answer = await ask(served, '/my%20dir?a=b%20c')

  assert.equal(answer.status, 301)
  assert.equal(answer.headers.location, '/my%20dir/?a=b%20c')
  assert.equal(answer.body.length, 0)
})

test('a redirect never leads to another host', async (t) => {
  const served = await serve(t, { 'evil.test/index.html': 'x', '\\evil.test/index.html': 'x' })

  assert.equal((await ask(served, '//evil.test')).headers.location, '/evil.test/')
  assert.equal((await ask(served, '/\\evil.test')).headers.location, '/evil.test/')
})

test('an empty file is an empty answer', async (t) => {
  const served = await serve(t, { 'empty.txt': '' })

  const answer = await ask(served, '/empty.txt')

  assert.equal(answer.status, 200)
  assert.equal(answer.headers['content-length'], '0')
})

test('HEAD has the head of GET and no body, and no range', async (t) => {
  const served = await serve(t, { 'a.txt': '0123456789' })
  writeSparse(join(served.dir, 'root/big.bin'), MEGABYTE)

  const small = await ask(served, '/a.txt', ['Range: bytes=0-1'], 'HEAD')
  const big = await ask(served, '/big.bin', [], 'HEAD')

  assert.deepEqual([small.status, small.headers['content-length'], small.body.length], [200, '10', 0])
  assert.deepEqual([big.status, big.headers['content-length'], big.body.length], [200, String(MEGABYTE), 0])
})

test('any other method is refused and the allowed ones are named', async (t) => {
  const served = await serve(t, { 'a.txt': 'a' })

  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PROPFIND']) {
    const answer = await ask(served, '/a.txt', ['Content-Length: 0'], method)

    assert.deepEqual([answer.status, answer.headers.allow], [405, 'GET, HEAD'], method)
  }
})

test('a connection is kept and serves one request after the other', async (t) => {
  const served = await serve(t, { 'a.txt': 'first', 'b.txt': 'second' })
  const socket = connect(served.port, '127.0.0.1')

  const lines = ['GET /a.txt HTTP/1.1', 'Host: a.test', '', 'GET /no HTTP/1.1', 'Host: a.test', '']
  socket.write([...lines, 'GET /b.txt HTTP/1.1', 'Host: a.test', 'Connection: close', '', ''].join('\r\n'))
  const text = (await readAll(socket)).toString()

  assert.deepEqual(text.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 404', 'HTTP/1.1 200'])
  assert.match(text, /\r\n\r\nfirstHTTP.*\r\n\r\nsecond$/s)
})

// ---- ranges and conditions -------------------------------------------------------------------------------------

const RANGES: [range: string, status: number, contentRange: string | undefined, body: string][] = [
  ['bytes=0-3', 206, 'bytes 0-3/10', '0123'],
  ['bytes=4-', 206, 'bytes 4-9/10', '456789'],
  ['bytes=-2', 206, 'bytes 8-9/10', '89'],
  ['bytes=8-100', 206, 'bytes 8-9/10', '89'],
  ['lines=1-2', 200, undefined, '0123456789'],
]

test('a range of a file is sent, and what is no range is the whole file', async (t) => {
  const served = await serve(t, { 'a.txt': '0123456789' })

  for (const [range, status, contentRange, body] of RANGES) {
    const answer = await ask(served, '/a.txt', [`Range: ${range}`])

    assert.deepEqual(
      [answer.status, answer.headers['content-range'], answer.body.toString()],
      [status, contentRange, body],
    )
  }
})

test('a range beyond the end is refused with the length', async (t) => {
  const served = await serve(t, { 'a.txt': '0123456789' })

  const answer = await ask(served, '/a.txt', ['Range: bytes=10-'])

  assert.deepEqual([answer.status, answer.headers['content-range']], [416, 'bytes */10'])
})

test('a range in the middle of a streamed file has the right bytes', async (t) => {
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) % 251))
  const served = await serve(t, { 'a.bin': bytes })

  const answer = await ask(served, '/a.bin', ['Range: bytes=100001-250000'])

  assert.equal(answer.status, 206)
  assert.ok(answer.body.equals(bytes.subarray(100_001, 250_001)))
})

test('a client that has the file is told so', async (t) => {
  const served = await serve(t, { 'a.txt': 'a' })
  const { etag, 'last-modified': modified } = (await ask(served, '/a.txt')).headers

  const byTag = await ask(served, '/a.txt', [`If-None-Match: ${etag}`])
  const byDate = await ask(served, '/a.txt', [`If-Modified-Since: ${modified}`])
  const failed = await ask(served, '/a.txt', ['If-Match: "other"'])

  assert.deepEqual([byTag.status, byTag.body.length, byTag.headers.etag], [304, 0, etag])
  assert.equal(byTag.headers['content-type'], undefined)
  assert.equal(byDate.status, 304)
  assert.equal(failed.status, 412)
})
