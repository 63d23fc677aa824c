/**
 * Production builds and servers that others wrote, hosted as they are: each is a site of one box, and is asked for what
 * its users would ask for.
 *
 * Limits: building takes most of the time; one box for all of it, because that is what vhostel is for.
 */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Box, DEADLINE_MS } from '../helpers/box.ts'
import { buildNext, buildNitro, buildSvelteKit, copyApp } from './builds.ts'

const box = new Box(mkdtempSync(join(tmpdir(), 'vh-builds-')))

before(
  async () => {
    mkdirSync(join(box.dir, 'sites-enabled'))
    box.write('vhostel.ini', '[server]\nlisten = 127.0.0.1:0\n[pool]\nprocesses = 1\nthreads = 2\n')
    const next = buildNext(join(box.dir, 'next'))
    const kit = buildSvelteKit(join(box.dir, 'kit'))
    const nitro = buildNitro(join(box.dir, 'nitro'))
    site('next', next, 'server.js', 'GREETING = bonjour')
    site('kit', kit, 'index.js', 'GREETING = salut')
    site('nitro', nitro, 'index.mjs', 'GREETING = ciao')
    site('files', copyApp('http-server', box.dir), '../../node_modules/http-server/bin/http-server', 'PORT = 8080')
    site('rest', copyApp('json-server', box.dir), 'start.cjs')
    // Who is there it keeps in memory.
    site('peers', copyApp('peer', box.dir), 'start.cjs', '[limits]\nmax_threads = 1')
    await box.start()
  },
  { timeout: 300_000 },
)

after(async () => {
  await box.stop()
  rmSync(box.dir, { recursive: true, force: true })
})

function site(name: string, root: string, module: string, env = ''): void {
  box.addSite(name, { ini: `[site]\ndomains = ${name}.test\nroot = ${root}\nmodule = ${module}\n[env]\n${env}\n` })
}

/** The first address of this kind that a page names. */
function addressIn(html: string, pattern: RegExp): string {
  const found = pattern.exec(html)?.[1]
  assert.ok(found, `no ${pattern} in:\n${html.slice(0, 2_000)}`)
  return found
}

test('Next standalone renders a page with the host it is asked for and its own environment', async () => {
  const page = await box.ask('next')

  assert.equal(page.status, 200)
  assert.match(page.text, /Rendered for (<!-- -->)?next\.test/)
  assert.match(page.text, /bonjour/)
})

test('Next standalone serves its chunks and its public files', async () => {
  const page = await box.ask('next')

  const chunk = await box.ask('next', addressIn(page.text, /src="(\/_next\/static\/[^"]+\.js)"/))
  const robots = await box.ask('next', '/robots.txt')

  assert.equal(chunk.status, 200)
  assert.match(String(chunk.headers['content-type']), /javascript/)
  assert.match(String(chunk.headers['cache-control']), /immutable/)
  assert.equal(robots.text, 'User-agent: *\n')
})

test('Next standalone answers a POST to a route', async () => {
  const body = JSON.stringify({ text: 'é'.repeat(50_000) })
  const headers = { 'content-type': 'application/json', 'user-agent': 'compat' }

  const reply = await box.ask('next', '/api/echo', { method: 'POST', headers, body })

  assert.equal(reply.status, 201)
  assert.equal(reply.headers['x-app'], 'next')
  assert.deepEqual(JSON.parse(reply.text), { body: JSON.parse(body), agent: 'compat' })
})

test('Next standalone streams: the first event is there before the last', async () => {
  const chunks = await chunksOf('next', '/api/stream')

  assert.deepEqual(chunks, ['data: first\n\n', 'data: second\n\n'])
})

test('Next standalone answers 404 with its own page', async () => {
  const reply = await box.ask('next', '/nowhere')

  assert.equal(reply.status, 404)
  assert.match(reply.text, /This page could not be found/)
})

test('a SvelteKit build renders a page, with a cookie that counts', async () => {
  const first = await box.ask('kit')
  const cookie = String(first.headers['set-cookie']?.[0]).split(';')[0] ?? ''
  const second = await box.ask('kit', '/', { headers: { cookie } })

  assert.match(first.text, /Rendered for kit\.test/)
  assert.match(first.text, /salut, visit 1/)
  assert.match(second.text, /salut, visit 2/)
})

test('a SvelteKit build serves its immutable assets, and a part of one', async () => {
  const page = await box.ask('kit')
  const path = addressIn(page.text, /href="\.?(\/_app\/immutable\/entry\/start[^"]+\.js)"/)

  const whole = await box.ask('kit', path)
  const part = await box.ask('kit', path, { headers: { range: 'bytes=0-9' } })

  assert.equal(whole.status, 200)
  assert.match(String(whole.headers['cache-control']), /immutable/)
  assert.equal(part.status, 206)
  assert.equal(part.text, whole.text.slice(0, 10))
})

test('a SvelteKit build takes a form, and keeps its own limit of a body', async () => {
  const headers = {
    accept: 'text/html',
    origin: 'http://kit.test',
    'content-type': 'application/x-www-form-urlencoded',
  }
  const form = await box.ask('kit', '/form', { method: 'POST', headers, body: 'name=ada' })
  const bytes = Buffer.alloc(400_000, 7)
  const echo = await box.ask('kit', '/api/echo', {
    method: 'POST',
    headers: { origin: 'http://kit.test', 'content-type': 'application/octet-stream' },
    body: bytes,
  })
  const tooLarge = await box.ask('kit', '/api/echo', {
    method: 'POST',
    headers: { origin: 'http://kit.test', 'content-type': 'application/octet-stream' },
    body: Buffer.alloc(1_000_000),
  })

  assert.equal(form.status, 303)
  assert.equal(form.headers.location, '/form?name=ada')
  assert.deepEqual(JSON.parse(echo.text), { bytes: bytes.byteLength })
  assert.equal(tooLarge.status, 413)
})

test('a Nitro build renders a page, and serves its public files', async () => {
  const page = await box.ask('nitro')
  const robots = await box.ask('nitro', '/robots.txt')

  assert.match(page.text, /Rendered for nitro\.test, ciao/)
  assert.equal(robots.text, 'User-agent: *\n')
})

test('a Nitro build takes an upload', async () => {
  const form = new FormData()
  form.set('title', 'é')
  form.set('file', new Blob([new Uint8Array(300_000)]), 'a.bin')
  const upload = new Request('http://nitro.test/', { method: 'POST', body: form })
  const headers = { 'content-type': String(upload.headers.get('content-type')) }

  const reply = await box.ask('nitro', '/api/upload', {
    method: 'POST',
    headers,
    body: Buffer.from(await upload.arrayBuffer()),
  })

  assert.deepEqual(JSON.parse(reply.text), [
    ['title', 'é'],
    ['file', 300_000],
  ])
})

test('a Nitro build streams, and answers errors and unknown paths by itself', async () => {
  const chunks = await chunksOf('nitro', '/api/stream')
  const failed = await box.ask('nitro', '/api/fail')
  const missing = await box.ask('nitro', '/nowhere')

  assert.deepEqual(chunks, ['data: first\n\n', 'data: second\n\n'])
  assert.equal(failed.status, 500)
  assert.doesNotMatch(failed.text, /thrown by a route/)
  assert.equal(missing.status, 404)
})

test('http-server, as its command starts it, serves files from its own folder', async () => {
  const page = await box.ask('files')
  const unchanged = await box.ask('files', '/', { headers: { 'if-none-match': String(page.headers.etag) } })
  const missing = await box.ask('files', '/missing.txt')

  assert.equal(page.text, '<h1>served by http-server</h1>\n')
  assert.equal(unchanged.status, 304)
  assert.equal(missing.status, 404)
})

test('json-server keeps what is posted to it', async () => {
  const headers = { 'content-type': 'application/json' }
  const created = await box.ask('rest', '/posts', { method: 'POST', headers, body: '{"title":"second"}' })
  const changed = await box.ask('rest', '/posts/2', { method: 'PATCH', headers, body: '{"title":"changed"}' })
  const list = await box.ask('rest', '/posts?_sort=id&_order=desc')
  const removed = await box.ask('rest', '/posts/2', { method: 'DELETE' })

  assert.equal(created.status, 201)
  assert.equal(changed.status, 200)
  assert.deepEqual(JSON.parse(list.text), [
    { title: 'changed', id: 2 },
    { id: 1, title: 'first' },
  ])
  assert.equal(removed.status, 200)
})

test('PeerServer gives out ids, and carries messages between two peers over WebSockets', async () => {
  const id = await box.ask('peers', '/signal/peerjs/id')
  const first = await openPeer('first')
  const second = await openPeer('second')

  first.socket.send(JSON.stringify({ type: 'OFFER', dst: 'second', payload: { sdp: 'x'.repeat(20_000) } }))
  const offer = await second.next()

  assert.match(id.text, /^[\w-]{20,}$/)
  assert.equal(offer.type, 'OFFER')
  assert.equal(offer.src, 'first')
  first.socket.close()
  second.socket.close()
})

/** The parts of a body as they came in. */
function chunksOf(name: string, path: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(DEADLINE_MS)
    const options = { host: '127.0.0.1', port: box.port, path, agent: false, signal, headers: { host: `${name}.test` } }
    const ask = request(options, (reply) => {
      const chunks: string[] = []
      reply.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk))
      reply.on('end', () => resolve(chunks))
      reply.on('error', reject)
    })
    ask.on('error', reject)
    ask.end()
  })
}

interface PeerMessage {
  type: string
  src?: string
}

// What is used of ws, which this folder installs for itself.
interface ClientSocket {
  on(event: 'message', listener: (data: Buffer) => void): void
  on(event: 'error', listener: (error: Error) => void): void
  send(text: string): void
  close(): void
}
type ClientSocketClass = new (url: string, options: { headers: Record<string, string> }) => ClientSocket

/** A peer that PeerServer has let in. */
async function openPeer(id: string): Promise<{ socket: ClientSocket; next: () => Promise<PeerMessage> }> {
  const WebSocket = createRequire(import.meta.url)('ws') as ClientSocketClass
  const url = `ws://127.0.0.1:${box.port}/signal/peerjs?key=peerjs&id=${id}&token=t&version=1`
  const socket = new WebSocket(url, { headers: { host: 'peers.test' } })
  const messages: PeerMessage[] = []
  let failure: Error | undefined
  socket.on('message', (data) => messages.push(JSON.parse(data.toString()) as PeerMessage))
  socket.on('error', (error) => {
    failure = error
  })
  const next = async (): Promise<PeerMessage> => {
    await box.waitFor(`a message to ${id}`, () => messages.length > 0 || failure !== undefined)
    if (failure !== undefined) throw failure
    return messages.shift() as PeerMessage
  }
  assert.equal((await next()).type, 'OPEN')
  return { socket, next }
}
