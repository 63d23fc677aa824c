/**
 * Access logs and error logs of all sites and of one: what stands in them, when they are turned, and what a full disk
 * does.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, renameSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { makeBox } from '../helpers/box.ts'
import { makePair } from '../helpers/certificates.ts'
import { textIfThere } from '../helpers/folder.ts'
import { block, FLAG, FrameClient, frame, pseudo, TYPE } from '../helpers/frames.ts'

const MADE = /^[0-9a-f]{16}-[0-9a-z]+$/

const TALKER: SiteFixture = {
  files: {
    'site.mjs': `
      import { createServer } from 'node:http'
      import { setTimeout as delay } from 'node:timers/promises'
      const server = createServer(async (req, res) => {
        const id = req.headers['x-request-id']
        if (req.url === '/talk') {
          console.log('said at once')
          await delay(5)
          console.error('said later\\nin two lines')
        }
        if (req.url === '/throw') setTimeout(() => { throw new Error('nobody caught it') }, 1)
        if (req.url === '/slow') return console.log('slow has begun')
        if (req.url === '/part') { res.write('x'.repeat(1000)); return console.log('part has begun') }
        if (req.url === '/cached') res.setHeader('Cache-Status', 'made-up; hit')
        res.end(String(id))
      })
      server.on('upgrade', (req, socket) => {
        if (req.url === '/no') return socket.end('HTTP/1.1 403 Forbidden\\r\\nContent-Length: 2\\r\\n\\r\\nno')
        socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: echo\\r\\nConnection: Upgrade\\r\\n\\r\\n')
        socket.pipe(socket)
      })
      server.listen(3000)`,
  },
  more: '[log]\naccess = ../log/talker.access\nerror = ../log/talker.error\n[limits]\ntimeout = 2s',
}

type Line = Record<string, unknown>

function text(box: Box, name: string): string {
  return textIfThere(join(box.dir, 'log', name))
}

function lines(box: Box, name: string): Line[] {
  return text(box, name)
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line)
}

/** The first line that is about this. */
async function lineOf(box: Box, name: string, about: Line): Promise<Line> {
  const isIt = (line: Line) => Object.entries(about).every(([key, value]) => line[key] === value)
  await box.waitFor(`a line with ${JSON.stringify(about)} in ${name}: ${text(box, name)}`, () =>
    lines(box, name).some(isIt),
  )
  return lines(box, name).find(isIt) ?? {}
}

/** Sends bytes as they are. @returns everything that comes back until the connection ends, or `until` came */
async function raw(box: Box, bytes: string, until?: string): Promise<string> {
  const socket = connect(box.port, '127.0.0.1').setEncoding('latin1')
  socket.on('error', () => {})
  socket.write(bytes, 'latin1')
  let answer = ''
  for await (const part of socket) {
    answer += part
    if (until !== undefined && answer.includes(until)) break
  }
  socket.destroy()
  return answer
}

/** A server whose answer to whatever it is asked is a tunnel, through which it says hello. */
async function startSwitcher(t: TestContext): Promise<number> {
  const head = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n'
  const server = createServer((socket) => socket.on('error', () => {}).once('data', () => socket.write(`${head}hello`)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

function loggedBox(t: Parameters<typeof makeBox>[0], sites: Record<string, SiteFixture>, access = 'log/all.json'): Box {
  const box = makeBox(t, sites)
  box.write('logging.ini', `[log]\nfile = log/server.log\n[access]\nfile = ${access}\nformat = json\n`)
  return box
}

test('what happens to requests stands in the logs', async (t) => {
  const box = loggedBox(t, {
    talker: TALKER,
    files: { files: { 'index.html': '<p>static</p>' }, ini: '[site]\ndomains = files.test\nroot = ../sites/files\n' },
  })
  await box.start()
  await box.ask('talker')

  await t.test('a request has a line in the log of all, and one in that of its site', async () => {
    const headers = {
      'user-agent': 'a "test"',
      referer: 'http://x.test/?q=1',
      authorization: 'Basic U0VDUkVU',
      cookie: 'c=SECRET',
    }
    const reply = await box.ask('talker', '/cached?a=1', { headers })

    const line = await lineOf(box, 'all.json', { target: '/cached?a=1' })
    const { time, first_byte_ms: firstByteMs, total_ms: totalMs, queue_ms: queueMs, process, thread, ...rest } = line
    assert.deepEqual(rest, {
      site: 'talker',
      host: 'talker.test',
      method: 'GET',
      target: '/cached?a=1',
      protocol: 'HTTP/1.1',
      status: 200,
      bytes: reply.body.length,
      request: reply.text,
      client: '127.0.0.1',
      referer: 'http://x.test/?q=1',
      user_agent: 'a "test"',
    })
    assert.ok(Math.abs(Date.parse(String(time)) - Date.now()) < 20_000)
    assert.ok(Number(queueMs) <= Number(firstByteMs) && Number(firstByteMs) <= Number(totalMs))
    assert.ok(Number(process) > 1 && Number(thread) > 0)
    await box.waitFor("the site's own line", () => text(box, 'talker.access').includes('/cached?a=1'))
    assert.match(
      text(box, 'talker.access'),
      /^127\.0\.0\.1 - - \[[^\]]+\] "GET \/cached\?a=1 HTTP\/1\.1" 200 \d+ "http:\/\/x\.test\/\?q=1" "a \\x22test\\x22"$/m,
    )
    for (const name of readdirSync(join(box.dir, 'log'))) assert.doesNotMatch(text(box, name), /SECRET|U0VDUkVU/)
  })

  await t.test('what the cache said is in the line', async () => {
    await box.ask('talker', '/cached')

    assert.equal((await lineOf(box, 'all.json', { target: '/cached' })).cache, 'made-up; hit')
  })

  await t.test('an id that came along is taken, another is made, and the site is sent it', async () => {
    const [taken, twice, made] = await Promise.all([
      box.ask('talker', '/taken', { headers: { 'x-request-id': 'abc/1' } }),
      raw(
        box,
        'GET /twice HTTP/1.1\r\nHost: talker.test\r\nX-Request-Id: a b\r\nX-Request-Id: c\r\nConnection: close\r\n\r\n',
      ),
      box.ask('talker', '/made'),
    ])

    assert.equal(taken.text, 'abc/1')
    assert.equal(taken.headers['x-request-id'], undefined)
    assert.match(made.text, MADE)
    assert.match(twice.trim().split('\n').at(-1) ?? '', MADE)
    assert.equal((await lineOf(box, 'all.json', { target: '/taken' })).request, 'abc/1')
  })

  await t.test("a site's lines are in its own file, with the id of their request", async () => {
    await box.ask('talker', '/talk', { headers: { 'x-request-id': 'talk-1' } })
    await box.ask('talker', '/throw', { headers: { 'x-request-id': 'throw-1' } })
    await box.waitFor('the lines', () => text(box, 'talker.error').includes('nobody caught it'))

    const error = text(box, 'talker.error')
    assert.match(error, /^\d{4}-\S+Z info {2}\[talk-1\] said at once$/m)
    assert.match(error, /^\d{4}-\S+Z error \[talk-1\] said later\n {4}in two lines$/m)
    assert.match(error, /^\d{4}-\S+Z error \[throw-1\] Error: nobody caught it\n {8}at /m)
    assert.doesNotMatch(text(box, 'server.log'), /said at once|nobody caught it/)
  })

  await t.test(
    'a client that leaves before an answer is a 499, one that leaves in the middle has a cut answer',
    async () => {
      const early = connect(box.port, '127.0.0.1')
      early.write('GET /slow HTTP/1.1\r\nHost: talker.test\r\n\r\n')
      await box.waitFor('the site to have it', () => text(box, 'talker.error').includes('slow has begun'))
      early.destroy()
      await raw(box, 'GET /part HTTP/1.1\r\nHost: talker.test\r\n\r\n', 'xxx')

      const gone = await lineOf(box, 'all.json', { target: '/slow' })
      const cut = await lineOf(box, 'all.json', { target: '/part' })
      assert.deepEqual([gone.status, gone.bytes, gone.cut, gone.first_byte_ms], [499, 0, undefined, undefined])
      assert.deepEqual([cut.status, cut.bytes, cut.cut], [200, 1000, true])
    },
  )

  await t.test(
    'a request that the site does not answer in time is a 504, and vhostel says so in the log of the site',
    async () => {
      const reply = await box.ask('talker', '/slow', { headers: { 'x-request-id': 'late' } })

      assert.equal(reply.status, 504)
      assert.equal((await lineOf(box, 'all.json', { request: 'late' })).status, 504)
      await box.waitFor('the warning', () => text(box, 'talker.error').includes('vhostel: request failed'))
      assert.match(
        text(box, 'talker.error'),
        /^\d{4}-\S+Z warn {2}vhostel: request failed {2}method=GET {2}url=\/slow {2}status=504/m,
      )
      assert.match(text(box, 'server.log'), /"site":"talker","method":"GET","url":"\/slow","status":504/)
    },
  )

  await t.test('a tunnel has its line when it ends, with the bytes that the client got', async () => {
    await raw(
      box,
      'GET /tunnel HTTP/1.1\r\nHost: talker.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello',
      'hello',
    )

    const line = await lineOf(box, 'all.json', { target: '/tunnel' })
    assert.deepEqual([line.status, line.cut], [101, undefined])
    assert.equal(line.bytes, 5)

    await raw(box, 'GET /no HTTP/1.1\r\nHost: talker.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    const refused = await lineOf(box, 'all.json', { target: '/no' })
    assert.deepEqual([refused.status, refused.bytes, refused.cut], [403, 2, undefined])
  })

  await t.test('a static file, a HEAD, and what reaches no site have lines too', async () => {
    await box.ask('files', '/index.html')
    await box.ask('files', '/index.html?head', { method: 'HEAD' })
    await box.ask('nobody.test', '/?nobody')
    await raw(box, 'GET /?hosts HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n')

    const file = await lineOf(box, 'all.json', { target: '/index.html' })
    assert.deepEqual(
      [file.site, file.status, file.bytes, file.process, file.queue_ms],
      ['files', 200, 13, undefined, undefined],
    )
    assert.equal((await lineOf(box, 'all.json', { target: '/index.html?head' })).bytes, 0)
    const nobody = await lineOf(box, 'all.json', { target: '/?nobody' })
    assert.deepEqual([nobody.status, nobody.host, nobody.site], [421, 'nobody.test', undefined])
    const hosts = await lineOf(box, 'all.json', { target: '/?hosts' })
    assert.deepEqual([hosts.status, hosts.host, hosts.site], [400, undefined, undefined])
  })

  await t.test('what the parser refuses is answered and has a line', async () => {
    const bad = await raw(box, 'GET /?colon HTTP/1.1\r\nHost : a.test\r\nCookie: SECRET\r\n\r\n')
    const large = await raw(box, `GET /?large HTTP/1.1\r\nHost: talker.test\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`)
    const garbage = await raw(box, '\x16\x03\x01\r\n\r\n')
    const chunk = await raw(
      box,
      'POST /?chunk HTTP/1.1\r\nHost: talker.test\r\nTransfer-Encoding: chunked\r\n\r\nGET /SECRET HTTP/1.1\r\n\r\n',
    )

    assert.match(bad, /^HTTP\/1\.1 400 Bad Request\r\n/)
    assert.match(large, /^HTTP\/1\.1 431 Request Header Fields Too Large\r\n/)
    assert.match(garbage, /^HTTP\/1\.1 400 /)
    assert.match(chunk, /^HTTP\/1\.1 400 /)
    assert.equal((await lineOf(box, 'all.json', { target: '/?colon' })).status, 400)
    assert.equal((await lineOf(box, 'all.json', { target: '/?large' })).status, 431)
    assert.deepEqual((await lineOf(box, 'all.json', { target: '/?chunk' })).status, 400)
    const nameless = await lineOf(box, 'all.json', { reason: 'HPE_INVALID_METHOD' })
    assert.deepEqual([nameless.status, nameless.method], [400, undefined])
    assert.doesNotMatch(text(box, 'all.json'), /SECRET/)
    assert.equal((await box.ask('talker')).status, 200)
  })
})

test('without any access log a site is told the ids of requests, and its lines have them', async (t) => {
  const box = makeBox(t, { talker: { files: TALKER.files ?? {} } })
  await box.start()

  const made = await box.ask('talker', '/talk')
  const taken = await box.ask('talker', '/talk', { headers: { 'x-request-id': 'talk-1' } })

  assert.match(made.text, /^[0-9a-f]{16}-[0-9a-z]+$/)
  assert.equal(taken.text, 'talk-1')
  for (const id of [made.text, taken.text]) {
    const line = new RegExp(`^(?=.*"request":"${id}").*"msg":"said at once"`, 'm')
    await box.waitFor('the line in the log of the server', () => line.test(box.output))
  }
})

test('a head of HTTP/2 that is refused at once has a line as well', async (t) => {
  const pair = makePair(['files.test'])
  const box = makeBox(
    t,
    {
      files: {
        files: { 'index.html': 'x' },
        ini: `[site]\ndomains = files.test\nroot = ../sites/files\ncertificate = ../tls/pair.pem\nkey = ../tls/pair.key\n`,
      },
    },
    { server: 'listen_tls = 127.0.0.1:0' },
  )
  box.write('tls/pair.pem', pair.cert)
  box.write('tls/pair.key', pair.key)
  box.write('logging.ini', '[access]\nfile = log/all.json\nformat = json\n')
  await box.start()
  const { listen } = await box.status()
  const port = Number(new URL(listen.find((one) => one.startsWith('https:')) ?? '').port)
  const client = await FrameClient.open(t, port, 'files.test')
  const ask = (stream: number, headers: [string, string][]): Promise<number | undefined> => {
    client.write(frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, stream, block(headers)))
    return client.status(stream)
  }
  const connecting: [string, string][] = [
    [':method', 'CONNECT'],
    [':authority', 'files.test:443'],
  ]

  assert.equal(await ask(1, [...pseudo('files.test', '/?hosts', 'HEAD'), ['host', 'b.test'], ['referer', 'r']]), 400)
  assert.equal(await ask(3, connecting), 405)
  assert.equal(await ask(5, pseudo('files.test', '/?good')), 200)

  const hosts = await lineOf(box, 'all.json', { target: '/?hosts' })
  const { method, protocol, status, bytes, client: address, referer, tls, host } = hosts
  assert.deepEqual(
    [method, protocol, status, bytes, address, referer, tls, host],
    ['HEAD', 'HTTP/2.0', 400, 0, '127.0.0.1', 'r', 'TLSv1.3', undefined],
  )
  assert.equal((await lineOf(box, 'all.json', { method: 'CONNECT' })).target, 'files.test:443')
  await lineOf(box, 'all.json', { target: '/?good' })
  assert.equal(lines(box, 'all.json').length, 3)
})

test('log files can be moved, and the settings of a site changed, while requests come: every request has its line', async (t) => {
  const box = loggedBox(t, {
    talker: TALKER,
    other: { files: { 'site.mjs': 'export default { fetch: () => new Response("ok") }' } },
  })
  await box.start()
  await box.ask('other')
  let asked = 1
  let isOver = false
  const askAll = async (): Promise<void> => {
    while (!isOver) {
      const reply = await box.ask('talker', `/${asked++}`)
      assert.equal(reply.status, 200)
    }
  }
  const clients = [askAll(), askAll(), askAll()]
  const inLog = (name: string): number => (text(box, name).match(/"GET \/\d+ HTTP/g) ?? []).length

  await box.waitFor('some lines', () => inLog('talker.access') > 50)
  for (const name of ['talker.access', 'all.json', 'server.log']) {
    renameSync(join(box.dir, 'log', name), join(box.dir, 'log', `old.${name}`))
  }
  process.kill(box.pid, 'SIGUSR1')
  await box.waitFor('lines in the new file', () => inLog('talker.access') > 50)
  box.write(
    'sites-available/talker.ini',
    readFileSync(join(box.dir, 'sites-available/talker.ini'), 'utf8').replace('talker.access', 'moved.access'),
  )
  await box.waitFor('lines in the other file', () => inLog('moved.access') > 50)
  isOver = true
  await Promise.all(clients)
  await box.ask('talker', '/throw')
  assert.equal(await box.stop(), 0)

  assert.equal(inLog('old.talker.access') + inLog('talker.access') + inLog('moved.access'), asked - 1)
  const all = [...lines(box, 'old.all.json'), ...lines(box, 'all.json')].filter(({ site }) => site === 'talker')
  assert.equal(new Set(all.map(({ target }) => target)).size, asked)
  assert.doesNotMatch(box.output, /Debugger listening/)
})

test('logs that cannot be written keep nobody waiting, and that is said', async (t) => {
  const box = loggedBox(
    t,
    { talker: { ...TALKER, more: '[log]\naccess = ../fifo\nerror = ../vhostel.ini/in-a-file' } },
    '/dev/full',
  )
  execFileSync('mkfifo', [join(box.dir, 'fifo')])
  await box.start()

  for (let count = 0; count < 200; count++) assert.equal((await box.ask('talker', '/talk')).status, 200)
  const said = (file: string) =>
    text(box, 'server.log')
      .split('\n')
      .filter((line) => line.includes(`"file":"${file}"`))
  const inFile = join(box.dir, 'vhostel.ini/in-a-file')
  await box.waitFor(
    'the warnings',
    () => said('/dev/full').length > 0 && said(join(box.dir, 'fifo')).length > 0 && said(inFile).length > 0,
  )

  assert.match(
    said('/dev/full')[0] ?? '',
    /"level":40.*"reason":"ENOSPC: no space left on device, write","msg":"a log file cannot be written/,
  )
  assert.match(said(join(box.dir, 'fifo'))[0] ?? '', /"reason":"ENXIO: /)
  assert.match(said(inFile)[0] ?? '', /"reason":"ENOTDIR: /)
  assert.deepEqual([said('/dev/full').length, said(inFile).length], [1, 1])
  const { logs } = await box.status()
  assert.deepEqual(
    logs.map((line) => line.split(': ').slice(0, 2)).sort(),
    [
      ['/dev/full', 'ENOSPC'],
      [join(box.dir, 'fifo'), 'ENXIO'],
      [inFile, 'ENOTDIR'],
    ].sort(),
  )
  assert.equal(await box.stop(), 0)
})

test('a tunnel to an upstream has its line when it ends, with the bytes that the client got', async (t) => {
  const upstream = `http://127.0.0.1:${await startSwitcher(t)}`
  const box = loggedBox(t, { relay: { ini: `[site]\ndomains = relay.test\nupstream = ${upstream}\n` } })
  await box.start()

  const head = 'GET /tunnel HTTP/1.1\r\nHost: relay.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'
  await raw(box, head, 'hello')

  const line = await lineOf(box, 'all.json', { target: '/tunnel' })
  assert.deepEqual([line.status, line.bytes, line.cut], [101, 5, undefined])
  assert.ok(Number(line.first_byte_ms) <= Number(line.total_ms))
})

test('over HTTP/2 only an answer that its client left in the middle of is cut', async (t) => {
  const box = makeBox(
    t,
    { talker: { ...TALKER, more: `certificate = ../t.pem\nkey = ../t.key\n${TALKER.more}` } },
    { server: 'listen_tls = 127.0.0.1:0' },
  )
  const { cert, key } = makePair(['talker.test'])
  box.write('t.pem', cert)
  box.write('t.key', key)
  box.write('logging.ini', '[access]\nfile = log/all.json\nformat = json\n')
  await box.start()
  const { listen } = await box.status()
  const url = listen.find((address) => address.startsWith('https:')) ?? ''
  const client = connectHttp2(url, { servername: 'talker.test', rejectUnauthorized: false })
  t.after(() => client.destroy())
  for (const [method, path] of [
    ['GET', '/whole'],
    ['HEAD', '/head'],
    ['GET', '/part'],
  ] as const) {
    const stream = client.request({ ':method': method, ':path': path, ':authority': 'talker.test' })
    await once(stream, 'response')
    if (path === '/part') await once(stream, 'data').finally(() => stream.close())
    else await once(stream.resume(), 'end')
  }

  const cut = async (target: string) => (await lineOf(box, 'all.json', { target })).cut
  assert.deepEqual([await cut('/whole'), await cut('/head'), await cut('/part')], [undefined, undefined, true])
})
