/** HTTP/2 before the pool: what a client may say, what leaves, and how connections end. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2'
import { connect } from 'node:http2'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { StreamSocket } from '../../src/dispatcher/stream-socket.ts'
import type { Visit } from '../../src/dispatcher/visit.ts'
import { makePair } from '../helpers/certificates.ts'
import { block, FLAG, FrameClient, frame, PREFACE, pseudo, TYPE } from '../helpers/frames.ts'
import type { FrontChanges } from '../helpers/tls-front.ts'
import { startFront } from '../helpers/tls-front.ts'

const PAIR = makePair(['a.test'])

/** What the one site of a test has been asked. */
interface Site {
  port: number
  visits: Visit[]
  close(graceMs: number): Promise<void>
}

/** A front with one site. @param answer what it does with a visit */
async function serve(
  t: TestContext,
  answer: (visit: Visit) => void = ({ res }) => void res.end('ok'),
  settings: FrontChanges['settings'] = {},
): Promise<Site> {
  const visits: Visit[] = []
  const a = {
    domains: 'a.test',
    certificate: PAIR,
    answer: (visit: Visit) => {
      visits.push(visit)
      answer(visit)
    },
  }
  const { securePort, front } = await startFront(t, { a }, undefined, { settings })
  return { port: securePort, visits, close: (graceMs) => front.close(graceMs) }
}

function session(t: TestContext, port: number): ClientHttp2Session {
  const client = connect(`https://127.0.0.1:${port}`, { servername: 'a.test', rejectUnauthorized: false })
  client.on('error', () => {})
  t.after(() => client.destroy())
  return client
}

interface Answer {
  headers: IncomingHttpHeaders & { ':status'?: number }
  trailers: IncomingHttpHeaders
  informational: number[]
  text: string
}

function send(client: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string): Promise<Answer> {
  const stream = client.request({ ':authority': 'a.test', ...headers })
  stream.end(body)
  return answerOf(stream)
}

async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  const answer: Answer = { headers: {}, trailers: {}, informational: [], text: '' }
  stream.on('headers', (headers) => answer.informational.push(Number(headers[':status'])))
  stream.on('trailers', (headers) => Object.assign(answer.trailers, headers))
  const [headers] = (await once(stream, 'response')) as [Answer['headers']]
  answer.headers = headers
  answer.text = (await stream.setEncoding('utf8').toArray()).join('')
  return answer
}

/** The status and the body of an answer to these headers, sent as they are. */
async function raw(client: FrameClient, stream: number, headers: [string, string][]): Promise<number | undefined> {
  client.write(frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, stream, block(headers)))
  return client.status(stream)
}

test('a request is as it would be in HTTP/1.1: Host, cookies in one, a length or chunked for a body', async (t) => {
  const { port, visits } = await serve(t, ({ req, res }) => void req.pipe(res))
  const client = session(t, port)

  const plain = await send(client, { ':path': '/x?y=1', cookie: ['a=1', 'b=2'], 'x-a': ['1', '2'] })
  const body = await send(client, { ':method': 'POST', ':path': '/up' }, 'body')
  const sized = await send(client, { ':method': 'PUT', ':path': '/up', 'content-length': 4 }, 'body')

  assert.deepEqual([plain.text, body.text, sized.text], ['', 'body', 'body'])
  const [one, two, three] = visits.map(({ req }) => req)
  assert.deepEqual([one?.method, one?.url, one?.httpVersion], ['GET', '/x?y=1', '2.0'])
  assert.deepEqual(one?.rawHeaders, ['host', 'a.test', 'x-a', '1', 'x-a', '2', 'cookie', 'a=1; b=2'])
  assert.deepEqual(one?.headers, { host: 'a.test', 'x-a': '1, 2', cookie: 'a=1; b=2' })
  assert.deepEqual(two?.rawHeaders, ['host', 'a.test', 'transfer-encoding', 'chunked'])
  assert.deepEqual(three?.rawHeaders, ['host', 'a.test', 'content-length', '4'])
  assert.equal(one?.socket.remoteAddress, '127.0.0.1')
})

test('what leaves has no reason and nothing of a connection; HEAD, 204, 205 and 304 have no body', async (t) => {
  const { port } = await serve(t, ({ req, res }) => {
    const status = Number(req.url?.slice(1))
    res.setHeader('X-Set', 'before')
    if (status === 205) res.setHeader('Content-Length', '4')
    res.writeHead(status, 'Own Reason', [
      ...['Connection', 'close, X-Hop', 'X-Hop', '1', 'Keep-Alive', 'timeout=5', 'Transfer-Encoding', 'chunked'],
      ...['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'Upgrade', 'x', 'X-Kept', 'caf\xe9'],
    ])
    res.end('body')
  })
  const client = session(t, port)

  const full = await send(client, { ':path': '/200' })
  const { ':status': status, date, ...headers } = full.headers

  assert.deepEqual([status, full.text], [200, 'body'])
  assert.deepEqual(Object.fromEntries(Object.entries(headers)), {
    'x-set': 'before',
    'set-cookie': ['a=1', 'b=2'],
    'x-kept': 'caf\xe9',
  })
  assert.match(String(date), /GMT$/)
  for (const [method, path] of [
    ['HEAD', '/200'],
    ['GET', '/204'],
    ['GET', '/205'],
    ['GET', '/304'],
  ] as const) {
    const bare = await send(client, { ':method': method, ':path': path })
    assert.deepEqual([bare.headers[':status'], bare.text], [Number(path.slice(1)), ''], `${method} ${path}`)
  }
})

test('informational answers and trailers are passed on', async (t) => {
  const { port, visits } = await serve(t, ({ req, res }) => {
    res.writeContinue()
    res.writeEarlyHints({ link: '</a.css>; rel=preload' })
    req.on('data', () => {})
    req.on('end', () => {
      res.writeHead(200, { trailer: 'x-sum' })
      res.write('part')
      res.addTrailers({ 'X-Sum': '42' })
      res.end()
    })
  })
  const client = session(t, port)
  const stream = client.request({ ':authority': 'a.test', ':method': 'POST' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-mine': 'yes' }))
  stream.end('x')

  const answer = await answerOf(stream)

  assert.deepEqual(answer.informational, [100, 103])
  assert.deepEqual([answer.text, answer.trailers['x-sum']], ['part', '42'])
  assert.deepEqual(visits[0]?.req.rawTrailers, ['x-mine', 'yes'])
})

test('an answer that cannot be sent is refused as in HTTP/1.1, and one that is cut resets its stream only', async (t) => {
  const { port } = await serve(t, ({ req, res }) => {
    if (req.url === '/bad') {
      assert.throws(() => res.writeHead(200, { 'x-a': 'a\r\nb: c' }), /Invalid character/)
      assert.throws(() => res.writeHead(200, ['x a', 'b']), /valid HTTP token/)
      assert.throws(() => res.writeHead(700), RangeError)
      assert.throws(() => res.writeHead(200, [':status', '404']), /valid HTTP token/)
      res.writeHead(200, ['X-A', 'fine', 'Content-Type', 'a/b', 'Content-Type', 'c/d']).end('fine')
    } else if (req.url === '/cut') {
      res.writeHead(200, { 'content-length': 100 }).write('part')
      ;(res.socket as unknown as { destroySoon(): void }).destroySoon()
    } else res.end('other')
  })
  const client = session(t, port)

  const bad = await send(client, { ':path': '/bad' })
  const cut = client.request({ ':authority': 'a.test', ':path': '/cut' })
  const parts: string[] = []
  cut.setEncoding('utf8').on('data', (part: string) => parts.push(part))
  const [error] = (await once(cut, 'error')) as [NodeJS.ErrnoException]
  const other = await send(client, { ':path': '/' })

  assert.deepEqual([bad.text, bad.headers['x-a'], bad.headers['content-type']], ['fine', 'fine', 'a/b'])
  assert.match(error.message, /NGHTTP2_INTERNAL_ERROR/)
  assert.deepEqual([parts.join(''), other.text], ['part', 'other'])
})

test('a client that takes its stream back ends what answers it; the connection stays', async (t) => {
  const ended: string[] = []
  const { port, visits } = await serve(t, ({ req, res }) => {
    if (req.url !== '/wait') return void res.end('ok')
    req.on('aborted', () => ended.push('aborted'))
    req.on('data', () => {})
    res.on('close', () => ended.push(`close ${res.writableFinished}`))
    res.writeHead(200).write('begun')
  })
  const client = session(t, port)
  const stream = client.request({ ':authority': 'a.test', ':path': '/wait', ':method': 'POST' })
  stream.on('error', () => {})
  await once(stream, 'response')

  stream.destroy(new Error('gone'))
  const res = visits[0]?.res
  if (res !== undefined && !res.closed) await once(res, 'close')

  assert.deepEqual(ended.sort(), ['aborted', 'close false'])
  assert.equal((await send(client, {})).text, 'ok')
})

test('backpressure: a client that does not read is not written to, nor is one read that nobody listens to', async (t) => {
  let written = 0
  const { port, visits } = await serve(t, ({ req, res }) => {
    if (req.method === 'POST') return
    const more = (): void => {
      while (written < 64 * 1024 * 1024) {
        written += 65536
        if (!res.write(Buffer.alloc(65536))) return void res.once('drain', more)
      }
      res.end()
    }
    more()
  })
  const client = await FrameClient.open(t, port, 'a.test')

  assert.equal(await raw(client, 1, pseudo('a.test')), 200)
  const uploader = session(t, port)
  await once(uploader, 'remoteSettings')
  const upload = uploader.request({ ':authority': 'a.test', ':method': 'POST' })
  upload.on('error', () => {})
  upload.write(Buffer.alloc(8 * 1024 * 1024))
  await client.next('a full window', () => {
    const data = client.frames
      .filter(({ type }) => type === TYPE.data)
      .reduce((sum, one) => sum + one.payload.length, 0)
    return data === 65535
  })

  assert.ok(written <= 1024 * 1024, `${written} bytes were written for a window of 64 KB`)
  await new Promise((resolve) => uploader.ping(resolve))
  assert.equal(visits.length, 2)
  assert.ok(upload.writableLength > 7 * 1024 * 1024, `${upload.writableLength} bytes were not taken`)
})

test('what is no request is refused, and the next one is answered', async (t) => {
  const { port, visits } = await serve(t)
  const client = await FrameClient.open(t, port, 'a.test')
  const good = pseudo('a.test')
  const long: [string, string][] = [1, 2, 3, 4].map((at) => [`x-${at}`, 'y'.repeat(15_000)])
  const cases: [string, [string, string][], number | undefined][] = [
    ['name in upper case', [...good, ['X-A', '1']], undefined],
    ['header of the connection', [...good, ['connection', 'close']], undefined],
    ['transfer-encoding', [...good, ['transfer-encoding', 'chunked']], undefined],
    ['te', [...good, ['te', 'gzip']], undefined],
    ['pseudo-header behind others', [['x-a', '1'], ...good], undefined],
    ['pseudo-header twice', [...good, [':path', '/b']], undefined],
    ['unknown pseudo-header', [...good, [':x', '1']], undefined],
    ['no host', good.filter(([name]) => name !== ':authority'), undefined],
    ['path without slash', pseudo('a.test', 'x'), undefined],
    ['path with a blank', pseudo('a.test', '/a b'), undefined],
    ['path with a line', pseudo('a.test', '/ HTTP/1.1\r\nX: y'), undefined],
    ['two hosts', [...good, ['host', 'b.test']], 400],
    ['two equal hosts', [...good, ['host', 'A.test']], 200],
    [
      'CONNECT',
      [
        [':method', 'CONNECT'],
        [':authority', 'a.test:443'],
      ],
      405,
    ],
    ['WebSocket', [...pseudo('a.test', '/', 'CONNECT'), [':protocol', 'websocket']], undefined],
    ['another site', pseudo('b.test'), 421],
    [
      'too many headers',
      [...good, ...Array.from({ length: 600 }, (_, at): [string, string] => [`x-${at}`, '1'])],
      undefined,
    ],
  ]
  let stream = 1
  for (const [name, headers, status] of cases) {
    assert.equal(await raw(client, stream, headers), status, name)
    assert.equal(await raw(client, stream + 2, good), 200, `behind: ${name}`)
    stream += 4
  }
  const early = await FrameClient.open(t, port, 'a.test')
  early.write(
    frame(TYPE.headers, FLAG.endStream, 1, block(good)),
    ...long.map((one, at) => frame(TYPE.continuation, at === 3 ? FLAG.endHeaders : 0, 1, block([one]))),
  )
  assert.equal(await early.status(1), 431)
  assert.equal(visits.length, cases.length + 1)
})

test('a header with a line break in it never gets to a site', async (t) => {
  const { port, visits } = await serve(t)
  const client = await FrameClient.open(t, port, 'a.test')

  await raw(client, 1, [...pseudo('a.test'), ['x-a', '1\r\nhost: b.test'], ['x b', '2'], ['x-c', '3']])

  for (const { req } of visits) assert.deepEqual(req.rawHeaders, ['host', 'a.test', 'x-c', '3'])
})

test('a body that is not as long as it says resets its stream, or ends the connection where it is longer', async (t) => {
  const { port, visits } = await serve(t, ({ req, res }) => {
    req.on('data', () => {})
    req.on('end', () => res.end('whole'))
  })
  const post = (length: string) => block([...pseudo('a.test', '/', 'POST'), ['content-length', length]])
  const body = (id: number) => frame(TYPE.data, FLAG.endStream, id, Buffer.from('abc'))
  const client = await FrameClient.open(t, port, 'a.test')
  client.write(frame(TYPE.headers, FLAG.endHeaders, 1, post('10')), body(1))
  client.write(frame(TYPE.headers, FLAG.endHeaders, 3, post('3')), body(3))

  assert.deepEqual([await client.status(1), await client.status(3)], [undefined, 200])
  client.write(frame(TYPE.headers, FLAG.endHeaders, 5, post('1')), body(5))
  await client.ended()
  assert.equal(visits.filter(({ req }) => req.complete).length, 1)
})

/** Sends what `make` gives until the connection is ended. */
async function flood(client: FrameClient, make: (count: number) => Buffer): Promise<number> {
  let count = 0
  for (; !client.isClosed && count < 200_000; count++) {
    if (!client.write(make(count)) && !client.isClosed) {
      await Promise.race([once(client.socket, 'drain'), once(client.socket, 'close')]).catch(() => {})
    }
    if (count % 100 === 99) await new Promise((resolve) => setImmediate(resolve))
  }
  await client.ended()
  return count
}

test('floods end the connection, and nobody else notices', async (t) => {
  const { port, visits } = await serve(t, ({ req, res }) => {
    if (req.method === 'GET') res.end('ok')
  })
  const request = (id: number) => frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, id, block(pseudo('a.test')))
  const post = (id: number) => frame(TYPE.headers, FLAG.endHeaders, id, block(pseudo('a.test', '/', 'POST')))
  const back = (id: number) => frame(TYPE.reset, 0, id, Buffer.from([0, 0, 0, 8]))
  const open = () => FrameClient.open(t, port, 'a.test')
  const other = session(t, port)

  const reset = await open()
  await flood(reset, (at) => Buffer.concat([post(at * 2 + 1), back(at * 2 + 1)]))
  const taken = visits.length
  const pings = await open()
  await flood(pings, () => frame(TYPE.ping, 0, 0, Buffer.alloc(8)))
  const unread = await open()
  unread.socket.pause()
  setTimeout(() => unread.socket.resume(), 500)
  await flood(unread, () => frame(TYPE.ping, 0, 0, Buffer.alloc(8)))
  await flood(await open(), () => frame(TYPE.settings, 0, 0))
  const head = await open()
  head.write(frame(TYPE.headers, 0, 1, block(pseudo('a.test'))))
  await flood(head, (at) => frame(TYPE.continuation, 0, 1, block([[`x-${at}`, 'y']])))
  const empty = await open()
  empty.write(post(1))
  await flood(empty, () => frame(TYPE.data, 0, 1))

  assert.ok(taken < 1000, `${taken} requests of a rapid reset were taken`)
  assert.equal((await send(other, {})).text, 'ok')
  const last = await open()
  last.write(request(1))
  assert.equal(await last.status(1), 200)
})

test('more streams at a time than are allowed are refused; a client that was told loses its connection', async (t) => {
  const { port, visits } = await serve(t, () => {})
  const post = block(pseudo('a.test', '/', 'POST'))
  const streams = Array.from({ length: 101 }, (_, at) => frame(TYPE.headers, FLAG.endHeaders, at * 2 + 1, post))
  const early = await FrameClient.open(t, port, 'a.test', false)
  early.write(PREFACE, frame(TYPE.settings, 0, 0), ...streams)

  const refused = await early.next('a refusal', ({ type }) => type === TYPE.reset)
  assert.deepEqual([refused.stream, refused.payload.readUInt32BE(0), visits.length], [201, 7, 100])
  const told = await FrameClient.open(t, port, 'a.test')
  await told.next('its confirmation', ({ type, flags }) => type === TYPE.settings && flags === FLAG.ack)
  told.write(frame(TYPE.ping, 0, 0, Buffer.alloc(8)))
  await told.next('its answer', ({ type }) => type === TYPE.ping)
  told.write(...streams)
  await told.ended()
})

test('what does not speak HTTP/2 after it was agreed on loses its connection', async (t) => {
  const { port } = await serve(t)
  const client = await FrameClient.open(t, port, 'a.test', false)
  client.write(Buffer.from('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'))

  await client.ended()

  assert.equal((await send(session(t, port), {})).text, 'ok')
})

test('at the end the client is told what is the last, what is open is finished, and then the connection ends', async (t) => {
  let finish = (): void => {}
  const { port, close, visits } = await serve(t, ({ req, res }) => {
    if (req.url === '/slow') finish = () => res.end('slow')
    else res.end('ok')
  })
  const client = await FrameClient.open(t, port, 'a.test')
  const path = (id: number, text: string) =>
    frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, id, block(pseudo('a.test', text)))
  client.write(path(1, '/slow'), path(3, '/'))
  assert.equal(await client.status(3), 200)

  const closed = close(20_000)
  const last = await client.next('GOAWAY', ({ type }) => type === TYPE.goaway)
  // Nothing is done about what was on its way, and the client knows: its number is above that of the GOAWAY.
  client.write(path(5, '/'))
  await client.next('the second GOAWAY', () => client.frames.filter(({ type }) => type === TYPE.goaway).length >= 2)
  finish()
  assert.equal(await client.status(1), 200)
  await Promise.all([client.ended(), closed])

  assert.equal(last.payload.readUInt32BE(0), 3)
  assert.equal(visits.length, 2)
  assert.equal(client.frames.filter(({ type }) => type === TYPE.reset).length, 0)
})

test('a connection without a stream ends after its time, also where a stream was open for longer', async (t) => {
  const { port } = await serve(t, ({ res }) => void res.write('begun'), { idleTimeoutMs: 100 })
  const [client, probe] = [session(t, port), session(t, port)]
  const stream = client.request({ ':authority': 'a.test' })
  await once(stream, 'data')
  // One that is idle from the beginning is told that its time is over; that of the other was over before.
  await once(probe, 'close')
  assert.equal(client.closed, false)

  stream.close()
  await once(client, 'close', { signal: AbortSignal.timeout(20_000) })

  assert.equal(client.closed, true)
})

test('nothing is kept of a connection that has ended', async (t) => {
  let connection: WeakRef<object> | undefined
  const { port, visits } = await serve(
    t,
    ({ req, res }) => {
      connection = new WeakRef((req.socket as unknown as StreamSocket).connection)
      res.end('ok')
    },
    { idleTimeoutMs: 60_000 },
  )
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void

  const client = session(t, port)
  await send(client, { ':path': '/' })
  visits.length = 0
  client.close()
  await once(client, 'close')

  const deadline = performance.now() + 20_000
  while (connection?.deref() !== undefined && performance.now() < deadline) {
    await nextTurn()
    collect()
  }
  assert.equal(connection?.deref(), undefined)
})

test('at the end nobody waits for a stream of events', async (t) => {
  const { port, close } = await serve(t, ({ res }) => {
    res.isEndless = true
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write('data: first\n\n')
  })
  const client = await FrameClient.open(t, port, 'a.test')
  client.write(frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, 1, block(pseudo('a.test', '/'))))
  assert.equal(await client.status(1), 200)

  const toldAt = performance.now()
  await Promise.all([client.ended(), close(60_000)])

  assert.ok(performance.now() - toldAt < 30_000)
})

test('what is still open when the time is over is ended', async (t) => {
  const { port, close } = await serve(t, () => {})
  const client = await FrameClient.open(t, port, 'a.test')
  client.write(frame(TYPE.headers, FLAG.endHeaders, 1, block(pseudo('a.test', '/', 'POST'))))
  await client.next('its confirmation', ({ type, flags }) => type === TYPE.settings && flags === FLAG.ack)

  await close(100)

  await client.ended()
})

test('at the end nobody waits for a client that has fallen silent', async (t) => {
  const { port, close } = await serve(t)
  const client = await FrameClient.open(t, port, 'a.test')
  client.write(frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, 1, block(pseudo('a.test', '/'))))
  assert.equal(await client.status(1), 200)

  // As one whose machine sleeps: it never learns that the connection ends.
  client.socket.pause()
  const toldAt = performance.now()
  await close(60_000)

  assert.ok(performance.now() - toldAt < 30_000)
})
