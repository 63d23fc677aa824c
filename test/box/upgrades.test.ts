/**
 * Answers to upgrades, which a site's own code writes to the connection: what holds for every answer holds for them, and
 * nothing that the client sent ahead is lost.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import type { Box } from '../helpers/box.ts'
import { DEADLINE_MS, startBox } from '../helpers/box.ts'

const OWN_LINES = 'X-Powered-By: me\r\nx-frame-options: SAMEORIGIN\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n'

/** Switches to a protocol that says hello, and then what it hears, or refuses to. */
function answerUpgrade({ url }: IncomingMessage, socket: Duplex): void {
  const isRefused = url === '/no'
  const switched = '101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade'
  socket.on('error', () => {})
  socket.write(`HTTP/1.1 ${isRefused ? '403 Forbidden\r\nContent-Length: 2' : switched}\r\n${OWN_LINES}`)
  if (isRefused) return void socket.end('no')
  socket.write('hello ')
  socket.pipe(socket)
}

const UPGRADER = `
const OWN_LINES = ${JSON.stringify(OWN_LINES)}
require('node:http').createServer().on('upgrade', ${answerUpgrade}).listen(3000)`

function upgrade(box: Box, site: string, path: string): Socket {
  const socket = connect(box.port, '127.0.0.1').setEncoding('latin1')
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${site}.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nbye`)
  return socket
}

/** All that a connection gives until the server ends it. */
async function textOf(socket: Socket): Promise<string> {
  let text = ''
  const late = setTimeout(() => socket.destroy(new Error(`still open, after: ${text}`)), DEADLINE_MS)
  for await (const part of socket) text += part
  clearTimeout(late)
  return text
}

test('the headers of a site are in its answers to upgrades', async (t) => {
  const server = createServer().on('upgrade', answerUpgrade).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const more = '[headers]\nX-Frame-Options = DENY\nX-Powered-By =\n'
  const box = await startBox(t, {
    module: { files: { 'site.cjs': UPGRADER }, more },
    upstream: { ini: `[site]\ndomains = upstream.test\nupstream = http://127.0.0.1:${port}\n${more}` },
  })

  const outcomes = { '/': 'HTTP/1.1 101 Switching Protocols', '/no': 'HTTP/1.1 403 Forbidden' }
  for (const site of ['module', 'upstream']) {
    for (const [path, first] of Object.entries(outcomes)) {
      const socket = upgrade(box, site, path)
      socket.once('data', () => socket.end())
      const text = await textOf(socket)
      const [head = '', rest] = text.split('\r\n\r\n')
      assert.ok(head.startsWith(`${first}\r\n`) && head.includes('\r\nSet-Cookie: a\r\nSet-Cookie: b'), text)
      assert.match(head, /\r\nX-Frame-Options: DENY(?:\r\n|$)/)
      assert.doesNotMatch(head, /X-Powered-By|SAMEORIGIN/)
      assert.equal(rest, path === '/' ? 'hello bye' : 'no')
    }
  }
})

test('a client that has ended its half before its upgrade is answered gets the answer, and its end is heard', async (t) => {
  const box = await startBox(t, { module: { files: { 'site.cjs': UPGRADER } } })
  // Of a site that has to be loaded first, and of one that is there.
  for (const when of ['cold', 'warm']) {
    const socket = upgrade(box, 'module', '/')
    socket.end()
    assert.match(await textOf(socket), /^HTTP\/1\.1 101 [\s\S]*\r\n\r\nhello bye$/, when)
  }
})

test('a client that goes on sending gets the whole refusal, and no reset', async (t) => {
  const refusing = `
    require('node:http').createServer().on('upgrade', (req, socket) => {
      socket.on('error', () => {}).once('finish', () => socket.destroy())
      socket.end('HTTP/1.1 401 Unauthorized\\r\\nContent-Length: 2\\r\\n\\r\\nno')
    }).listen(3000)`
  const box = await startBox(t, { module: { files: { 'site.cjs': refusing } } })
  for (let turn = 0; turn < 20; turn++) {
    const socket = upgrade(box, 'module', '/')
    const sending = setInterval(() => socket.write('more'.repeat(8_000)), 1)
    socket.once('end', () => clearInterval(sending)).once('close', () => clearInterval(sending))
    // A reset is an error of the socket, and is thrown.
    assert.equal(await textOf(socket), 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno')
  }
})
