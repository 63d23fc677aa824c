/** HTTP/2: requests whose body turns out to be empty, whenever somebody comes to read it, and those answered before their end. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { Visit } from '../../src/dispatcher/visit.ts'
import { makePair } from '../helpers/certificates.ts'
import { block, FLAG, FrameClient, frame, PREFACE, pseudo, TYPE } from '../helpers/frames.ts'
import { startFront } from '../helpers/tls-front.ts'

const PAIR = makePair(['a.test'])

interface Asked {
  client: FrameClient
  visit: Visit
}

/** Sends the head and the end of a body in parts, and waits until the server has read both and nobody the body. */
async function askWithoutBody(t: TestContext, end: Buffer): Promise<Asked> {
  const visits: Visit[] = []
  const a = { domains: 'a.test', certificate: PAIR, answer: (visit: Visit) => void visits.push(visit) }
  const { securePort } = await startFront(t, { a })
  const client = await FrameClient.open(t, securePort, 'a.test')
  const head = frame(TYPE.headers, FLAG.endHeaders, 1, block(pseudo('a.test', '/', 'POST')))
  client.write(head, end, frame(TYPE.ping, 0, 0, Buffer.alloc(8)))
  await client.next('the echo of a ping', ({ type, flags }) => type === TYPE.ping && (flags & FLAG.ack) !== 0)
  const [visit] = visits
  assert.ok(visit !== undefined)
  return { client, visit }
}

test('the end of an empty body is not lost on who begins to read after it', async (t) => {
  const { client, visit } = await askWithoutBody(t, frame(TYPE.data, FLAG.endStream, 1))
  const { req, res } = visit

  let bytes = 0
  req.on('data', (part: Buffer) => {
    bytes += part.byteLength
  })
  req.on('end', () => void res.writeHead(bytes === 0 && req.complete ? 200 : 500).end())

  assert.equal(await client.status(1), 200)
})

test('nor are the trailers that end it', async (t) => {
  const trailers = frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, 1, block([['x-sum', '42']]))
  const { client, visit } = await askWithoutBody(t, trailers)
  const { req, res } = visit

  req.resume()
  req.on('end', () => void res.writeHead(req.rawTrailers.join('=') === 'x-sum=42' ? 200 : 500).end())

  assert.equal(await client.status(1), 200)
})

test('an answer leaves although the connection is full, and the end of the body has come and was not read', async (t) => {
  const asked: Record<string, Visit> = {}
  const answer = (visit: Visit): void => {
    asked[visit.req.url ?? ''] = visit
  }
  const { securePort } = await startFront(t, { a: { domains: 'a.test', certificate: PAIR, answer } })
  const client = await FrameClient.open(t, securePort, 'a.test', false)
  const head = (stream: number, path: string): Buffer =>
    frame(TYPE.headers, FLAG.endHeaders, stream, block(pseudo('a.test', path, 'POST')))
  // SETTINGS_INITIAL_WINDOW_SIZE, and as much for all streams.
  const settings = Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])
  const all = Buffer.from([0x7f, 0, 0, 0])
  client.write(PREFACE, frame(TYPE.settings, 0, 0, settings), frame(TYPE.window, 0, 0, all))
  const body = frame(TYPE.data, FLAG.endStream, 3, Buffer.from('body'))
  client.write(head(1, '/full'), head(3, '/'), body, frame(TYPE.ping, 0, 0, Buffer.alloc(8)))
  await client.next('the echo of a ping', ({ type, flags }) => type === TYPE.ping && (flags & FLAG.ack) !== 0)
  const { req, res } = asked['/'] as Visit

  client.socket.pause()
  asked['/full']?.res.write(Buffer.alloc(MORE_THAN_SOCKETS_HOLD))
  // The session writes at the end of a turn.
  await turn()
  await turn()
  const gone = once(res, 'close')
  req.resume()
  res.writeHead(204).end()
  await once(res, 'finish')
  client.socket.resume()

  assert.equal(await client.status(3), 204)
  await gone
  assert.equal(req.complete, true)
})

const MORE_THAN_SOCKETS_HOLD = 32 * 1024 * 1024
