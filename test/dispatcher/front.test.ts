/** How the front ends: over real sockets, without a pool. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { test } from 'node:test'
import type { AnswerHead } from '../../src/dispatcher/front-response.ts'
import type { Visit } from '../../src/dispatcher/visit.ts'
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

test('a client of HTTP/1.0 that asks for an upgrade is answered as if it had not', async (t) => {
  const upgrades: boolean[] = []
  const answer = ({ res, upgrade }: Visit): void => {
    upgrades.push(upgrade !== undefined)
    res.end('ok')
  }
  const { port } = await startFront(t, { one: { domains: 'one.test', answer } })
  for (const version of ['1.0', '1.1']) {
    const socket = connect(port, '127.0.0.1').setEncoding('latin1')
    socket.write(`GET / HTTP/${version}\r\nHost: one.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
    const [text] = (await once(socket, 'data')) as [string]
    assert.match(text, /^HTTP\/1\.1 200 OK\r\n/)
    socket.destroy()
  }

  assert.deepEqual(upgrades, [false, true])
})

test('at the end a client is told that its connection ends, whatever becomes of the head of its answer', async (t) => {
  const answer = ({ res }: Visit): void => {
    const onHead = (head: AnswerHead): undefined => {
      head.headers = ['content-length', '2']
    }
    res.addFilter({ onHead })
    res.end('ok')
  }
  const { front, port } = await startFront(t, { one: { domains: 'one.test', answer } })
  const socket = await ask(port, '/before')
  const closed = front.close(GRACE_MS)

  socket.write('GET /after HTTP/1.1\r\nHost: one.test\r\n\r\n')
  const [text] = (await once(socket, 'data')) as [string]
  await closed

  assert.match(text, /\r\nConnection: close\r\n/)
})
