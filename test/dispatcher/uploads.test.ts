/** Bodies over HTTP/2 that come too slowly, or not at all. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ClientHttp2Stream } from 'node:http2'
import { connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { createServer } from 'node:tls'
import type { SiteLimits } from '../../src/config/site-schema.ts'
import { Http2Front } from '../../src/dispatcher/http2-front.ts'
import type { StreamRequest } from '../../src/dispatcher/stream-request.ts'
import type { StreamResponse } from '../../src/dispatcher/stream-response.ts'
import { makePair } from '../helpers/certificates.ts'

const PAIR = makePair(['a.test'])
const LIMITS = { bodyTimeoutMs: 15_000, bodyRate: 500, sendTimeoutMs: 60_000 } as SiteLimits

interface Uploading {
  front: Http2Front
  client: ClientHttp2Stream
  req: StreamRequest
  res: StreamResponse
}

/** A front, and a client that has begun to send a body that is read. */
async function uploading(t: TestContext): Promise<Uploading> {
  const asked = Promise.withResolvers<[StreamRequest, StreamResponse]>()
  const limits = { headerBytes: 32_768, headerCount: 200, idleTimeoutMs: 65_000 }
  const front = new Http2Front({ handle: (...all) => asked.resolve([all[0], all[1]]) }, limits)
  const server = createServer({ ...PAIR, ALPNProtocols: ['h2'] }, (socket: TLSSocket) => front.accept(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const session = connect(`https://127.0.0.1:${port}`, { servername: 'a.test', rejectUnauthorized: false })
  t.after(async () => {
    session.destroy()
    await front.close(0)
    server.close()
  })
  const client = session.request({ ':method': 'POST', ':authority': 'a.test' })
  client.on('error', () => {})
  const [req, res] = await asked.promise
  res.holdTo(LIMITS)
  req.resume()
  while (!req.isAwaited) await nextTurn()
  return { front, client, req, res }
}

async function send({ client, req }: Uploading, bytes: number): Promise<void> {
  const before = req.received
  client.write(Buffer.alloc(bytes))
  while (req.received < before + bytes) await once(req, 'data')
}

test('a body that comes more slowly than its rate, on average, gets 408, and its stream ends', async (t) => {
  const upload = await uploading(t)
  const { front, client, res } = upload
  const begun = performance.now()

  for (let second = 1; second <= 24; second++) {
    await send(upload, 100)
    front.uploads.sweep(begun + second * 1000)
    // 20 s, and one more for each 500 bytes.
    assert.equal(res.headersSent, false, `after ${second} s`)
  }
  const answered = once(client, 'response')
  front.uploads.sweep(begun + 26_000)

  assert.equal((await answered)[0][':status'], 408)
  client.resume()
  await once(client, 'close')
  assert.equal(client.rstCode, 0)
})

test('a body that stops gets 408 after the time of its site, and cuts an answer that has begun', async (t) => {
  const silent = await uploading(t)
  const answered = once(silent.client, 'response')
  silent.front.uploads.sweep(performance.now() + 14_000)
  assert.equal(silent.res.headersSent, false)
  silent.front.uploads.sweep(performance.now() + 16_000)
  assert.equal((await answered)[0][':status'], 408)

  const talking = await uploading(t)
  talking.res.writeHead(200)
  talking.res.write('part')
  await once(talking.client, 'response')
  const closed = new Promise((resolve) => talking.client.once('close', resolve))
  talking.front.uploads.sweep(performance.now() + 16_000)
  await closed
  assert.notEqual(talking.client.rstCode, 0)
})

test('time in which nobody reads the body is not its client’s, and one that is whole is not looked at', async (t) => {
  const upload = await uploading(t)
  const { front, client, req, res } = upload
  await send(upload, 100)
  req.pause()
  client.write(Buffer.alloc(200_000))
  while (req.isAwaited) await nextTurn()
  for (let second = 1; second < 100; second++) front.uploads.sweep(performance.now() + second * 1000)
  assert.equal(res.headersSent, false)

  req.resume()
  client.end()
  await once(req, 'end')
  for (let second = 100; second < 200; second++) front.uploads.sweep(performance.now() + second * 1000)
  assert.equal(res.headersSent, false)
  res.end('whole')
  const [headers] = await once(client, 'response')
  assert.equal(headers[':status'], 200)
})
