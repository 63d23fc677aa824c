/**
 * Doors of sites and of the server against real clients: who is let in, whom an answer is for, and what slow or too many
 * clients get.
 */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import * as proxyProtocol from 'proxy-protocol-js'
import type { Ask, Box, Reply } from '../helpers/box.ts'
import { DEADLINE_MS, send, startBox } from '../helpers/box.ts'

/** `secret`, at the least cost. */
const HASH = '$2y$04$GPNzp4u3NwDc0wPB3rEo1u5RlA/1SnSlg9b8ipivaTq3hwRZh6qfa'

/** Tells what it is told of its client. */
const TELLER = `module.exports = (req, res) => {
  res.setHeader('X-Powered-By', 'teller')
  res.end(JSON.stringify({
    address: req.socket.remoteAddress, port: req.socket.remotePort, encrypted: req.socket.encrypted === true, headers: req.headers,
  }))
}`

/** Sends an endless answer, reads bodies, and says what became of the last request of each. */
const SLOW = `let bodies = 'none', streams = 'none', sent = 0
module.exports = (req, res) => {
  if (req.url === '/state') return res.end(JSON.stringify({ bodies, streams, sent }))
  if (req.url === '/stream') {
    streams = 'open'
    const more = () => { while (res.write(Buffer.alloc(65536))) sent += 65536; sent += 65536 }
    res.on('drain', more).on('close', () => { streams = 'closed' })
    return more()
  }
  bodies = 'open'
  req.on('data', () => {}).on('end', () => { bodies = 'whole'; res.end('got it') }).on('close', () => { if (bodies === 'open') bodies = 'cut' })
}`

async function asked(box: Box, site: string, from: string, ask: Ask = {}): Promise<Reply> {
  return box.ask(site, '/', {
    ...ask,
    headers: { 'x-forwarded-for': from, ...(ask.headers as Record<string, string>) },
  })
}

function basic(name: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` }
}

/** All that a connection gives until the server ends it. */
async function untilEnd(socket: Socket): Promise<string> {
  let text = ''
  const late = setTimeout(() => socket.destroy(new Error(`still open after ${DEADLINE_MS} ms: ${text}`)), DEADLINE_MS)
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') throw error
  })
  await new Promise((resolve) => socket.once('close', resolve))
  clearTimeout(late)
  return text
}

function raw(t: TestContext, box: Box, bytes: string | Uint8Array): Socket {
  const socket = connect({ port: box.port, host: '127.0.0.1', noDelay: true })
  t.after(() => socket.destroy())
  socket.write(bytes)
  return socket
}

test('doors let in whom they should, by the address that a trusted proxy says', async (t) => {
  const files = { 'main.cjs': TELLER }
  const box = await startBox(
    t,
    {
      open: { files },
      allow: { files, more: '[door]\nallow = 192.0.2.0/24, 2001:db8::/32\ndeny = 192.0.2.66' },
      rate: { files, more: '[door]\nrate = 1/h burst 2' },
      auth: { files, more: '[door]\nauth = ../htpasswd\nrealm = Kitchen' },
      dressed: {
        files,
        more: '[door]\ndeny = 192.0.2.66\n[headers]\nX-Frame-Options = DENY\nX-Powered-By =\n[errors]\n403 = no.html\n4xx = other.txt',
      },
    },
    { server: 'trusted_proxies = 127.0.0.1, 10.0.0.0/8' },
  )
  box.write('htpasswd', `ann:${HASH}\n`)
  box.write('sites/dressed/no.html', '<p>not for you')
  await box.reload()

  const client = JSON.parse(
    (await asked(box, 'open', '192.0.2.1, 10.1.1.1', { headers: { 'x-forwarded-proto': 'https' } })).text,
  )
  assert.deepEqual([client.address, client.port, client.encrypted], ['192.0.2.1', 0, true])
  const spoofed = JSON.parse((await asked(box, 'open', '192.0.2.66, 203.0.113.5, 10.1.1.1')).text)
  assert.equal(spoofed.address, '203.0.113.5')
  const forwarded = JSON.parse(
    (await box.ask('open', '/', { headers: { forwarded: 'for=192.0.2.66, for="[2001:db8::5]:77";proto=https' } })).text,
  )
  assert.deepEqual([forwarded.address, forwarded.encrypted], ['2001:db8::5', true])

  const statuses = async (site: string, addresses: string[]): Promise<number[]> => {
    const found: number[] = []
    for (const address of addresses) found.push((await asked(box, site, address)).status)
    return found
  }
  const addresses = ['192.0.2.1', '192.0.2.66', '2001:db8::1', '198.51.100.1', '::ffff:192.0.2.9']
  assert.deepEqual(await statuses('allow', addresses), [200, 403, 200, 403, 200])
  assert.equal((await box.site('allow'))?.requests, 5)

  const same = [
    '192.0.2.1',
    '192.0.2.1',
    '192.0.2.1',
    '192.0.2.2',
    '2001:db8::1',
    '2001:db8::2',
    '2001:db8::3',
    '2001:db8:0:1::',
  ]
  assert.deepEqual(await statuses('rate', same), [200, 200, 429, 200, 200, 200, 429, 200])
  const late = await asked(box, 'rate', '192.0.2.1')
  assert.ok(Number(late.headers['retry-after']) > 3500 && Number(late.headers['retry-after']) <= 3600, late.text)

  const stranger = await box.ask('auth')
  assert.equal(stranger.status, 401)
  assert.equal(stranger.headers['www-authenticate'], 'Basic realm="Kitchen", charset="UTF-8"')
  for (const [name, password, status] of [
    ['ann', 'secret', 200],
    ['ann', 'Secret', 401],
    ['eve', 'secret', 401],
    ['__proto__', 'secret', 401],
    ['', '', 401],
    ['ann', 'secret', 200],
  ] as const) {
    assert.equal((await box.ask('auth', '/', { headers: basic(name, password) })).status, status, `${name}:${password}`)
  }
  assert.equal((await box.ask('auth', '/', { headers: { authorization: 'Basic !!' } })).status, 401)
  const lines = ['ann', 'eve'].flatMap((name) => ['Authorization', basic(name, 'secret').authorization as string])
  const two = { host: '127.0.0.1', port: box.port, agent: false, headers: ['Host', 'auth.test', ...lines] } as const
  assert.equal((await send(two)).status, 401)
  assert.equal((await box.ask('auth', '/', { headers: { authorization: `Bearer ${'x'.repeat(5000)}` } })).status, 401)
  box.write('htpasswd', `bob:${HASH}\n`)
  await box.waitFor(
    'the file to be read again',
    async () => (await box.ask('auth', '/', { headers: basic('ann', 'secret') })).status === 401,
  )
  assert.equal((await box.ask('auth', '/', { headers: basic('bob', 'secret') })).status, 200)

  const dressed = await box.ask('dressed')
  assert.deepEqual([dressed.headers['x-frame-options'], dressed.headers['x-powered-by']], ['DENY', undefined])
  const refused = await asked(box, 'dressed', '192.0.2.66')
  assert.deepEqual(
    [refused.status, refused.text, refused.headers['content-type']],
    [403, '<p>not for you', 'text/html; charset=utf-8'],
  )
  assert.equal(refused.headers['x-frame-options'], 'DENY')
  box.write('sites/dressed/no.html', '<p>still not')
  await box.waitFor('the new page', async () => (await asked(box, 'dressed', '192.0.2.66')).text === '<p>still not')
  rmSync(`${box.dir}/sites/dressed/no.html`)
  await box.waitFor('the usual page', async () =>
    /403 Forbidden/.test((await asked(box, 'dressed', '192.0.2.66')).text),
  )
  assert.equal((await box.ask('dressed')).status, 200)
})

test('a client behind a proxy that adds to Forwarded is known by what the proxy adds', async (t) => {
  const box = await startBox(
    t,
    { closed: { files: { 'main.cjs': TELLER }, more: '[door]\ndeny = 2001:db8::/32' } },
    { server: 'trusted_proxies = 127.0.0.0/8' },
  )
  const from = (byClient: string, address: string) =>
    box.ask('closed', '/', { headers: { forwarded: `${byClient}for="[${address}]:4711"` } })

  for (const byClient of ['', 'for=192.0.2.1, ', 'for=192.0.2.1;a="b, ', 'a="b\\, ', '", ']) {
    assert.equal((await from(byClient, '2001:db8::1')).status, 403, byClient)
    assert.equal(JSON.parse((await from(byClient, '2001:db9::1')).text).address, '2001:db9::1', byClient)
  }
})

test('a PROXY protocol header says whom a connection is for, and nobody else can say so', async (t) => {
  const box = await startBox(
    t,
    { open: { files: { 'main.cjs': TELLER } } },
    { server: 'trusted_proxies = 127.0.0.1\nproxy_protocol = yes\nheader_timeout = 1s' },
  )
  const get = 'GET / HTTP/1.1\r\nHost: open.test\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n'
  const told = (text: string) => JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4))
  const {
    V1ProxyProtocol,
    V2ProxyProtocol,
    IPv4Address,
    IPv4ProxyAddress,
    IPv6Address,
    IPv6ProxyAddress,
    Peer,
    INETProtocol,
    Command,
    TransportProtocol,
  } = proxyProtocol
  const v1 = new V1ProxyProtocol(INETProtocol.TCP4, new Peer('192.0.2.1', 1234), new Peer('192.0.2.2', 80)).build()
  const addresses = new IPv4ProxyAddress(
    IPv4Address.createFrom([192, 0, 2, 3]),
    4321,
    IPv4Address.createFrom([192, 0, 2, 4]),
    80,
  )
  const v2 = new V2ProxyProtocol(Command.PROXY, TransportProtocol.STREAM, addresses).build()
  const local = new V2ProxyProtocol(Command.LOCAL, TransportProtocol.STREAM, addresses).build()
  const six = (last: number) => IPv6Address.createFrom([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last])
  const v2six = new V2ProxyProtocol(
    Command.PROXY,
    TransportProtocol.STREAM,
    new IPv6ProxyAddress(six(1), 99, six(2), 80),
  ).build()

  const both = (header: string | Uint8Array) => Buffer.concat([Buffer.from(header), Buffer.from(get)])
  for (const [header, address, port] of [
    [v1, '192.0.2.1', 1234],
    [v2, '192.0.2.3', 4321],
    [v2six, '2001:db8::1', 99],
  ] as const) {
    const client = told(await untilEnd(raw(t, box, both(header))))
    assert.deepEqual([client.address, client.port], [address, port])
    assert.equal(client.headers['x-forwarded-for'], undefined)
  }
  // The balancer itself, in a health check: it is trusted, and says whom it asks for.
  assert.equal(told(await untilEnd(raw(t, box, both(local)))).address, '203.0.113.9')
  assert.equal(told(await untilEnd(raw(t, box, both('PROXY UNKNOWN\r\n')))).address, '203.0.113.9')

  const slowly = connect({ port: box.port, host: '127.0.0.1', noDelay: true })
  const all = untilEnd(slowly)
  for (const byte of both(v2))
    await new Promise((resolve) => slowly.write(Uint8Array.of(byte), () => setImmediate(resolve)))
  assert.equal(told(await all).address, '192.0.2.3')

  for (const header of [
    '',
    'PROXY TCP4 192.0.2.1 192.0.2.2 1234\r\n',
    'PROXY TCP4 2001:db8::1 2001:db8::2 1234 80\r\n',
    'PROXY TCP4 192.0.2.1 192.0.2.2 99999 80\r\n',
    `PROXY TCP4 ${'1'.repeat(200)}`,
    Buffer.concat([Buffer.from(v2).subarray(0, 12), Buffer.from([0x21, 0x11, 0xff, 0xff])]),
    Buffer.concat([Buffer.from(v2).subarray(0, 12), Buffer.from([0x31, 0x11, 0, 12])]),
    'PRO', // and then nothing: until header_timeout
  ]) {
    const bytes = header === 'PRO' ? header : both(header)
    assert.equal(await untilEnd(raw(t, box, bytes)), '', String(header))
  }
})

test('who stops in the middle holds a socket, and not for long', async (t) => {
  const box = await startBox(
    t,
    {
      patient: { files: { 'main.cjs': SLOW } },
      slow: {
        files: { 'main.cjs': SLOW },
        more: '[limits]\nbody_wait = 0s\nbody_timeout = 500ms\nsend_timeout = 500ms\nmax_body = 1MB',
      },
    },
    {
      config: '[pool]\nprocesses = 1\nthreads = 1\nconcurrency = 1',
      server: 'header_timeout = 500ms\nidle_timeout = 500ms\nmax_connections_per_address = 12',
    },
  )
  const state = async () => JSON.parse((await box.ask('slow', '/state')).text)
  const head = 'POST / HTTP/1.1\r\nHost: slow.test\r\nContent-Length: 100\r\n'

  const slowHead = untilEnd(raw(t, box, 'GET / HTTP/1.1\r\nHost: slow.test\r\n'))
  const nothing = untilEnd(raw(t, box, ''))
  const idle = untilEnd(raw(t, box, 'GET /state HTTP/1.1\r\nHost: slow.test\r\n\r\n'))
  const slowBody = untilEnd(raw(t, box, `${head}\r\n0123456789`))
  assert.match(await slowHead, /^HTTP\/1\.1 408 Request Timeout\r\n/)
  assert.equal(await nothing, '')
  assert.match(await idle, /^HTTP\/1\.1 200 OK\r\n/)
  assert.match(await slowBody, /^HTTP\/1\.1 408 Request Timeout\r\n[\s\S]*connection: close\r\n/i)
  await box.waitFor('the site to hear', async () => (await state()).bodies === 'cut')
  await box.waitFor('nothing in flight', async () => (await box.site('slow'))?.inFlight === 0)

  // One that goes on, however slowly, gets its answer.
  const steady = raw(t, box, `${head}Connection: close\r\n\r\n`)
  const answer = untilEnd(steady)
  for (let part = 0; part < 8; part++) {
    await new Promise((resolve) => setTimeout(resolve, 200))
    steady.write('0123456789ab!'.slice(0, part === 7 ? 9 : 13))
  }
  assert.match(await answer, /got it$/)

  const deaf = raw(t, box, 'GET /stream HTTP/1.1\r\nHost: slow.test\r\n\r\n')
  deaf.on('error', () => {})
  await box.waitFor('the stream to begin', async () => (await state()).streams === 'open')
  await box.waitFor('the deaf client to be cut', async () => (await state()).streams === 'closed')
  // What the kernel holds for both ends, and a window; not what the site would have sent.
  assert.ok((await state()).sent < 20 * 1024 * 1024, String((await state()).sent))

  const large = raw(t, box, 'POST / HTTP/1.1\r\nHost: slow.test\r\nContent-Length: 50000000\r\n\r\n')
  const refusal = untilEnd(large)
  // Sends on as if nothing were: a reset would take the answer away.
  const pump = setInterval(() => large.writable && large.write(Buffer.alloc(65_536)), 1)
  assert.match(await refusal, /^HTTP\/1\.1 413 [\s\S]*connection: close\r\n/i)
  clearInterval(pump)

  await box.waitFor('all connections to be gone', async () => (await state()).bodies !== '')
  const many = Array.from({ length: 30 }, () => raw(t, box, 'GET /state HTTP/1.1\r\nHost: slow.test\r\n\r\n'))
  const texts = await Promise.all(many.map(untilEnd))
  const served = texts.filter((text) => text.startsWith('HTTP/1.1 200')).length
  assert.ok(served >= 10 && served <= 12, `${served} of 30`)
  assert.ok(texts.every((text) => text === '' || text.startsWith('HTTP/1.1 200')))
  assert.equal((await box.ask('slow', '/state')).status, 200)

  // The only place of the only thread is not its own for long.
  const idler = raw(t, box, 'GET /stream HTTP/1.1\r\nHost: patient.test\r\n\r\n')
  await new Promise((resolve) => idler.once('readable', resolve))
  assert.equal((await box.ask('slow', '/state')).status, 200)
  assert.equal(JSON.parse((await box.ask('patient', '/state')).text).streams, 'open')
})

test('who meets code that fails gets an error page, or the one of the site, and the log says which request it was', async (t) => {
  const handler = `module.exports = (req, res) => {
  if (req.url === '/late') return setTimeout(() => { throw new Error('late') })
  if (req.url === '/own') return res.writeHead(500).end('own words')
  if (req.url === '/begun') { res.write('begun'); return setTimeout(() => { throw new Error('in the middle') }, 20) }
  throw new Error('at once')
}`
  const fetch = `export default async (request) => { throw new Error('thrown by fetch') }`
  const box = await startBox(t, {
    handler: { files: { 'main.cjs': handler } },
    fetch: { files: { 'main.mjs': fetch }, module: 'main.mjs' },
    paged: { files: { 'main.cjs': handler, 'sorry.html': '<p>sorry' }, more: '[errors]\n5xx = sorry.html' },
  })
  const browser = { headers: { accept: 'text/html' } }

  for (const [site, path] of [
    ['handler', '/'],
    ['handler', '/late'],
    ['fetch', '/'],
  ] as const) {
    const { status, text, headers } = await box.ask(site, path, browser)
    assert.deepEqual([status, headers['content-type']], [500, 'text/html; charset=utf-8'], `${site}${path}`)
    assert.match(text, /<h1>500 Internal Server Error<\/h1>/)
    assert.equal(headers['cache-control'], 'no-store')
  }
  const bodies = [
    await box.ask('paged'),
    await box.ask('paged', '/late', { method: 'POST', body: 'x'.repeat(200_000) }),
  ]
  assert.deepEqual(
    bodies.map(({ status, text }) => [status, text]),
    [
      [500, '<p>sorry'],
      [500, '<p>sorry'],
    ],
  )
  assert.equal((await box.ask('paged', '/', { method: 'HEAD' })).status, 500)
  assert.equal((await box.ask('paged', '/own')).text, 'own words')
  await assert.rejects(box.ask('paged', '/begun'))

  assert.match(box.output, /"url":"\/late","status":500,"reason":"site 'handler' failed before it had answered/)
  assert.match(box.output, /Error: thrown by fetch/)
})
