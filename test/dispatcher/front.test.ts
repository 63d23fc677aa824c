/** How the front ends: over real sockets, without a pool. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { test } from 'node:test'
import { startFront } from '../helpers/tls-front.ts'

const GRACE_MS = 30_000

async function ask(port: number, path: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  socket.write(`GET ${path} HTTP/1.1\r\nHost: one.test\r\n\r\n`)
  await once(socket, 'data')
  return socket
}

test('at the end nobody waits for a client that keeps its connection, also where its last answer had begun', async (t) => {
  let finish = (): void => {}
  const { front, port } = await startFront(t, {
    one: {
      domains: 'one.test',
      answer: ({ req, res }) => {
        res.write('begun')
        finish = () => res.end('whole')
        if (req.url === '/at-once') res.end()
      },
    },
  })
  const [idle, busy] = [await ask(port, '/at-once'), await ask(port, '/later')]
  const begun = performance.now()
  const closed = front.close(GRACE_MS)
  await once(idle, 'close')

  finish()
  const [last] = (await once(busy, 'data')) as [string]
  await closed

  assert.match(last, /whole/)
  assert.ok(performance.now() - begun < GRACE_MS / 2)
})
