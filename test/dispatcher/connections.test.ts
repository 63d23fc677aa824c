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

/** Heads are not what is looked at. */
const NO_HEADS = { timeoutMs: 30_000, onLate: () => assert.fail('a head is late') }

/** A server that reads bodies, and a client that has begun to send one. */
async function uploading(t: TestContext) {
  const connections = new Connections(NO_HEADS)
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
    const connections = new Connections(NO_HEADS)
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

/** A server that answers at once, its connections, which know of heads, and those of them whose head was late. */
async function answering(t: TestContext) {
  const late: Socket[] = []
  const connections = new Connections({ timeoutMs: 30_000, onLate: (socket) => late.push(socket) })
  const server = createServer({ ServerResponse: FrontResponse }, (req: IncomingMessage, res: FrontResponse) => {
    connectionOf(req.socket)?.begin(req, res)
    req.resume()
    if (req.url !== '/later') res.end('answered')
  })
  server.on('connection', (socket: Socket) => {
    const connection = new Connection(socket)
    connection.awaitHead(0)
    connections.add(connection, socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [socket] = (await once(server, 'connection')) as [Socket]
  t.after(() => {
    client.destroy()
    connections.close()
    server.close()
  })
  return { connections, client, socket, late }
}

const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'

/** Sends it, and waits until the server has read it. */
async function sendText(client: Socket, socket: Socket, text: string): Promise<void> {
  const before = socket.bytesRead
  client.write(text)
  while (socket.bytesRead < before + text.length) await new Promise((again) => setImmediate(again))
}

test('a first head has so long from the connection, however its bytes come', async (t) => {
  const { connections, client, socket, late } = await answering(t)

  for (let second = 0; second < 30; second++) {
    await sendText(client, socket, GET.charAt(second))
    connections.sweep(second * 1000)
  }
  assert.equal(late.length, 0)
  connections.sweep(30_000)

  assert.deepEqual(late, [socket])
})

test('a connection at rest owes no head until it sends something', async (t) => {
  const { connections, client, socket, late } = await answering(t)

  for (let round = 0; round < 3; round++) {
    client.write(GET)
    await once(client, 'data')
    connections.sweep(round * 100_000 + 1000)
    connections.sweep(round * 100_000 + 99_000)
  }
  assert.equal(late.length, 0)

  await sendText(client, socket, 'GET / HT')
  connections.sweep(300_000)
  connections.sweep(329_000)
  assert.equal(late.length, 0)
  await sendText(client, socket, 'TP/1.1')
  connections.sweep(330_000)
  assert.deepEqual(late, [socket])
})

test('while a request is answered, or its body comes, no head is owed', async (t) => {
  const { connections, client, socket, late } = await answering(t)

  await sendText(client, socket, 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\n')
  await once(client, 'data')
  for (let second = 0; second < 50; second++) {
    await sendText(client, socket, 'x')
    connections.sweep(second * 1000)
  }
  await sendText(client, socket, 'x'.repeat(50))
  connections.sweep(50_000)
  await sendText(client, socket, 'GET /later HTTP/1.1\r\nHost: a.test\r\n\r\n')
  connections.sweep(51_000)
  connections.sweep(100_000)

  assert.equal(late.length, 0)
  assert.equal(socket.destroyed, false)
})

test('a client that is answered, and then stops in the middle of its body, is let go', async (t) => {
  const { connections, client, socket, late } = await answering(t)

  await sendText(client, socket, 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nx')
  await once(client, 'data')
  connections.sweep(0)
  connections.sweep(30_000)
  assert.equal(socket.destroyed, false)
  connections.sweep(61_000)

  assert.equal(socket.destroyed, true)
  assert.equal(late.length, 0)
})
