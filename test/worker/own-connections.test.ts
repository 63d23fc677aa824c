/**
 * Sites that connect to servers of their own: what they get is what plain Node gives them, and neighbours that use the same
 * port in the same thread never meet each other.
 */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { siteLoader } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { shareThread } from '../helpers/thread-driver.ts'

let thread: DrivenThread

shareThread((it) => {
  thread = it
})

const site = siteLoader(() => thread, 'main.mjs')

/** A server that answers `/ask?…` with what it gets from itself, in each way that programs ask. */
const ASKING = (port: number, name: string) => `
  import http from 'node:http'
  const own = (host, options = {}) => new Promise((done, failed) => {
    http.get({ host, port: ${port}, path: '/name', ...options }, async (res) => {
      let text = ''
      for await (const chunk of res) text += chunk
      done(text)
    }).on('error', failed)
  })
  const byFetch = async (url) => (await fetch(url)).text()
  const server = http.createServer(async (req, res) => {
    if (req.url === '/name') return res.end('${name} ' + req.headers.host + ' ' + req.socket.remoteAddress)
    try {
      const answers = await Promise.all([
        own('localhost'), own('127.0.0.1'), own('::1'), own('0.0.0.0'), own('api.localhost'),
        own('localhost', { agent: new http.Agent({ keepAlive: true }) }),
        byFetch('http://127.0.0.1:${port}/name'), ...Array.from({ length: 6 }, () => byFetch('http://localhost:${port}/name')),
      ])
      res.end(JSON.stringify(answers))
    } catch (error) {
      res.writeHead(500).end(String(error.stack) + String(error.cause))
    }
  })
  server.listen(${port})`

test('a site reaches its own server by every name of this machine', async (t) => {
  const of = await site(t, ASKING(3000, 'one'))

  const { json, text } = await thread.get(of)

  assert.deepEqual(
    json,
    [
      'localhost',
      '127.0.0.1',
      '[::1]',
      '0.0.0.0',
      'api.localhost',
      'localhost',
      '127.0.0.1',
      ...Array(6).fill('localhost'),
    ].map((host) => `one ${host}:3000 127.0.0.1`),
    text,
  )
})

test('neighbours with the same port each reach themselves, at the same time and in turn', async (t) => {
  const names = ['a', 'b', 'c']
  const sites: number[] = []
  for (const name of names) sites.push(await site(t, ASKING(3000, name)))

  for (let round = 0; round < 5; round++) {
    const replies = await Promise.all(sites.map((of) => thread.get(of)))
    for (const [at, name] of names.entries()) {
      const answers = replies[at]?.json as string[]
      assert.deepEqual(new Set(answers.map((answer) => answer.split(' ')[0])), new Set([name]))
    }
  }
})

test("the code of such a request is the site's: environment, folder, log", async (t) => {
  const of = await site(
    t,
    `import http from 'node:http'
     http.createServer((req, res) => {
       if (req.url === '/inner') {
         console.log('inner was asked')
         req.on('data', () => {}).on('end', () => setTimeout(() => res.end(process.cwd() + ' ' + process.argv[1]), 1))
         return
       }
       const inner = http.request({ port: 3000, path: '/inner', method: 'POST' }, (answer) => answer.pipe(res))
       inner.end('some body')
     }).listen(3000, 'localhost')`,
  )

  const { text } = await thread.get(of)

  assert.match(text, /^(.+) \1\/main\.mjs$/)
  await thread.log(of, /inner was asked/)
})

test('servers of other protocols are reached too, and closed ones are not', async (t) => {
  const of = await site(
    t,
    `import http from 'node:http'
     import http2 from 'node:http2'
     import net from 'node:net'
     import { once } from 'node:events'
     const echo = net.createServer((socket) => socket.pipe(socket)).listen(7)
     const lines = net.createServer((socket) => socket.end('by path')).listen('/run/of-nobody.sock')
     const two = http2.createServer((req, res) => res.end('by h2 ' + req.httpVersion)).listen(8443, '127.0.0.1')
     const read = async (socket) => { let text = ''; for await (const chunk of socket) text += chunk; return text }
     const ask = async (socket, text) => { socket.end(text); return read(socket) }
     http.createServer(async (req, res) => {
       const said = [await ask(net.connect(7), 'echoed'), await read(net.connect('/run/of-nobody.sock'))]
       const session = http2.connect('http://localhost:8443')
       said.push(await read(session.request({ ':path': '/' })))
       session.close()
       said.push(await new Promise((done) => echo.getConnections((_, n) => done(n))))
       echo.close()
       await once(echo, 'close')
       const [error] = await once(net.connect({ port: 7, host: '127.0.0.1' }), 'error')
       res.end(JSON.stringify([...said, error.code, error.port]))
     }).listen(3000)`,
  )

  assert.deepEqual((await thread.get(of)).json, ['echoed', 'by path', 'by h2 2.0', 0, 'ECONNREFUSED', 7])
})

test('nobody else gets in at the socket on loopback', async (t) => {
  const of = await site(
    t,
    `import http from 'node:http'
     http.createServer((req, res) => {
       if (req.url === '/inner') return res.end('inner')
       const inner = http.get({ port: 3000, path: '/inner' }, (answer) => answer.resume().on('end', () => res.end(String(port))))
       let port
       inner.on('socket', (socket) => socket.on('connect', () => { port = socket.remotePort }))
     }).listen(3000)`,
  )
  const { text } = await thread.get(of)
  const port = Number(text)
  assert.ok(port > 1023, text)

  const stranger = connect(port, '127.0.0.1')
  stranger.write('GET /inner HTTP/1.1\r\nHost: localhost\r\n\r\n')
  const said: Buffer[] = []
  stranger.on('data', (chunk: Buffer) => said.push(chunk)).on('error', () => {})
  await new Promise((closed) => stranger.on('close', closed))

  assert.equal(Buffer.concat(said).toString(), '')
  assert.equal((await thread.get(of)).status, 200)
})
