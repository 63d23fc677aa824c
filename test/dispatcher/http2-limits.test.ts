/** What a connection of HTTP/2 may have on its way at a time, over real sockets. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import { connect } from 'node:http2'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Answerer } from '../../src/dispatcher/visit.ts'
import { makePair } from '../helpers/certificates.ts'
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
