/**
 * Applications of the frameworks that people use, unmodified: all that a visitor may do with them, and 100 MB each
 * way.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:http'
import { resolve } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import WebSocket from 'ws'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'
import { peakRssOf } from '../helpers/memory.ts'

const FIXTURES = resolve(import.meta.dirname, '../fixtures/sites/frameworks')
const MB = 1024 ** 2
const MEGABYTES = 100
const WARM_MEGABYTES = 8
/** Heaps of four threads and a dispatcher that work, garbage included: less than the body that one of them would hold. */
const MAY_GROW = 64 * MB

interface Case {
  name: string
  site: SiteFixture
  framework: string
  shape: string
  /** What a visitor gets when a handler throws. */
  failure: number
}

const site = (module: string, more = ''): SiteFixture => ({ root: FIXTURES, module, more })
const CASES: Case[] = [
  {
    name: 'a Fastify 5 plugin',
    site: site('fastify5.mjs', '[options]\ngreeting = hello'),
    framework: 'fastify',
    shape: 'fastify',
    failure: 500,
  },
  {
    name: 'an Express 5 application',
    site: site('express.cjs', '[env]\nEXPRESS = express'),
    framework: 'express',
    shape: 'handler',
    failure: 500,
  },
  {
    name: 'an Express 4 application',
    site: site('express.cjs', '[env]\nEXPRESS = express4'),
    framework: 'express4',
    shape: 'handler',
    failure: 500,
  },
  { name: "Koa 3's callback", site: site('koa3.mjs'), framework: 'koa', shape: 'handler', failure: 500 },
  { name: 'a Hono 4 application', site: site('hono4.mjs'), framework: 'hono', shape: 'fetch', failure: 500 },
  {
    name: 'an unmodified server that calls listen()',
    site: site('plain.mjs'),
    framework: 'plain',
    shape: 'listen',
    failure: 500,
  },
]

/** Opens an answer and gives back its head; the body is the caller's. */
async function open(box: Box, path: string): Promise<IncomingMessage> {
  const req = request({ host: '127.0.0.1', port: box.port, path, headers: { host: 'app.test' }, agent: false }).end()
  const [res] = (await once(req, 'response')) as [IncomingMessage]
  return res
}

for (const one of CASES) {
  test(one.name, { timeout: 150_000 }, async (t) => {
    const box = await startBox(t, { app: one.site })
    await t.test('is recognised, and answers JSON, forms, cookies and redirects', () => exchanges(box, one))
    await t.test('takes a file that a form brings', () => files(box))
    await t.test('reports what its handlers throw, at once or later', () => failures(box, one))
    await t.test('sends events as they happen, and hears when the client goes', () => events(box))
    await t.test(`takes and gives ${MEGABYTES} MB with bounded memory`, () => large(box))
  })
}

async function exchanges(box: Box, one: Case): Promise<void> {
  const home = await box.ask('app')
  const json = await box.ask('app', '/json', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"name":"Žofie","list":[1,2]}',
  })
  const form = await box.ask('app', '/form', {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'name=%C5%BDofie&x=1',
  })
  const cookies = await box.ask('app', '/cookies', { headers: { cookie: 'session=abc' } })
  const redirect = await box.ask('app', '/redirect')

  assert.equal(JSON.parse(home.text).framework, one.framework)
  assert.deepEqual(JSON.parse(json.text), { got: { name: 'Žofie', list: [1, 2] } })
  assert.deepEqual(JSON.parse(form.text), { got: { name: 'Žofie', x: '1' } })
  assert.deepEqual(cookies.headers['set-cookie'], ['a=1; Path=/', 'b=2; HttpOnly'])
  assert.deepEqual(JSON.parse(cookies.text), { cookie: 'session=abc' })
  assert.deepEqual([redirect.status, redirect.headers.location], [302, '/elsewhere'])
  assert.equal((await box.site('app'))?.shape, one.shape)
}

/** A form with a file of some windows of the pool's protocol, as browsers send it. */
async function files(box: Box): Promise<void> {
  const photo = randomBytes(1_000_000)
  const form = new FormData()
  form.set('title', 'Žofie')
  form.set('file', new File([photo], 'photo ž.jpg', { type: 'image/jpeg' }))
  const sent = new Response(form)

  const reply = await box.ask('app', '/files', {
    method: 'POST',
    headers: { 'content-type': sent.headers.get('content-type') ?? '' },
    body: await sent.bytes(),
  })

  assert.deepEqual(JSON.parse(reply.text), {
    title: 'Žofie',
    name: 'photo ž.jpg',
    type: 'image/jpeg',
    bytes: photo.byteLength,
    sha256: createHash('sha256').update(photo).digest('hex'),
  })
}

async function failures(box: Box, one: Case): Promise<void> {
  const thrown = await box.ask('app', '/throws')
  const rejected = await box.ask('app', '/rejects')
  const after = await box.ask('app')

  assert.equal(thrown.status, one.failure)
  assert.equal(rejected.status, one.failure)
  assert.equal(after.status, 200)
}

async function events(box: Box): Promise<void> {
  const stream = await open(box, '/events')
  const [first] = (await once(stream, 'data')) as [Buffer]
  const second = once(stream, 'data') as Promise<[Buffer]>
  await box.ask('app', '/events/next')
  const [next] = await second
  stream.destroy()

  assert.equal(stream.headers['content-type'], 'text/event-stream')
  assert.equal(first.toString(), 'data: first\n\n')
  assert.equal(next.toString(), 'data: second\n\n')
  await box.waitFor('the site to hear that the stream closed', async () => {
    return JSON.parse((await box.ask('app', '/events/closed')).text).closed === 1
  })

  const hanging = request({ host: '127.0.0.1', port: box.port, path: '/hangs', headers: { host: 'app.test' } })
  hanging.on('error', () => {})
  hanging.end()
  await box.waitFor('the request to be with the site', async () => (await box.site('app'))?.inFlight === 1)
  hanging.destroy()
  await box.waitFor('the site to hear that the client went', async () => {
    return JSON.parse((await box.ask('app', '/aborts')).text).aborts === 1
  })
}

async function large(box: Box): Promise<void> {
  // A few megabytes load all code that takes part; what is held of the many that follow shows in the peak.
  await upload(box, WARM_MEGABYTES)
  await slowDownload(box, WARM_MEGABYTES)
  const before = peakRssOf(box.pid)

  const bytes = await upload(box, MEGABYTES)
  const taken = peakRssOf(box.pid)
  const received = await slowDownload(box, MEGABYTES)
  const given = peakRssOf(box.pid)

  assert.equal(bytes, MEGABYTES * MB)
  assert.equal(received, MEGABYTES * MB)
  assert.ok(taken - before < MAY_GROW, `the tree grew by ${Math.round((taken - before) / MB)} MB by what it took`)
  assert.ok(given - taken < MAY_GROW, `the tree grew by ${Math.round((given - taken) / MB)} MB by what it gave`)
}

async function upload(box: Box, megabytes: number): Promise<number> {
  const req = request({
    host: '127.0.0.1',
    port: box.port,
    path: '/upload',
    method: 'POST',
    agent: false,
    headers: { host: 'app.test', 'content-type': 'application/octet-stream' },
  })
  const answered = once(req, 'response') as Promise<[IncomingMessage]>
  const chunk = Buffer.alloc(MB, 'y')
  for (let count = 0; count < megabytes; count++) if (!req.write(chunk)) await once(req, 'drain')
  req.end()
  const [res] = await answered
  const text = (await res.toArray()).join('')
  return (JSON.parse(text) as { bytes: number }).bytes
}

/** Reads with a pause after each megabyte, in which everything between here and the site fills up. */
async function slowDownload(box: Box, megabytes: number): Promise<number> {
  const res = await open(box, `/download/${megabytes}`)
  let received = 0
  for await (const chunk of res) {
    received += (chunk as Buffer).byteLength
    if (received % MB < 65_536) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return received
}

const SOCKETS: [string, SiteFixture][] = [
  ['an unmodified server', site('plain.mjs')],
  ['a Fastify plugin', site('fastify5.mjs')],
  ['an Express application', site('express-socket.cjs')],
]

for (const [name, app] of SOCKETS) {
  test(`a WebSocket of ${name} echoes text and binary, and closes in order`, (t) => echoes(t, app))
}

async function echoes(t: TestContext, app: SiteFixture): Promise<void> {
  const box = await startBox(t, { app })
  const socket = new WebSocket(`ws://127.0.0.1:${box.port}/echo`, { headers: { host: 'app.test' } })
  const received: { data: Buffer; isBinary: boolean }[] = []
  socket.on('message', (data, isBinary) => received.push({ data: data as Buffer, isBinary }))
  await once(socket, 'open')
  const big = Buffer.alloc(1_000_000, 7)

  socket.send('ping')
  socket.send(big)
  await box.waitFor('three messages', () => received.length === 3)
  socket.close(1000, 'done')
  const [code] = (await once(socket, 'close')) as [number]

  assert.equal(received[0]?.data.toString(), 'hello 127.0.0.1')
  assert.deepEqual([received[1]?.data.toString(), received[1]?.isBinary], ['ping', false])
  assert.equal(received[2]?.isBinary, true)
  assert.ok(received[2]?.data.equals(big))
  assert.equal(code, 1000)
  assert.equal((await box.ask('app')).status, 200)
}

test('a WebSocket to a path that takes none is refused as the site says', async (t) => {
  const box = await startBox(t, { app: site('plain.mjs') })
  const socket = new WebSocket(`ws://127.0.0.1:${box.port}/nothing`, { headers: { host: 'app.test' } })

  const [error] = (await once(socket, 'error')) as [Error]

  assert.match(error.message, /Unexpected server response: 400/)
})

test('an upgrade to a site without WebSockets is answered as an ordinary request', async (t) => {
  const box = await startBox(t, { app: site('hono4.mjs') })

  const reply = await box.ask('app', '/', { headers: { connection: 'Upgrade', upgrade: 'websocket' } })

  assert.equal(reply.status, 200)
  assert.equal(JSON.parse(reply.text).framework, 'hono')
})
