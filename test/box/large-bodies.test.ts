/**
 * Large answers by every way at once: each byte arrives, in its place, at the client it is for. Memory is given back while
 * answers are on their way, so what is sent must never be what was given back.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:http'
import type { ClientHttp2Session } from 'node:http2'
import { connect } from 'node:http2'
import { request as requestTls } from 'node:https'
import { test } from 'node:test'
import { createGunzip } from 'node:zlib'
import { WebSocket } from 'ws'
import { DEADLINE_MS, makeBox } from '../helpers/box.ts'
import { makePair } from '../helpers/certificates.ts'
import { contentOf, sumOf, sumOfStream } from '../helpers/large-content.ts'

/** Sends 64 KiB of a stream of its own after the other, from one buffer that is filled again as soon as it was called back. */
const SERVER = `
import { createServer } from 'node:http'
import { createCipheriv } from 'node:crypto'
import { createRequire } from 'node:module'
const { WebSocketServer } = createRequire(import.meta.url)('ws')
const server = createServer((req, res) => {
  const [, seed, megabytes] = req.url.split('/')
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16))
  const [zeros, buffer] = [Buffer.alloc(65_536), Buffer.alloc(65_536)]
  let left = Number(megabytes) * 16
  res.setHeader('Content-Type', 'text/plain')
  const next = () => {
    if (left-- === 0) return res.end()
    cipher.update(zeros).copy(buffer)
    res.write(buffer, (error) => error ? undefined : next())
  }
  next()
})
new WebSocketServer({ server, maxPayload: 1e8 }).on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
server.listen(3000)
`
const FETCH = `
import { createCipheriv } from 'node:crypto'
export default { fetch(request) {
  const [, seed, megabytes] = new URL(request.url).pathname.split('/')
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16))
  let left = Number(megabytes) * 16
  return new Response(new ReadableStream({
    pull(stream) { left-- === 0 ? stream.close() : stream.enqueue(new Uint8Array(cipher.update(Buffer.alloc(65_536)))) },
  }))
} }
`

interface Way {
  port: number
  host: string
  path: string
  pauseMs?: number
  isTls?: boolean
  headers?: Record<string, string>
}

async function overHttp1({ port, host, path, pauseMs = 0, isTls = false, headers = {} }: Way): Promise<string> {
  const signal = AbortSignal.timeout(DEADLINE_MS)
  const options = { port, host: '127.0.0.1', path, signal, agent: false, headers: { host, ...headers } }
  const asked = isTls ? requestTls({ ...options, servername: host, rejectUnauthorized: false }) : request(options)
  const [response] = (await once(asked.end(), 'response')) as [IncomingMessage]
  assert.equal(response.statusCode, 200)
  const isCompressed = response.headers['content-encoding'] === 'gzip'
  assert.equal(isCompressed, headers['accept-encoding'] === 'gzip')
  return sumOfStream(isCompressed ? response.pipe(createGunzip()) : response, pauseMs)
}

async function overHttp2(session: ClientHttp2Session, host: string, path: string, pauseMs: number): Promise<string> {
  const stream = session.request({ ':path': path, ':authority': host })
  return sumOfStream(stream, pauseMs)
}

async function echoed(port: number, host: string, seed: string): Promise<string> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { host }, maxPayload: 1e8 })
  await once(socket, 'open')
  const message = once(socket, 'message')
  socket.send(contentOf(seed, 4))
  const [data] = (await message) as [Buffer]
  socket.close()
  return sumOf(data)
}

test('large answers are what their sites sent, to fast and slow clients, by every protocol at once', async (t) => {
  const tls = (name: string): string => `[site]\ndomains = ${name}.test\nroot = ../sites/${name}\n`
  const pair = 'certificate = ../tls/all.pem\nkey = ../tls/all.key\n'
  const box = makeBox(
    t,
    {
      app: { files: { 'server.js': SERVER }, more: `${pair}compress = no` },
      packed: { files: { 'server.js': SERVER }, more: pair },
      fetch: { files: { 'fetch.js': FETCH }, more: pair },
      files: { files: { 'big.bin': contentOf('f', 8).toString('latin1') }, ini: `${tls('files')}${pair}` },
    },
    { server: 'listen_tls = 127.0.0.1:0', config: '[pool]\nprocesses = 1\nthreads = 1' },
  )
  const { cert, key } = makePair(['app.test', 'packed.test', 'fetch.test', 'files.test'])
  box.write('tls/all.pem', cert)
  box.write('tls/all.key', key)
  await box.start()
  const { listen } = await box.status()
  const secure = Number(new URL(listen.find((one) => one.startsWith('https:')) ?? '').port)
  const session = connect(`https://127.0.0.1:${secure}`, { servername: 'app.test', rejectUnauthorized: false })
  session.on('error', () => {})
  t.after(() => session.destroy())

  const { port } = box
  const file = sumOf(Buffer.from(contentOf('f', 8).toString('latin1')))
  const gzip = { 'accept-encoding': 'gzip' }
  const found: Record<string, Promise<string>> = {
    plain: overHttp1({ port, host: 'app.test', path: '/1/12' }),
    slow: overHttp1({ port, host: 'app.test', path: '/2/12', pauseMs: 40 }),
    compressed: overHttp1({ port, host: 'packed.test', path: '/3/4', headers: gzip }),
    streamed: overHttp1({ port, host: 'fetch.test', path: '/4/12' }),
    tls: overHttp1({ port: secure, host: 'app.test', path: '/5/12', isTls: true }),
    tlsSlow: overHttp1({ port: secure, host: 'fetch.test', path: '/6/8', isTls: true, pauseMs: 40 }),
    http2: overHttp2(session, 'app.test', '/7/12', 0),
    http2Slow: overHttp2(session, 'app.test', '/8/8', 40),
    echo: echoed(port, 'app.test', '9'),
    file: overHttp1({ port, host: 'files.test', path: '/big.bin' }),
    fileSlow: overHttp1({ port: secure, host: 'files.test', path: '/big.bin', isTls: true, pauseMs: 40 }),
  }
  const expected = {
    ...{ plain: sumOf(contentOf('1', 12)), slow: sumOf(contentOf('2', 12)), compressed: sumOf(contentOf('3', 4)) },
    ...{ streamed: sumOf(contentOf('4', 12)), tls: sumOf(contentOf('5', 12)), tlsSlow: sumOf(contentOf('6', 8)) },
    ...{ http2: sumOf(contentOf('7', 12)), http2Slow: sumOf(contentOf('8', 8)), echo: sumOf(contentOf('9', 4)) },
    ...{ file, fileSlow: file },
  }

  const sums = await Promise.all(Object.entries(found).map(async ([name, sum]) => [name, await sum] as const))
  assert.deepEqual(Object.fromEntries(sums), expected)
})
