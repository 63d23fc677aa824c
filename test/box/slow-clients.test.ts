/**
 * Clients that send or read slowly, many more than there are places in the only thread, or at the only upstream: a visitor of
 * the same site, and of its neighbour, is answered meanwhile, and each slow client gets its answer when it comes to an end.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo, Socket } from 'node:net'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { DEADLINE_MS, startBox } from '../helpers/box.ts'

/** Tells how many bytes of a body it got and their hash; sends 12 MB; answers before it reads; echoes each part. */
const APP = `const { createHash } = require('node:crypto')
const large = Buffer.alloc(12 * 1024 * 1024, 'x')
let begun = 0
module.exports = (req, res) => {
  if (req.url === '/begun') return res.end(String(begun))
  if (req.url === '/large') return res.end(large)
  if (req.url === '/refuse') return res.writeHead(401).end('no')
  if (req.url === '/echo') return req.pipe(res)
  if (req.method !== 'POST') return res.end('hello')
  begun++
  const hash = createHash('sha1')
  let bytes = 0
  req.on('data', (part) => { bytes += part.length; hash.update(part) })
  req.on('end', () => res.end(bytes + ' ' + hash.digest('hex')))
}`

const FEW_PLACES = '[pool]\nprocesses = 1\nthreads = 1\nconcurrency = 4'
/** Of each kind. */
const SLOW = 24
/** Far below what a visitor waited when slow clients had all the places: until they were cut off. */
const SOON_MS = 10_000

const sites = { app: { files: { 'main.cjs': APP } }, neighbour: { files: { 'main.cjs': APP } } }

const opened = new Set<Socket>()

/** A box whose clients are gone before it has to end, for it waits for what they left open. */
async function start(t: TestContext, fixtures: Record<string, SiteFixture>): Promise<Box> {
  t.after(() => {
    for (const socket of opened) socket.destroy()
    opened.clear()
  })
  return startBox(t, fixtures, { config: FEW_PLACES })
}

function raw(box: Box, bytes: string | Uint8Array): Socket {
  const socket = connect({ port: box.port, host: '127.0.0.1', noDelay: true })
  opened.add(socket)
  socket.on('error', () => {})
  socket.write(bytes)
  return socket
}

/** What a connection gives until `end` comes in the last bytes of it, or the server ends it. */
async function read(socket: Socket, end: string): Promise<string> {
  const parts: string[] = []
  const late = AbortSignal.timeout(DEADLINE_MS)
  socket.setEncoding('latin1')
  for await (const part of socket.iterator({ destroyOnReturn: false })) {
    parts.push(part)
    if (parts.slice(-2).join('').includes(end)) break
    late.throwIfAborted()
  }
  return parts.join('')
}

/** Normal visitors of both sites are answered, one after the other. */
async function visit(box: Box): Promise<void> {
  for (let round = 0; round < 10; round++) {
    const began = performance.now()
    const replies = await Promise.all([box.ask('app'), box.ask('neighbour'), box.ask('app', '/', { method: 'POST' })])
    const tookMs = performance.now() - began
    assert.deepEqual(
      replies.map(({ status }) => status),
      [200, 200, 200],
    )
    assert.ok(tookMs < SOON_MS, `${tookMs} ms`)
  }
}

async function came(box: Box, count: number): Promise<void> {
  await box.waitFor(`${count} requests`, async () => ((await box.site('app'))?.requests ?? 0) >= count)
}

/** A request, and its body by and by: `first` at once, then a byte now and then, until it is let go. */
class SlowSender {
  readonly socket: Socket
  readonly #body: Buffer
  readonly #timer: NodeJS.Timeout
  #sent: number

  constructor(t: TestContext, box: Box, body: Buffer, first: number, more = '') {
    this.#body = body
    this.#sent = first
    const head = `POST / HTTP/1.1\r\nHost: app.test\r\n${more}Content-Length: ${body.byteLength}\r\n\r\n`
    this.socket = raw(box, Buffer.concat([Buffer.from(head), body.subarray(0, first)]))
    this.#timer = setInterval(() => this.#send(this.#sent + 1), 50)
    t.after(() => clearInterval(this.#timer))
  }

  /** Sends the rest. @returns the answer */
  finish(): Promise<string> {
    clearInterval(this.#timer)
    const answer = read(this.socket, hashOf(this.#body))
    this.#send(this.#body.byteLength)
    return answer
  }

  #send(to: number): void {
    this.socket.write(this.#body.subarray(this.#sent, to))
    this.#sent = to
  }
}

function hashOf(bytes: Buffer): string {
  return createHash('sha1').update(bytes).digest('hex')
}

function bodyOf(bytes: number): Buffer {
  return Buffer.alloc(bytes, 'the quick brown fox jumps over the lazy dog; ')
}

const [SMALL, LARGE] = [bodyOf(5_000), bodyOf(300_000)]

/** `SLOW` of each kind: at the beginning of their body, in the middle of it, and not told yet to send it. */
function slowSenders(t: TestContext, box: Box): SlowSender[] {
  return Array.from({ length: SLOW }, () => [
    new SlowSender(t, box, SMALL, 3),
    new SlowSender(t, box, LARGE, 150_000),
    new SlowSender(t, box, SMALL, 0, 'Expect: 100-continue\r\n'),
  ]).flat()
}

/** Each gets the answer to its own body, and nothing is left of them. */
async function assertFinished(box: Box, slow: readonly SlowSender[]): Promise<void> {
  for (const answer of await Promise.all(slow.map((one) => one.finish()))) {
    assert.ok(
      [SMALL, LARGE].some((body) => answer.endsWith(`${body.byteLength} ${hashOf(body)}`)),
      answer,
    )
  }
  await box.waitFor('nothing in flight', async () => (await box.site('app'))?.inFlight === 0)
}

test('clients that send slowly keep no visitor waiting, however far they are, and get their answers', async (t) => {
  const box = await start(t, sites)
  await visit(box)
  const before = (await box.site('app'))?.requests ?? 0

  const slow = slowSenders(t, box)
  await came(box, before + slow.length)
  await visit(box)
  // Beyond `body_wait` too, when the site has seen as many of them as it may.
  await box.waitFor('64 to be with the site', async () => Number((await box.ask('app', '/begun')).text) >= 64)
  await visit(box)

  await assertFinished(box, slow)
})

test('clients that do not read their answers keep no visitor waiting, and get all of them in the end', async (t) => {
  const box = await start(t, sites)
  await visit(box)
  const before = (await box.site('app'))?.requests ?? 0

  const large = 'GET /large HTTP/1.1\r\nHost: app.test\r\n\r\n'
  const last = 'GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n'
  const slow = Array.from({ length: SLOW }, () => raw(box, `${large}${large}${last}`).pause())
  await came(box, before + SLOW)
  await visit(box)
  await box.waitFor('all of them to be lent', async () => (await box.site('app'))?.inFlight === SLOW)
  await visit(box)

  for (const socket of slow.slice(0, 4)) {
    const text = await read(socket, 'hello')
    assert.equal(text.split('HTTP/1.1 200 OK').length - 1, 3)
    assert.ok(text.length > 24 * 1024 * 1024)
  }
})

test('a site can answer before the body has come, and part by part', async (t) => {
  const box = await start(t, sites)
  const head = (path: string) => `POST ${path} HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n`

  const refused = raw(box, `${head('/refuse')}3\r\nabc\r\n`)
  assert.match(await read(refused, 'no'), /^HTTP\/1\.1 401 /)

  const talk = raw(box, `${head('/echo')}3\r\none\r\n`)
  assert.match(await read(talk, 'one'), /^HTTP\/1\.1 200 [\s\S]*one/)
  for (const word of ['two', 'three', 'four']) {
    const echo = read(talk, word)
    talk.write(`${word.length.toString(16)}\r\n${word}\r\n`)
    assert.ok((await echo).includes(word))
  }
  const end = read(talk, '0\r\n\r\n')
  talk.write('0\r\n\r\n')
  assert.ok((await end).endsWith('0\r\n\r\n'))
})

test('a body that stops before its site has seen it gets 408, and nothing of it is left', async (t) => {
  const limits = '[limits]\nbody_wait = 1h\nbody_timeout = 500ms'
  const box = await start(t, { app: { files: { 'main.cjs': APP }, more: limits } })

  const slow = raw(box, 'POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\n123')

  assert.match(await read(slow, 'never'), /^HTTP\/1\.1 408 /)
  assert.equal((await box.ask('app', '/begun')).text, '0')
  assert.equal((await box.site('app'))?.inFlight, 0)
})

/** The same site, in this process, and two sites that hand everything on to it, one request at a time. */
async function startFronts(t: TestContext, proxy: string): Promise<Box> {
  const module: { exports?: RequestListener } = {}
  new Function('module', 'require', APP)(module, createRequire(import.meta.filename))
  const server = createServer(module.exports)
  t.after(() => server.closeAllConnections())
  t.after(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const upstream = `upstream = http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const ini = (name: string): string =>
    `[site]\ndomains = ${name}.test\n${upstream}\n[proxy]\nconnections = 1\n${proxy}`
  return start(t, { app: { ini: ini('app') }, neighbour: { ini: ini('neighbour') } })
}

test('an upstream gets the requests of slow senders when they are whole, and serves others meanwhile', async (t) => {
  const box = await startFronts(t, '')

  const slow = slowSenders(t, box)
  await came(box, slow.length)
  await visit(box)
  // Those of the visitors, each with a body of nothing.
  const begun = Number((await box.ask('app', '/begun')).text)

  assert.equal(begun, 10)
  await assertFinished(box, slow)
})

test('an upstream is done with its answer before a slow reader is', async (t) => {
  const box = await startFronts(t, 'buffer = 16MB')

  const slow = Array.from({ length: 3 }, () =>
    raw(box, 'GET /large HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n').pause(),
  )
  await came(box, slow.length)
  await box.waitFor('the upstream to be free', async () => (await box.site('app'))?.inFlight === 0)
  await visit(box)

  const texts = await Promise.all(slow.map((socket) => read(socket, 'never')))
  for (const text of texts) assert.equal(text.length - text.indexOf('\r\n\r\n') - 4, 12 * 1024 * 1024)
})

test('beyond its buffer an answer goes on as fast as its client, and so does every answer where there is none', async (t) => {
  const box = await startFronts(t, 'buffer = 0B')

  const slow = raw(box, 'GET /large HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n').pause()
  await came(box, 1)
  const next = box.ask('app')
  assert.equal((await box.site('app'))?.inFlight, 1)
  const text = await read(slow, 'never')

  assert.equal(text.length - text.indexOf('\r\n\r\n') - 4, 12 * 1024 * 1024)
  assert.equal((await next).text, 'hello')
})

test('a client that does not say how much will come talks with its upstream part by part', async (t) => {
  const box = await startFronts(t, '')
  const talk = raw(box, 'POST /echo HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n')

  assert.match(await read(talk, 'one'), /^HTTP\/1\.1 200 [\s\S]*one/)
  const echo = read(talk, 'two')
  talk.write('3\r\ntwo\r\n')
  assert.ok((await echo).includes('two'))
  const end = read(talk, '0\r\n\r\n')
  talk.write('0\r\n\r\n')
  assert.ok((await end).endsWith('0\r\n\r\n'))
})

test('a site that is removed while a body is collected answers 503', async (t) => {
  const box = await startFronts(t, '')
  const slow = new SlowSender(t, box, bodyOf(5_000), 3)
  await came(box, 1)

  rmSync(`${box.dir}/sites-enabled/app.ini`)
  await box.waitFor('the site to be gone', async () => (await box.site('app')) === undefined)
  const answer = read(slow.socket, 'HTTP/1.1')
  void slow.finish().catch(() => {})

  assert.match(await answer, /^HTTP\/1\.1 503 /)
})
