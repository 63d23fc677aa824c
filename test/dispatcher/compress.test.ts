/** Which answers are compressed and how, over a real server and a real socket. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { request } from 'node:http'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { brotliDecompressSync, createGunzip, gunzipSync, zstdDecompressSync } from 'node:zlib'
import { createServer } from '../../src/core/node-http.ts'
import { compressing } from '../../src/dispatcher/compress.ts'
import { acceptedCoding } from '../../src/dispatcher/content-coding.ts'
import { FrontResponse } from '../../src/dispatcher/front-response.ts'
import type { Visit } from '../../src/dispatcher/visit.ts'
import { listenHere } from '../helpers/listen-here.ts'

const TEXT = 'All that is gold does not glitter. '.repeat(100)
const DECODERS: Record<string, (body: Buffer) => Buffer> = {
  zstd: (body) => zstdDecompressSync(body),
  br: (body) => brotliDecompressSync(body),
  gzip: (body) => gunzipSync(body),
}

type Answer = (res: FrontResponse, req: IncomingMessage) => void | Promise<void>

function serve(t: TestContext, answer: Answer): Promise<number> {
  const server = createServer({ ServerResponse: FrontResponse }, (req, res) => {
    compressing({ req, res, upgrade: undefined } as Visit, () => void answer(res, req))
  })
  return listenHere(t, server)
}

function open(port: number, headers: Record<string, string>, method = 'GET', path = '/'): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, path, headers, method, agent: false }, resolve)
    req.on('error', reject).end()
  })
}

async function ask(port: number, accept?: string, more: Record<string, string> = {}, method = 'GET', path = '/') {
  const res = await open(port, accept === undefined ? more : { ...more, 'accept-encoding': accept }, method, path)
  const chunks: Buffer[] = []
  for await (const chunk of res as AsyncIterable<Buffer>) chunks.push(chunk)
  const body = Buffer.concat(chunks)
  const coding = res.headers['content-encoding']
  const text = method === 'HEAD' ? '' : String(coding === undefined ? body : (DECODERS[coding]?.(body) ?? body))
  return { status: res.statusCode, headers: res.headers, coding, text }
}

const whole =
  (headers: Record<string, string>, status = 200, body = TEXT): Answer =>
  (res, req) => {
    res.sendDate = false
    res.writeHead(status, { 'content-length': String(Buffer.byteLength(body)), ...headers })
    res.end(req.method === 'HEAD' ? undefined : body)
  }

test('the coding is what the client likes best, and zstd, br, gzip where it likes all alike', () => {
  const cases: [string, string | undefined, boolean][] = [
    ['gzip, deflate, br, zstd', 'zstd', false],
    ['gzip, deflate, br', 'br', false],
    ['gzip', 'gzip', false],
    ['GZIP', 'gzip', false],
    ['gzip;q=1, br;q=0.5', 'gzip', false],
    ['br;q=0, gzip;q=0.1', 'gzip', false],
    ['identity', undefined, false],
    ['gzip;q=0.2, identity;q=0.9', undefined, false],
    ['deflate', undefined, false],
    ['', undefined, false],
    ['*', 'zstd', false],
    ['*;q=0', undefined, false],
    ['gzip, identity;q=0', 'gzip', true],
    ['gzip, *;q=0', 'gzip', true],
    ['\u0000;;,q=,,', undefined, false],
  ]
  for (const [text, coding, needsCoding] of cases) {
    assert.deepEqual(acceptedCoding(['Host', 'a', 'Accept-Encoding', text]), { coding, needsCoding }, text)
  }
  assert.equal(acceptedCoding(['accept-encoding', 'br;q=0', 'Accept-Encoding', 'gzip']).coding, 'gzip')
  assert.equal(acceptedCoding([]).coding, undefined)
})

test('an answer is compressed as accepted, its tag is weak, its length is gone, and it varies', async (t) => {
  const port = await serve(
    t,
    whole({ 'content-type': 'text/html; charset=utf-8', etag: '"v1"', vary: 'Origin', 'accept-ranges': 'bytes' }),
  )

  for (const coding of ['zstd', 'br', 'gzip']) {
    const reply = await ask(port, coding)
    assert.equal(reply.text, TEXT)
    const { connection: _, 'transfer-encoding': chunked, ...headers } = reply.headers
    assert.equal(chunked, 'chunked')
    assert.deepEqual(headers, {
      'content-type': 'text/html; charset=utf-8',
      etag: 'W/"v1"',
      'content-encoding': coding,
      vary: 'Origin, Accept-Encoding',
    })
    const head = await ask(port, coding, {}, 'HEAD')
    const { connection: _c, 'transfer-encoding': _t, ...headHeaders } = head.headers
    assert.deepEqual(headHeaders, headers)
  }
  const plain = await ask(port, undefined)
  assert.deepEqual(
    [plain.text, plain.coding, plain.headers.etag, plain.headers.vary, plain.headers['content-length']],
    [TEXT, undefined, '"v1"', 'Origin, Accept-Encoding', String(TEXT.length)],
  )
})

test('what must not or need not be compressed goes as it is', async (t) => {
  const type = { 'content-type': 'text/plain' }
  const small = 'x'.repeat(1023)
  const cases: [string, Answer, string | undefined][] = [
    ['a picture', whole({ 'content-type': 'image/png' }), undefined],
    ['no type', whole({}), undefined],
    ['coded already', whole({ ...type, 'content-encoding': 'x-own' }), undefined],
    ['no-transform', whole({ ...type, 'cache-control': 'public, No-Transform' }), undefined],
    ['a range', whole({ ...type, 'content-range': 'bytes 0-9/100' }, 206), undefined],
    ['a digest', whole({ ...type, 'content-digest': 'sha-256=:x:' }), undefined],
    ['small', whole(type, 200, small), undefined],
    ['not so small', whole(type, 200, `${small}x`), 'Accept-Encoding'],
    ['any variance', whole({ ...type, vary: '*' }), '*'],
    ['named before', whole({ ...type, vary: 'accept-encoding' }), 'accept-encoding'],
  ]
  for (const [name, answer, vary] of cases) {
    const reply = await ask(await serve(t, answer), 'gzip')
    assert.equal(reply.coding, vary === undefined ? (name === 'coded already' ? 'x-own' : undefined) : 'gzip', name)
    assert.equal(reply.headers.vary, vary, name)
  }
  const strict = await ask(await serve(t, whole(type, 200, 'tiny')), 'gzip, identity;q=0')
  assert.deepEqual([strict.coding, strict.text], ['gzip', 'tiny'])
})

test('a 304 has the tag that the client knows, and varies where the answer did', async (t) => {
  const port = await serve(t, (res, req) => {
    res.writeHead(304, { ...(req.url === '/origin' ? { vary: 'Origin' } : {}), etag: '"v1"' }).end()
  })

  const weak = await ask(port, 'gzip', { 'if-none-match': 'W/"v1"' })
  const both = await ask(port, 'gzip', { 'if-none-match': 'W/"v1"' }, 'GET', '/origin')
  const strong = await ask(port, 'gzip', { 'if-none-match': '"v1"' })

  assert.deepEqual([weak.headers.etag, weak.headers.vary], ['W/"v1"', 'Accept-Encoding'])
  assert.equal(both.headers.vary, 'Origin, Accept-Encoding')
  assert.deepEqual([strong.headers.etag, strong.headers.vary], ['"v1"', undefined])
})

test('each part of a stream reaches the client at once, by every coding', async (t) => {
  let next: (() => void) | undefined
  const port = await serve(t, (res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.flushHeaders()
    let left = 3
    next = () => {
      if (left-- > 0) res.write(`data: ${left}\n\n`)
      else res.end()
    }
  })

  const res = await open(port, { 'accept-encoding': 'gzip' })
  const plain = res.pipe(createGunzip()).setEncoding('utf8')
  const parts: string[] = []
  for (let part = 0; part < 3; part++) {
    next?.()
    parts.push(String((await once(plain, 'data'))[0]))
  }
  next?.()
  await once(plain, 'end')

  assert.deepEqual(parts, ['data: 2\n\n', 'data: 1\n\n', 'data: 0\n\n'])
  for (const coding of ['zstd', 'br']) {
    const raw = await open(port, { 'accept-encoding': coding })
    next?.()
    const [first] = (await once(raw, 'data')) as [Buffer]
    assert.ok(first.length > 0, coding)
    raw.destroy()
  }
})

test('large bodies come whole, also in many writes, and a slow client holds the writer back', async (t) => {
  const noise = (): string => randomBytes(6144).toString('base64')
  const blocks = 2000
  let written = 0
  const port = await serve(t, async (res) => {
    res.writeHead(200, { 'content-type': 'text/plain' })
    for (; written < blocks && !res.destroyed; written++) {
      if (!res.write(noise())) await new Promise((resolve) => res.once('drain', resolve))
    }
    res.end()
  })

  const res = await open(port, { 'accept-encoding': 'gzip' })
  const before = await settled(() => written)
  assert.ok(before < blocks, 'the writer was not held back')
  const chunks: Buffer[] = []
  for await (const chunk of res as AsyncIterable<Buffer>) chunks.push(chunk)

  assert.equal(gunzipSync(Buffer.concat(chunks)).length, blocks * 8192)
})

test('a client that goes in the middle leaves nothing behind, and a body written in two parts is whole', async (t) => {
  let closed = 0
  const port = await serve(t, (res, req) => {
    res.on('close', () => closed++)
    res.writeHead(200, { 'content-type': 'text/plain' })
    res.write(TEXT)
    if (req.url === '/') res.end(TEXT)
  })
  const gone = request({ host: '127.0.0.1', port, path: '/open', headers: { 'accept-encoding': 'br' }, agent: false })
  gone.on('error', () => {}).end()
  const [res] = (await once(gone, 'response')) as [IncomingMessage & { headers: IncomingHttpHeaders }]
  await once(res, 'data')
  res.on('error', () => {})
  gone.destroy()

  for (const coding of ['zstd', 'br', 'gzip']) assert.equal((await ask(port, coding)).text, TEXT + TEXT)
  const deadline = performance.now() + 10_000
  while (closed < 4 && performance.now() < deadline) await new Promise(setImmediate)
  assert.equal(closed, 4)
})

test('a part of a page that would be compressed varies as the page does', async (t) => {
  const part = (type: string, range?: string): Answer =>
    whole({ 'content-type': type, ...(range === undefined ? {} : { 'content-range': range }) }, 206, 'part')
  const answers: Record<string, Answer> = {
    '/large': part('text/plain', 'bytes 0-3/5000'),
    '/unknown': part('text/plain', 'bytes 0-3/*'),
    '/parts': part('multipart/byteranges; boundary=x'),
    '/small': part('text/plain', 'bytes 0-3/10'),
    '/image': part('image/png', 'bytes 0-3/5000'),
  }
  const port = await serve(t, (res, req) => answers[req.url ?? '']?.(res, req))

  const varied = await Promise.all(Object.keys(answers).map((path) => ask(port, 'gzip', {}, 'GET', path)))

  assert.deepEqual(
    varied.map(({ status, headers, coding, text }) => [status, headers.vary, coding, text]),
    ['Accept-Encoding', 'Accept-Encoding', 'Accept-Encoding', undefined, undefined].map((vary) => {
      return [206, vary, undefined, 'part']
    }),
  )
})

/** The value once it stays the same for 50 looks over 10 ms each. */
async function settled(value: () => number): Promise<number> {
  let last = -1
  for (let same = 0; same < 50; same++) {
    if (value() !== last) same = 0
    last = value()
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return last
}
