import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { Connection, connectionOf } from '../../src/dispatcher/connection.ts'
import { Connections } from '../../src/dispatcher/connections.ts'
import { FrontResponse } from '../../src/dispatcher/front-response.ts'

/** A server that reads bodies, and a client that has begun to send one. */
async function uploading(t: TestContext) {
  const connections = new Connections()
  const server = createServer({ ServerResponse: FrontResponse })
  server.on('connection', (socket: Socket) => connections.add(new Connection(socket), socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.after(() => {
    client.destroy()
    connections.close()
    server.close()
  })
  client.write('POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n')
  const [req, res] = (await once(server, 'request')) as [IncomingMessage, FrontResponse]
  const connection = connectionOf(req.socket) as Connection
  connection.begin(req, res)
  connection.bodyRate = 500
  req.resume()
  return { connections, client, req, res }
}

async function send(req: IncomingMessage, client: Socket, bytes: number): Promise<void> {
  const before = req.socket.bytesRead
  client.write(Buffer.alloc(bytes))
  while (req.socket.bytesRead < before + bytes) await once(req, 'data')
}

test('a body that comes more slowly than its rate, on average, gets 408', async (t) => {
  const { connections, client, req, res } = await uploading(t)

  connections.sweep(0)
  for (let second = 1; second <= 25; second++) {
    await send(req, client, 100)
    connections.sweep(second * 1000)
    // 20 s, and one more for each 500 bytes.
    assert.equal(res.headersSent, false, `after ${second} s`)
  }
  connections.sweep(26_000)

  const [answer] = (await once(client, 'data')) as [Buffer]
  assert.match(String(answer), /^HTTP\/1\.1 408 /)
})

test('time in which nobody reads the body, or the answer has begun, is not its client’s', async (t) => {
  const { connections, req, res } = await uploading(t)

  req.pause()
  for (let second = 0; second < 40; second++) connections.sweep(second * 1000)
  assert.equal(res.headersSent, false)
  req.resume()
  res.writeHead(200).flushHeaders()
  for (let second = 40; second < 80; second++) connections.sweep(second * 1000)

  assert.equal(res.destroyed, false)
})
