/** What a connection of HTTP/2 may have on its way at a time, over real sockets. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import { connect } from 'node:http2'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import type { StreamSocket } from '../../src/dispatcher/stream-socket.ts'
import type { Answerer } from '../../src/dispatcher/visit.ts'
import { makePair } from '../helpers/certificates.ts'
import { block, FLAG, FrameClient, frame, PREFACE, pseudo, TYPE } from '../helpers/frames.ts'
import type { FrontChanges } from '../helpers/tls-front.ts'
import { startFront } from '../helpers/tls-front.ts'

const PAIR = makePair(['a.test'])

async function open(
  t: TestContext,
  answer: Answerer,
  settings: FrontChanges['settings'] = {},
): Promise<ClientHttp2Session> {
  const site = { domains: 'a.test', certificate: PAIR, answer }
  const { securePort } = await startFront(t, { a: site }, undefined, { settings })
  const client = connect(`https://127.0.0.1:${securePort}`, { servername: 'a.test', rejectUnauthorized: false })
  client.on('error', () => {})
  t.after(() => client.destroy())
  return client
}

function ask(client: ClientHttp2Session, path: string, headers: Record<string, string> = {}): ClientHttp2Stream {
  return client.request({ ':authority': 'a.test', ':path': path, ...headers })
}

/** @returns how many bytes came */
async function read(stream: ClientHttp2Stream): Promise<number> {
  let bytes = 0
  for await (const part of stream as AsyncIterable<Buffer>) bytes += part.byteLength
  return bytes
}

test('a large answer that its client has not taken yet keeps none of its other streams out', async (t) => {
  const large = Buffer.alloc(16 * 1024 * 1024)
  const client = await open(t, ({ req, res }) => void res.end(req.url === '/large' ? large : 'small'))
  const stream = ask(client, '/large')
  await once(stream, 'response')

  assert.equal(await read(ask(client, '/small')), 5)
  assert.equal(await read(stream), large.byteLength)
})

test('the head of a request may be as large as the server says, not as it usually is', async (t) => {
  const client = await open(t, ({ req, res }) => void res.end(req.headers.cookie), { headerBytes: 60 * 1024 })

  assert.equal(await read(ask(client, '/', { cookie: 'c'.repeat(50_000) })), 50_000)

  const strict = await open(t, ({ res }) => void res.end('asked'), { headerBytes: 4 * 1024 })
  const refused = ask(strict, '/', { cookie: 'c'.repeat(5_000) })
  const [head] = (await once(refused, 'response').catch(() => [{ ':status': 'reset' }])) as [Record<string, unknown>]
  assert.ok([431, 'reset'].includes(head[':status'] as string | number), String(head[':status']))
})

for (const [what, bytes] of [
  ['of an answer that is with its session as a whole', 64 * 1024 * 1024],
  ['of what is left when its session is over', 3 * 1024 * 1024],
] as const) {
  test(`a client that lets the server send without an end, and takes nothing ${what}, loses its connection`, async (t) => {
    const asked = Promise.withResolvers<TLSSocket>()
    const answer: Answerer = ({ req, res }) => {
      asked.resolve((req.socket as unknown as StreamSocket).connection)
      res.end(Buffer.alloc(bytes))
    }
    const site = { domains: 'a.test', certificate: PAIR, answer, sendTimeoutMs: 1000 }
    const { securePort } = await startFront(t, { a: site }, undefined, { settings: { idleTimeoutMs: 100 } })
    const client = await FrameClient.open(t, securePort, 'a.test', false)
    // SETTINGS_INITIAL_WINDOW_SIZE, and as much for all streams.
    const settings = frame(TYPE.settings, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff]))
    const window = frame(TYPE.window, 0, 0, Buffer.from([0x7f, 0, 0, 0]))
    const request = frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, 1, block(pseudo('a.test', '/')))
    client.write(PREFACE, settings, window, request)
    await client.status(1)
    client.socket.pause()

    const connection = await asked.promise
    await once(connection, 'close', { signal: AbortSignal.timeout(20_000) })

    assert.equal(connection.destroyed, true)
  })
}

test('a stream is not cut while its client takes what is before it on the connection', async (t) => {
  const sent = Promise.withResolvers<StreamSocket>()
  const answer: Answerer = ({ req, res }) => {
    sent.resolve(req.socket as unknown as StreamSocket)
    res.end(Buffer.alloc(2 * MORE_THAN_SOCKETS_HOLD))
  }
  const site = { domains: 'a.test', certificate: PAIR, answer, sendTimeoutMs: 3000 }
  const { securePort } = await startFront(t, { a: site })
  const client = await FrameClient.open(t, securePort, 'a.test', false)
  // Half of the answer may be on its way at once.
  const size = Buffer.alloc(4)
  size.writeUInt32BE(MORE_THAN_SOCKETS_HOLD)
  client.write(
    PREFACE,
    frame(TYPE.settings, 0, 0, Buffer.concat([Buffer.from([0, 4]), size])),
    frame(TYPE.window, 0, 0, size),
  )
  client.write(frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, 1, block(pseudo('a.test', '/'))))
  await client.status(1)
  const stream = await sent.promise

  // A little at a time, for longer than the site's time.
  client.socket.on('data', () => {
    client.socket.pause()
    setTimeout(() => client.socket.resume(), 25)
  })
  await Promise.race([once(stream, 'close'), delay(5000)])

  assert.equal(stream.destroyed, false)
})

/** More than the kernel takes for a client that does not read. */
const MORE_THAN_SOCKETS_HOLD = 32 * 1024 * 1024
