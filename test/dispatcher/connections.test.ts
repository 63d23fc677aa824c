import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { connect as connectSecurely } from 'node:tls'
import { Connection, connectionOf } from '../../src/dispatcher/connection.ts'
import { Connections } from '../../src/dispatcher/connections.ts'
import { FrontResponse } from '../../src/dispatcher/front-response.ts'
import { makePair } from '../helpers/certificates.ts'

const MB = 1024 * 1024
/** More than the kernel takes for a client that does not read. */
const MORE_THAN_SOCKETS_HOLD = 32 * MB

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

for (const isSecure of [false, true]) {
  const over = isSecure ? ' over TLS' : ''
  test(`a client that takes a large answer slowly is let go on${over}, and one that stops is not`, async (t) => {
    const connections = new Connections()
    const handler = (req: IncomingMessage, res: FrontResponse): void => {
      connectionOf(req.socket)?.begin(req, res)
      res.end(Buffer.alloc(2 * MORE_THAN_SOCKETS_HOLD))
    }
    const options = { ServerResponse: FrontResponse }
    const server = isSecure
      ? createSecureServer({ ...options, ...makePair(['a.test']) }, handler)
      : createServer(options, handler)
    const sockets: Socket[] = []
    server.on(isSecure ? 'secureConnection' : 'connection', (socket: Socket) => {
      sockets.push(socket)
      connections.add(new Connection(socket), socket)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const client = isSecure ? connectSecurely({ port, rejectUnauthorized: false }) : connect(port, '127.0.0.1')
    t.after(() => {
      client.destroy()
      connections.close()
      server.close()
    })
    client.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')
    await read(client, MB)
    connections.sweep(0)
    connections.sweep(1000)

    await read(client, MORE_THAN_SOCKETS_HOLD)
    connections.sweep(60_000)
    connections.sweep(90_000)
    assert.deepEqual(
      sockets.map(({ destroyed }) => destroyed),
      [false],
    )

    connections.sweep(120_000)
    assert.deepEqual(
      sockets.map(({ destroyed }) => destroyed),
      [true],
    )
  })
}

/** Reads so much at least, and then no more. */
async function read(client: Socket, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; ) {
    const part = client.read() as Buffer | null
    if (part === null) await once(client, 'readable')
    else left -= part.byteLength
  }
}
