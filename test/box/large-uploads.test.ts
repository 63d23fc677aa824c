/**
 * Large uploads by every way at once, to a module and to upstreams, and what these answer: each byte arrives, in its place, at the
 * one it is for. Memory is given back while bodies are on their way, so what is sent must never be what was given back.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, RequestListener } from 'node:http'
import { createServer, request } from 'node:http'
import type { ClientHttp2Session } from 'node:http2'
import { connect } from 'node:http2'
import { createServer as createSecureServer, request as requestTls } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Writable } from 'node:stream'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { DEADLINE_MS, makeBox } from '../helpers/box.ts'
import { makePair } from '../helpers/certificates.ts'
import { contentOf, sumOf, sumOfStream } from '../helpers/large-content.ts'

/** Answers with what it got, or, `/sum`, with its sum; reads and writes `/slow…` with pauses. Says the sum as a trailer too. */
const ECHO = `
import { createHash } from 'node:crypto'
const ready = (res) => new Promise((go) => {
  const on = () => { res.off('drain', on).off('close', on); go() }
  res.on('drain', on).on('close', on)
})
const echo = async (req, res) => {
  const hash = createHash('sha1')
  const isSum = req.url.includes('sum')
  let bytes = 0
  res.setHeader('Content-Type', 'application/x')
  if (req.headers['x-length']) res.setHeader('Content-Length', req.headers['x-length'])
  else if (!isSum) res.setHeader('Trailer', 'X-Sum')
  for await (const chunk of req) {
    hash.update(chunk)
    if (!isSum && !res.write(chunk)) await ready(res)
    if (req.url.includes('slow') && (bytes += chunk.length) > 1e6) { bytes = 0; await new Promise((go) => setTimeout(go, 20)) }
  }
  const sum = hash.digest('hex')
  if (isSum) return res.end(sum)
  if (!req.headers['x-length']) res.addTrailers({ 'X-Sum': sum })
  res.end()
}
// Some leave in the middle.
export default (req, res) => echo(req, res).catch(() => res.destroy())
`

/** In pieces that fit no read, so that their ends are anywhere. @param piece bytes */
async function write(to: Writable, content: Buffer, piece: number): Promise<void> {
  for (let at = 0; at < content.byteLength; at += piece) {
    if (!to.write(content.subarray(at, at + piece))) await once(to, 'drain')
  }
  to.end()
}

interface Way {
  port: number
  host: string
  path: string
  seed: string
  isTls?: boolean
  /** Whether the length is said, of the upload and of the answer. */
  hasLength?: boolean
  pauseMs?: number
}

const MEGABYTES = 8

/** @returns what the answer is the sum of, or says, and the sum in its trailer */
async function overHttp1({
  port,
  host,
  path,
  seed,
  isTls = false,
  hasLength = false,
  pauseMs = 0,
}: Way): Promise<string> {
  const content = contentOf(seed, MEGABYTES)
  const length = String(content.byteLength)
  const headers = {
    host,
    ...(hasLength ? { 'content-length': length } : {}),
    ...(hasLength && path !== '/sum' ? { 'x-length': length } : {}),
  }
  const signal = AbortSignal.timeout(DEADLINE_MS)
  const options = { port, host: '127.0.0.1', method: 'PUT', path, signal, agent: false, headers }
  const asked = isTls ? requestTls({ ...options, servername: host, rejectUnauthorized: false }) : request(options)
  const answered = answerOf(once(asked, 'response') as Promise<[IncomingMessage]>, path === '/sum', pauseMs)
  // What comes back is read meanwhile, or both ends would wait for each other.
  const [sum] = await Promise.all([answered, write(asked, content, 100_003)])
  return sum
}

async function answerOf(response: Promise<[IncomingMessage]>, isSum: boolean, pauseMs: number): Promise<string> {
  const [answer] = await response
  assert.equal(answer.statusCode, 200)
  if (isSum) return (await answer.setEncoding('utf8').toArray()).join('')
  const sum = await sumOfStream(answer, pauseMs)
  assert.equal(answer.trailers['x-sum'] ?? sum, sum)
  return sum
}

async function overHttp2(session: ClientHttp2Session, host: string, path: string, seed: string): Promise<string> {
  const stream = session.request({ ':method': 'PUT', ':path': path, ':authority': host })
  const [sum] = await Promise.all([sumOfStream(stream, 0), write(stream, contentOf(seed, MEGABYTES), 100_003)])
  return sum
}

/** Leaves in the middle of an upload, or of what comes back. */
async function leave(port: number, host: string, seed: string): Promise<void> {
  const asked = request({ port, host: '127.0.0.1', method: 'PUT', path: '/', agent: false, headers: { host } })
  asked.on('error', () => {})
  asked.write(contentOf(seed, 3))
  const [answer] = (await once(asked, 'response')) as [IncomingMessage]
  await once(answer, 'data')
  asked.destroy()
}

async function upstream(t: TestContext, isTls: boolean): Promise<string> {
  const echo = (await import(`data:text/javascript,${encodeURIComponent(ECHO)}`)) as { default: RequestListener }
  const server = isTls ? createSecureServer(makePair(['up.test']), echo.default) : createServer(echo.default)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `${isTls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('large uploads and what comes back are what was sent, by every way at once, while others leave in the middle', async (t) => {
  const pair = 'certificate = ../tls/all.pem\nkey = ../tls/all.key\n'
  const more = '[limits]\nbody_wait = 0s\n'
  const proxy = (name: string, to: string, verify = ''): { ini: string } => ({
    ini: `[site]\ndomains = ${name}.test\nupstream = ${to}\n${pair}${verify}${more}`,
  })
  const box = makeBox(
    t,
    {
      app: { files: { 'app.mjs': ECHO }, more: pair + more },
      plain: proxy('plain', await upstream(t, false)),
      safe: proxy('safe', await upstream(t, true), '[proxy]\ntls_verify = no\n'),
    },
    { server: 'listen_tls = 127.0.0.1:0', config: '[pool]\nprocesses = 1\nthreads = 1' },
  )
  const { cert, key } = makePair(['app.test', 'plain.test', 'safe.test'])
  box.write('tls/all.pem', cert)
  box.write('tls/all.key', key)
  await box.start()
  const { listen } = await box.status()
  const secure = Number(new URL(listen.find((one) => one.startsWith('https:')) ?? '').port)
  const { port } = box

  const ways: Omit<Way, 'seed'>[] = ['app.test', 'plain.test', 'safe.test'].flatMap((host) => [
    { port, host, path: '/sum' },
    { port, host, path: '/sum', hasLength: true },
    { port, host, path: '/', hasLength: true },
    { port, host, path: '/slow', pauseMs: 30 },
    { port: secure, host, path: '/', isTls: true },
    { port: secure, host, path: '/slow', isTls: true, hasLength: true, pauseMs: 30 },
  ])
  const found = ways.map((way, at) => overHttp1({ ...way, seed: String.fromCharCode(97 + at) }))
  const expected = ways.map((_, at) => sumOf(contentOf(String.fromCharCode(97 + at), MEGABYTES)))
  for (const [at, host] of ['app.test', 'plain.test', 'safe.test'].entries()) {
    const session = connect(`https://127.0.0.1:${secure}`, { servername: host, rejectUnauthorized: false })
    session.on('error', () => {})
    t.after(() => session.destroy())
    found.push(overHttp2(session, host, '/', String(at)))
    expected.push(sumOf(contentOf(String(at), MEGABYTES)))
  }
  const leavers = ['app.test', 'plain.test', 'safe.test'].map((host) => leave(port, host, 'z'))

  assert.deepEqual(await Promise.all(found), expected)
  await Promise.all(leavers)
})
