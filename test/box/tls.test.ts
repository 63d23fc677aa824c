/** TLS and HTTP/2 end to end: every kind of site, and what a change of the files does. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { ClientHttp2Session, IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2'
import { connect } from 'node:http2'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { connect as shake } from 'node:tls'
import { promisify } from 'node:util'
import { WebSocket } from 'ws'
import type { Box } from '../helpers/box.ts'
import { DEADLINE_MS, makeBox } from '../helpers/box.ts'
import { makePair } from '../helpers/certificates.ts'

const run = promisify(execFile)

const SERVER = `
import { createServer } from 'node:http'
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
const { WebSocketServer } = createRequire(import.meta.url)('ws')
const server = createServer(async (req, res) => {
  if (req.url === '/sum') {
    const hash = createHash('sha1')
    let bytes = 0
    for await (const chunk of req) { hash.update(chunk); bytes += chunk.length }
    return res.end(JSON.stringify({ bytes, sum: hash.digest('hex') }))
  }
  if (req.url === '/big') return res.end(Buffer.alloc(3_000_000, 'x'))
  if (req.url === '/slow') return setTimeout(() => res.end('slow'), 700)
  if (req.url === '/short') { res.writeHead(200, { 'content-length': 100 }); return res.end('part') }
  if (req.url === '/stream') { res.write('one,'); return setImmediate(() => res.end('two')) }
  res.setHeader('Connection', 'close')
  res.end(JSON.stringify({ url: req.url, host: req.headers.host, secure: req.socket.encrypted, cookie: req.headers.cookie }))
})
new WebSocketServer({ server }).on('connection', (socket) => socket.on('message', (text) => socket.send('echo ' + text)))
server.listen(3000)
`
const FETCH = `export default { fetch: (request) => new Response(request.url) }`
const HEADERS = `export default { fetch: (request) => Response.json([...request.headers.keys()]) }`
const DOOR = '[door]\nrate = 3/h\n[headers]\nX-Own = yes\n[errors]\n429 = slow.txt\n'

function put(box: Box, name: string, pair: { cert: string; key: string }): void {
  box.write(`tls/${name}.key`, pair.key)
  box.write(`tls/${name}.pem`, pair.cert)
}

const withPair = (name: string) => `certificate = ../tls/${name}.pem\nkey = ../tls/${name}.key\n`

async function startTlsBox(t: TestContext): Promise<{ box: Box; port: number }> {
  const box = makeBox(
    t,
    {
      app: { files: { 'server.js': SERVER }, more: `${withPair('app')}https_only = yes\nhsts = 1d` },
      fetch: { files: { 'fetch.js': FETCH }, more: withPair('fetch') },
      door: { files: { 'app.js': HEADERS, 'slow.txt': 'slowly' }, more: `${withPair('door')}${DOOR}` },
      files: { files: { 'index.html': 'index', 'big.txt': 'y'.repeat(200_000) }, module: '', ini: FILES },
      plain: { files: { 'index.html': 'plain' }, ini: '[site]\ndomains = plain.test\nroot = ../sites/plain\n' },
    },
    { server: 'listen_tls = 127.0.0.1:0\ntrusted_proxies = 10.9.9.9', config: '[pool]\nprocesses = 1\nthreads = 1' },
  )
  put(box, 'app', makePair(['app.test']))
  put(box, 'fetch', makePair(['fetch.test']))
  put(box, 'door', makePair(['door.test']))
  put(box, 'files', makePair(['files.test']))
  await box.start()
  const { listen } = await box.status()
  const address = listen.find((one) => one.startsWith('https:')) ?? ''
  return { box, port: Number(new URL(address).port) }
}

const FILES = `[site]\ndomains = files.test\nroot = ../sites/files\n${withPair('files')}`

function open(t: TestContext, port: number, host: string): ClientHttp2Session {
  const client = connect(`https://127.0.0.1:${port}`, { servername: host, rejectUnauthorized: false })
  client.on('error', () => {})
  t.after(() => client.destroy())
  return client
}

interface Answer {
  status: number | undefined
  headers: IncomingHttpHeaders
  text: string
}

async function ask(client: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: Buffer): Promise<Answer> {
  const stream = client.request(headers, { signal: AbortSignal.timeout(DEADLINE_MS) })
  stream.end(body)
  const [got] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status'?: number }]
  const text = (await stream.setEncoding('utf8').toArray()).join('')
  return { status: got[':status'], headers: got, text }
}

async function certificateOf(port: number, servername: string): Promise<string | undefined> {
  const socket: TLSSocket = shake({ port, host: '127.0.0.1', servername, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const print = socket.getPeerX509Certificate()?.fingerprint256
  socket.destroy()
  return print
}

test('TLS and HTTP/2 end to end', async (t) => {
  const { box, port } = await startTlsBox(t)

  await t.test('every kind of site over HTTP/2', (t) => everyKind(t, port))
  await t.test('doors hold over HTTP/2 too, and are shared with HTTP/1.1', (t) => doors(t, box, port))
  await t.test('beside HTTP/2: WebSocket over TLS, redirects, and what status shows', () => beside(box, port))
  await t.test('programs that others wrote: curl and h2load', () => programs(port))
  await t.test('renewed certificates are taken over, wrong ones are refused', (t) => renewal(t, box, port))
  await t.test('no request is dropped at the end', (t) => atTheEnd(t, box, port))
})

async function everyKind(t: TestContext, port: number): Promise<void> {
  const app = open(t, port, 'app.test')
  const authority = { ':authority': 'app.test' }
  const first = await ask(app, { ...authority, ':path': '/a?b', cookie: ['x=1', 'y=2'] })
  assert.deepEqual(JSON.parse(first.text), { url: '/a?b', host: 'app.test', secure: true, cookie: 'x=1; y=2' })
  assert.deepEqual([first.status, first.headers.connection], [200, undefined])
  assert.equal(first.headers['strict-transport-security'], 'max-age=86400')
  const body = Buffer.alloc(5_000_000, 'body')
  const sum = await ask(app, { ...authority, ':method': 'POST', ':path': '/sum' }, body)
  assert.deepEqual(JSON.parse(sum.text), { bytes: body.length, sum: createHash('sha1').update(body).digest('hex') })
  assert.equal((await ask(app, { ...authority, ':path': '/big' })).text.length, 3_000_000)
  assert.equal((await ask(app, { ...authority, ':path': '/stream' })).text, 'one,two')
  const head = await ask(app, { ...authority, ':method': 'HEAD', ':path': '/big' })
  assert.deepEqual([head.status, head.text], [200, ''])
  await assert.rejects(ask(app, { ...authority, ':path': '/short' }), /NGHTTP2_INTERNAL_ERROR/)

  const fetched = await ask(open(t, port, 'fetch.test'), { ':authority': 'fetch.test', ':path': '/x' })
  assert.equal(fetched.text, 'https://fetch.test/x')

  const files = open(t, port, 'files.test')
  const of = { ':authority': 'files.test' }
  assert.equal((await ask(files, { ...of, ':path': '/' })).text, 'index')
  assert.equal((await ask(files, { ...of, ':path': '/big.txt' })).text.length, 200_000)
  const part = await ask(files, { ...of, ':path': '/big.txt', range: 'bytes=0-4' })
  assert.deepEqual([part.status, part.text, part.headers['content-range']], [206, 'yyyyy', 'bytes 0-4/200000'])
  assert.equal((await ask(files, { ...of, ':path': '/none' })).status, 404)
  assert.equal((await ask(files, { ':authority': 'app.test', ':path': '/' })).status, 421)
}

async function doors(t: TestContext, box: Box, port: number): Promise<void> {
  const client = open(t, port, 'door.test')
  const of = { ':authority': 'door.test', ':path': '/' }
  const said = await ask(client, { ...of, 'x-forwarded-for': '1.2.3.4', 'x-real-ip': '1.2.3.4', 'x-kept': '1' })
  assert.deepEqual([said.status, said.headers['x-own']], [200, 'yes'])
  assert.deepEqual(
    (JSON.parse(said.text) as string[]).filter((name) => name.startsWith('x-')),
    ['x-kept', 'x-request-id'],
  )
  assert.equal((await ask(client, { ...of, ':method': 'TRACE' })).status, 405)
  assert.equal((await ask(client, { ...of, ':path': `/${'x'.repeat(9_000)}` })).status, 414)
  assert.equal((await box.ask('door')).status, 200)
  assert.equal((await ask(client, of)).status, 200)
  const refused = await ask(client, of)
  assert.deepEqual([refused.status, refused.text], [429, 'slowly'])
  assert.ok(Number(refused.headers['retry-after']) > 0)
}

async function beside(box: Box, port: number): Promise<void> {
  const options = { servername: 'app.test', rejectUnauthorized: false, headers: { host: 'app.test' } }
  const socket = new WebSocket(`wss://127.0.0.1:${port}/`, options as WebSocket.ClientOptions)
  await once(socket, 'open')
  socket.send('hello')
  assert.equal(String((await once(socket, 'message'))[0]), 'echo hello')
  socket.terminate()

  const moved = await box.ask('app', '/x?y=1')
  assert.deepEqual([moved.status, moved.headers.location], [301, `https://app.test:${port}/x?y=1`])
  assert.equal((await box.ask('plain')).text, 'plain')
  await assert.rejects(certificateOf(port, 'plain.test'), /unrecognized name/)
  const urls = [`https://files.test:${port}/`, `http://files.test:${box.port}/`]
  assert.deepEqual((await box.site('files'))?.urls, urls)
  assert.deepEqual((await box.site('plain'))?.urls, [`http://plain.test:${box.port}/`])
}

async function programs(port: number): Promise<void> {
  const curl = ['--silent', '--insecure', '--resolve', `app.test:${port}:127.0.0.1`, '--write-out', ' %{http_version}']
  const url = `https://app.test:${port}/stream`
  const missing = (error: NodeJS.ErrnoException): never => {
    throw error.code === 'ENOENT' ? new Error('missing: apt-get install curl nghttp2-client') : error
  }
  assert.equal((await run('curl', [...curl, '--http2', url]).catch(missing)).stdout, 'one,two 2')
  assert.equal((await run('curl', [...curl, '--http1.1', url]).catch(missing)).stdout, 'one,two 1.1')
  const load = ['-n', '400', '-c', '4', '-m', '20', `--connect-to=127.0.0.1:${port}`, `https://files.test:${port}/`]
  const { stdout } = await run('h2load', load).catch(missing)
  assert.match(stdout, /400 succeeded, 0 failed, 0 errored, 0 timeout/)
}

async function renewal(t: TestContext, box: Box, port: number): Promise<void> {
  const client = open(t, port, 'app.test')
  const asked = { ':authority': 'app.test', ':path': '/stream' }
  assert.equal((await ask(client, asked)).text, 'one,two')
  const before = await certificateOf(port, 'app.test')

  put(box, 'app', makePair(['app.test']))
  await box.waitFor('the new certificate', async () => (await certificateOf(port, 'app.test')) !== before)
  const after = await certificateOf(port, 'app.test')
  // The key of another certificate: refused, the one before goes on.
  box.write('tls/app.key', makePair(['app.test']).key)
  await box.waitFor('the problem', async () => (await box.site('app'))?.state === 'previous')
  const [problem] = (await box.site('app'))?.problems ?? []
  assert.match(problem ?? '', /app\.ini:6: \[site\] key: .* is not the key of the certificate/)
  assert.equal(await certificateOf(port, 'app.test'), after)
  put(box, 'app', makePair(['other.test']))
  await box.waitFor('the next', async () => (await box.site('app'))?.state === 'live')

  const warned = /app\.pem\\" does not name app\.test: browsers will refuse it there/
  await box.waitFor(String(warned), () => warned.test(box.output))
  assert.equal((await ask(client, asked)).text, 'one,two')
  assert.equal((await box.site('app'))?.generation, 1)
}

async function atTheEnd(t: TestContext, box: Box, port: number): Promise<void> {
  const client = open(t, port, 'app.test')
  const asked = { ':authority': 'app.test' }
  const slow = ask(client, { ...asked, ':path': '/slow' })
  const whole = ask(client, { ...asked, ':path': '/big' })
  await box.waitFor('both to be begun', async () => ((await box.site('app'))?.inFlight ?? 0) > 0)
  const stopped = box.stop()

  assert.deepEqual([(await slow).text, (await whole).text.length], ['slow', 3_000_000])
  assert.equal(await stopped, 0)
}
