/** How a connection ends behind its last answer: over real sockets, without a pool. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { LINGER_MS } from '../../src/dispatcher/linger.ts'
import type { Visit } from '../../src/dispatcher/visit.ts'
import { startFront } from '../helpers/tls-front.ts'

const MB = 1024 * 1024
const ANSWER = 'x'.repeat(MB)
const LAST = 'Host: one.test\r\nConnection: close\r\n\r\n'

/** A front whose only site leaves its requests to the test, and a client that does not close when the front does. */
async function open(t: TestContext) {
  const { promise: asked, resolve } = Promise.withResolvers<Visit>()
  const { port } = await startFront(t, { one: { domains: 'one.test', answer: resolve } })
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  t.after(() => client.destroy())
  return { client, asked }
}

/** The answer comes as it is, and its end, not a reset. */
async function assertWhole(client: Socket): Promise<void> {
  const chunks: Buffer[] = []
  client.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(client, 'end')
  const text = Buffer.concat(chunks).toString()
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n/)
  assert.equal(text.endsWith(ANSWER), true)
}

/** Whether the front lets a socket go before it would have to. */
async function isLetGo(socket: Socket): Promise<boolean> {
  if (socket.destroyed) return true
  return once(socket, 'close', { signal: AbortSignal.timeout(LINGER_MS / 2) }).then(
    () => true,
    () => false,
  )
}

test('behind its last answer a client that has sent all of its request is let go, whatever it does then', async (t) => {
  const { client, asked } = await open(t)
  client.write(`GET / HTTP/1.1\r\n${LAST}`)
  const { req, res } = await asked
  const { socket } = req
  res.end(ANSWER)

  await assertWhole(client)
  assert.equal(await isLetGo(socket), true)
})

test('a client that goes on sending behind its last request gets the answer whole', async (t) => {
  const { client, asked } = await open(t)
  client.write(`GET / HTTP/1.1\r\n${LAST}`)
  const { req, res } = await asked
  const { socket } = req
  // More than the kernel keeps for who does not read: some has been read, and some not, when the answer ends.
  client.write(Buffer.alloc(16 * MB, 'y'))
  await once(client, 'drain')
  client.write(Buffer.alloc(MB, 'y'))
  res.end(ANSWER)

  await assertWhole(client)
  assert.equal(socket.destroyed, false)
  client.end()
  assert.equal(await isLetGo(socket), true)
})

test('one that did not say that this was its last request may be sending the next', async (t) => {
  const { client, asked } = await open(t)
  client.write('GET / HTTP/1.1\r\nHost: one.test\r\n\r\n')
  const { req, res } = await asked
  const { socket } = req
  res.shouldKeepAlive = false
  res.end(ANSWER)
  client.write('GET / HTTP/1.1\r\nHost: one.test\r\n\r\n')

  await assertWhole(client)
  assert.equal(socket.destroyed, false)
})

test('so does one whose body was not read', async (t) => {
  const { client, asked } = await open(t)
  client.write(`POST / HTTP/1.1\r\nContent-Length: ${4 * MB}\r\n${LAST}`)
  client.write(Buffer.alloc(2 * MB, 'y'))
  const { res } = await asked
  res.end(ANSWER)

  await assertWhole(client)
})
