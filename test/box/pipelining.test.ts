/** Requests that a client sends without waiting for the answer before: their order, their limit, and what comes in between. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import type { Box } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

const APP = `module.exports = (req, res) => {
  if (req.url === '/refuse') return res.writeHead(401).end('no')
  res.end('hello')
}`
const ONE_AT_A_TIME = '[pool]\nprocesses = 1\nthreads = 1\nconcurrency = 1'

/** All that a connection gives until the server ends it. */
async function answers(box: Box, bytes: string): Promise<string> {
  const socket = connect({ port: box.port, host: '127.0.0.1', noDelay: true })
  socket.write(bytes)
  let text = ''
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part
  })
  await once(socket, 'close')
  return text
}

test('requests that are sent without waiting are answered in their order, one at a time, a hundred ahead', async (t) => {
  const box = await startBox(t, { app: { files: { 'main.cjs': APP } } }, { config: ONE_AT_A_TIME })
  const ask = (path: string) => `GET ${path} HTTP/1.1\r\nHost: app.test\r\nX: ${path}\r\n\r\n`

  const text = await answers(box, ask('/').repeat(500))
  assert.equal(text.split('HTTP/1.1 200 OK').length - 1, 101)
  assert.match(text.slice(text.lastIndexOf('HTTP/1.1')), /connection: close\r\n[\s\S]*hello$/i)

  // What is no request is refused in its turn, also in the body of the last of them.
  const chunked = 'POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n'
  for (const end of ['nonsense\r\n\r\n', `${chunked}nonsense\r\n`]) {
    const bad = await answers(box, `${ask('/')}${ask('/refuse')}${ask('/')}${end}`)
    assert.deepEqual(
      [...bad.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status),
      ['200', '401', '200', '400'],
    )
  }

  // An answer that has been written has not left its connection: who asks for it in the same packet has to wait.
  const upgrade = 'GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
  for (const first of [ask('/'), 'GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n']) {
    const behind = await answers(box, `${first}${upgrade}`)
    assert.equal([...behind.matchAll(/HTTP\/1\.1 \d+ /g)].length, 2, behind)
  }
  const connecting = await answers(box, `${ask('/')}CONNECT app.test:80 HTTP/1.1\r\nHost: app.test\r\n\r\n`)
  assert.match(connecting, /^HTTP\/1\.1 200 [\s\S]*HTTP\/1\.1 405 /)
  assert.equal((await box.ask('app')).text, 'hello')
})
