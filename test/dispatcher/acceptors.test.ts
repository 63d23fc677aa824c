/** Addresses with several sockets: newcomers are let in beside those who keep the server busy, and a port is shared with nobody else. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo, Server as NetServer, Socket } from 'node:net'
import { connect, createServer as createNetServer } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { listenWithMore } from '../../src/dispatcher/acceptors.ts'

const KEPT = 64
const NEWCOMERS = 64
const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const HERE = { host: '127.0.0.1', port: 0 }

async function listen(t: TestContext, server: Server = createServer((_, response) => response.end('ok'))) {
  const others = await listenWithMore(server, HERE)
  const all: NetServer[] = [server, ...others]
  const close = (): Promise<unknown> => {
    server.closeAllConnections()
    return Promise.all(all.map((one) => new Promise((closed) => one.close(closed))))
  }
  t.after(close)
  return { port: (server.address() as AddressInfo).port, all, close }
}

function client(t: TestContext, port: number): Socket {
  const socket = connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  return socket
}

test('those who come are answered while those who are there always have a request', async (t) => {
  let answers = 0
  const server = createServer((_, response) => {
    answers++
    response.end('ok')
  })
  const { port } = await listen(t, server)
  for (let at = 0; at < KEPT; at++) {
    const socket = client(t, port)
    socket.on('data', () => socket.write(REQUEST))
    socket.write(REQUEST)
  }
  while (answers < KEPT * 20) await new Promise((turn) => setImmediate(turn))

  const before = answers
  await Promise.all(
    Array.from({ length: NEWCOMERS }, async () => {
      const socket = client(t, port)
      socket.write(REQUEST)
      await once(socket, 'data')
    }),
  )

  // One socket lets in one in a turn, in which all who are there are answered.
  const turns = (answers - before - NEWCOMERS) / KEPT
  assert.ok(turns < NEWCOMERS / 4, `${NEWCOMERS} newcomers took ${turns} turns`)
})

test('a port that is shared by the sockets of one server is in use for any other', async (t) => {
  const { port } = await listen(t)

  await assert.rejects(listenWithMore(createServer(), { ...HERE, port }), { code: 'EADDRINUSE' })
  const plain = createNetServer().listen(port, '127.0.0.1')
  const [error] = (await once(plain, 'error')) as [NodeJS.ErrnoException]

  assert.equal(error.code, 'EADDRINUSE')
})

test('when all are closed nobody listens, and the port is free', async (t) => {
  const { port, all, close } = await listen(t)
  assert.ok(all.length > 1)
  assert.ok(all.every((one) => (one.address() as AddressInfo).port === port))

  await close()
  const [error] = (await once(client(t, port), 'error')) as [NodeJS.ErrnoException]
  const again = createServer()
  const others = await listenWithMore(again, { ...HERE, port })

  assert.equal(error.code, 'ECONNREFUSED')
  for (const one of [again, ...others]) one.close()
})
