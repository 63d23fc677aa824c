/**
 * Sites whose answers are not as long as they say, or that try to say two things in one: what arrives on the wire.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Box } from '../helpers/box.ts'
import { DEADLINE_MS, startBox } from '../helpers/box.ts'

const NODE_SITE = `
const answers = {
  '/fine': (res) => res.end('fine'),
  '/long': (res) => { res.writeHead(200, { 'content-length': 4 }); res.end('fourHTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\nevil') },
  '/long-stream': (res) => {
    res.writeHead(200, { 'content-length': 4 })
    res.write('fo')
    const more = setInterval(() => res.write('urHTTP/1.1 200 OK\\r\\n\\r\\n'), 1)
    res.on('close', () => { clearInterval(more); console.log('stream closed') })
  },
  '/long-file': (res) => { res.writeHead(200, { 'content-length': 4 }); res.end(Buffer.alloc(1e6, 'four')) },
  '/short': (res) => { res.writeHead(200, { 'content-length': 10 }); res.end('short') },
  '/short-stream': (res) => { res.writeHead(200, { 'content-length': 10 }); res.write('short'); setTimeout(() => res.end(), 5) },
  '/empty': (res) => { res.writeHead(200, { 'content-length': 10 }); res.end() },
  '/not-modified': (res) => { res.writeHead(304, { 'content-length': 10 }); res.end() },
  '/none': (res) => { res.writeHead(204, { 'content-length': 10 }); res.end('what') },
  '/two': (res) => { res.writeHead(200, ['Content-Length', '4', 'Content-Length', '5']); res.end('four') },
  '/text': (res) => { res.writeHead(200, { 'content-length': 'four' }); res.end('four') },
  '/both': (res) => { res.writeHead(200, ['Transfer-Encoding', 'identity', 'Content-Length', '4']); res.end('four') },
  '/gzip': (res) => { res.writeHead(200, { 'Transfer-Encoding': 'gzip, chunked' }); res.end('four') },
  '/not-final': (res) => { res.writeHead(101, { connection: 'upgrade', upgrade: 'x' }); res.end() },
  '/split': (res) => { res._header = 'HTTP/1.1 200 OK\\r\\nA: b\\nInjected: 1\\r\\n\\r\\n'; res.end('split') },
  '/split-name': (res) => { res._header = 'HTTP/1.1 200 OK\\r\\nA b: c\\r\\n\\r\\n'; res.end('split') },
  '/hints': (res) => { res.socket.write('HTTP/1.1 103 Early Hints\\r\\nLink: <a\\nInjected: 1>; rel=preload\\r\\n\\r\\n'); res.end('hints') },
  '/bad-hints': (res) => { res.socket.write('HTTP/1.1 103 Early Hints\\r\\nLink: nonsense\\r\\n\\r\\n'); res.end('hints') },
  '/trailers': (res) => { res.writeHead(200, { trailer: 'T' }); res.write('body'); res._trailer = 'T: a\\nInjected: 1\\r\\n'; res.end() },
  '/raw': (res) => { res.flushHeaders(); res.socket.write('HTTP/1.1 200 OK\\r\\n\\r\\nevil'); res.end() },
}
module.exports = (req, res) => answers[req.url](res)`

const FETCH_SITE = `export default {
  fetch: (request) => new URL(request.url).pathname === '/long'
    ? new Response('fourteen bytes', { headers: { 'content-length': '4' } })
    : new Response(new ReadableStream({ start(c) { c.enqueue(Buffer.from('short')); c.close() } }), { headers: { 'content-length': '10' } }),
}`

/** Everything that one connection gives for these requests, and whether the server ended it before the last was answered. */
async function onOneConnection(box: Box, host: string, ...requests: string[]): Promise<string> {
  const socket = connect(box.port, '127.0.0.1')
  const deadline = setTimeout(() => socket.destroy(new Error(`nothing more came: ${text}`)), DEADLINE_MS)
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') throw error
  })
  for (const [index, line] of requests.entries()) {
    const isLast = index === requests.length - 1
    socket.write(`${line} HTTP/1.1\r\nHost: ${host}.test\r\n${isLast ? 'Connection: close\r\n' : ''}\r\n`)
  }
  await once(socket, 'close')
  clearTimeout(deadline)
  return text
}

/** Status lines and bodies of what came, in order. */
function answers(text: string): string[] {
  return text.split(/(?=HTTP\/1\.1 \d)/).map((one) => `${one.slice(9, 12)} ${one.slice(one.indexOf('\r\n\r\n') + 4)}`)
}

function box(t: TestContext): Promise<Box> {
  return startBox(t, { node: { files: { 'main.cjs': NODE_SITE } }, fetch: { files: { 'main.mjs': FETCH_SITE } } })
}

test('an answer never has more or fewer bytes than it announced, and its connection is safe for the next', async (t) => {
  const server = await box(t)

  for (const path of ['/long', '/long-stream', '/long-file']) {
    const text = await onOneConnection(server, 'node', `GET ${path}`, 'GET /fine')
    assert.deepEqual(answers(text), ['200 four', '200 fine'], path)
  }
  for (const [path, body] of [
    ['/short', 'short'],
    ['/short-stream', 'short'],
    ['/empty', ''],
  ]) {
    const text = await onOneConnection(server, 'node', `GET ${path}`, 'GET /fine')
    assert.deepEqual(answers(text), [`200 ${body}`], path)
  }
  assert.deepEqual(answers(await onOneConnection(server, 'fetch', 'GET /long', 'HEAD /long')), ['200 four', '200 '])
  assert.deepEqual(answers(await onOneConnection(server, 'fetch', 'GET /short', 'GET /long')), ['200 short'])

  await server.waitFor('the site to hear of it', () => server.output.includes('stream closed'))
  assert.match(server.output, /more bytes of body than its Content-Length/)
  assert.match(server.output, /5 bytes before its Content-Length/)
})

test('answers without a body announce what they like', async (t) => {
  const server = await box(t)

  const text = await onOneConnection(
    server,
    'node',
    'HEAD /short',
    'GET /not-modified',
    'GET /none',
    'HEAD /long',
    'GET /fine',
  )

  assert.deepEqual(answers(text), ['200 ', '304 ', '204 ', '200 ', '200 fine'])
})

test('an answer that could be read as two is not sent, and the front goes on', async (t) => {
  const server = await box(t)

  for (const path of ['/two', '/text', '/gzip', '/not-final', '/split', '/split-name']) {
    const reply = await server.ask('node', path)
    assert.equal(reply.status, 502, path)
    assert.equal(reply.headers.injected, undefined)
  }
  assert.equal((await server.ask('node', '/both')).text, 'four')
  assert.equal((await server.ask('node', '/hints')).status, 502)
  assert.deepEqual(answers(await onOneConnection(server, 'node', 'GET /bad-hints')), ['200 hints'])
  assert.equal((await server.ask('node', '/trailers')).status, 502)
  assert.match(
    await onOneConnection(server, 'node', 'GET /raw'),
    /\r\n\r\n1d?[0-9a-f]*\r\nHTTP\/1\.1 200 OK\r\n\r\nevil\r\n0\r\n\r\n$/,
  )
  assert.equal((await server.ask('node', '/fine')).text, 'fine')
  assert.doesNotMatch(server.output, /thread ended|not a frame/)
})
