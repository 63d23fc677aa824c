/**
 * What a server that thinks it listens sees of itself.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { shareThread } from '../helpers/thread-driver.ts'

let thread: DrivenThread
let generation = 0

shareThread((it) => {
  thread = it
})

async function site(t: { after(end: () => unknown): void }, text: string): Promise<number> {
  const folder = writeSite(t, { 'main.cjs': text })
  await thread.loadWell({ generation: ++generation, module: join(folder, 'main.cjs') })
  return generation
}

test('a server listens, in the order of events that Node has', async (t) => {
  const of = await site(
    t,
    `const events = []
     const server = require('http').createServer((req, res) => res.end(JSON.stringify(events)))
     server.on('listening', () => events.push('listening', server.listening))
     events.push('before', server.listening, server.address())
     const returned = server.listen(3000, () => events.push('called back', server.address()))
     events.push('called', returned === server)
     try { server.listen(3001) } catch (error) { events.push(error.code) }`,
  )

  const reply = await thread.get(of)

  assert.deepEqual(reply.json, [
    'before',
    false,
    null,
    'called',
    true,
    'ERR_SERVER_ALREADY_LISTEN',
    'listening',
    true,
    'called back',
    { address: '::', family: 'IPv6', port: 3000 },
  ])
})

test('servers without a port get one each', async (t) => {
  const of = await site(
    t,
    `const http = require('http')
     const [a, b] = [http.createServer((req, res) => res.end([a, b].map((s) => s.address().port).join())), http.createServer()]
     a.listen(); b.listen(0)`,
  )

  const [one, two] = (await thread.get(of)).text.split(',').map(Number)

  assert.ok(one !== undefined && one > 1024 && two !== one)
})

test('a server that closes lets its requests end, and may listen again', async (t) => {
  const of = await site(
    t,
    `const server = require('http').createServer((req, res) => {
       if (req.url !== '/close') return res.end('open')
       server.close((error) => {
         console.log('closed', error, server.listening)
         server.close((second) => console.log('twice', second.code))
         server.listen(3000, () => console.log('again'))
       })
       console.log('closing', server.listening, server.address())
       req.resume().on('end', () => res.end('closing'))
     })
     server.listen(3000)`,
  )

  const closing = thread.request(of, { url: '/close', method: 'POST', last: false })
  await thread.log(of, /^closing false null$/)
  const refused = await thread.get(of, '/meanwhile')
  closing.end()
  assert.equal((await closing.over()).text, 'closing')
  await thread.log(of, /^again$/)

  assert.deepEqual(refused.frames.at(-1), { type: 'abort', id: refused.id, reason: 'it has closed its server' })
  await thread.log(of, /^closed undefined false$/)
  await thread.log(of, /^twice ERR_SERVER_NOT_RUNNING$/)
  assert.equal((await thread.get(of)).text, 'open')
})

test('closeAllConnections and getConnections are about the requests that are open', async (t) => {
  const of = await site(
    t,
    `const server = require('http').createServer((req, res) => {
       if (req.url === '/wait') return
       server.getConnections((error, count) => {
         server.closeAllConnections()
         console.log('open', error, count)
       })
     })
     server.listen(3000)`,
  )
  const waiting = thread.request(of, { url: '/wait' })
  await waiting.frame('started')

  const closer = await thread.get(of)

  await thread.log(of, /^open null 2$/)
  assert.deepEqual([(await waiting.over()).types.at(-1), closer.types.at(-1)], ['abort', 'abort'])
})

test('a server with maxHeadersCount gets no more headers than that', async (t) => {
  const of = await site(
    t,
    `const server = require('http').createServer((req, res) => res.end(Object.keys(req.headers).join()))
     server.maxHeadersCount = 2
     server.listen(3000)`,
  )

  const reply = await thread.get(of, '/', { headers: ['Host', 'a', 'X-One', '1', 'X-Two', '2'] })

  assert.equal(reply.text, 'host,x-one')
})

test('an abort signal closes a server', async (t) => {
  const of = await site(
    t,
    `const stop = new AbortController()
     const server = require('http').createServer((req, res) => { stop.abort(); res.end() })
     server.on('close', () => console.log('closed'))
     server.listen({ port: 3000, signal: stop.signal })`,
  )

  await thread.get(of)

  await thread.log(of, /^closed$/)
})

test('checkContinue and checkExpectation of a server are asked', async (t) => {
  const of = await site(
    t,
    `const server = require('http').createServer((req, res) => res.end('request'))
     server.on('checkContinue', (req, res) => { res.writeHead(417); res.end('no') })
     server.on('checkExpectation', (req, res) => res.end('expected ' + req.headers.expect))
     server.listen(3000)`,
  )

  const refused = await thread.get(of, '/', { method: 'POST', headers: ['Host', 'a', 'Expect', '100-continue'] })
  const other = await thread.get(of, '/', { headers: ['Host', 'a', 'Expect', 'tea'] })

  assert.deepEqual([refused.status, refused.text], [417, 'no'])
  assert.equal(other.text, 'expected tea')
})

test("a server's own classes and settings are used", async (t) => {
  const of = await site(
    t,
    `const http = require('http')
     class Request extends http.IncomingMessage { get shout() { return this.url.toUpperCase() } }
     class Response extends http.ServerResponse { ok(text) { this.end('ok ' + text) } }
     const options = { IncomingMessage: Request, ServerResponse: Response, joinDuplicateHeaders: true, uniqueHeaders: ['x-one'] }
     const server = http.createServer(options, (req, res) => {
       res.setHeader('X-One', ['a', 'b'])
       res.ok(req.shout + ' ' + req.headers.authorization + ' ' + (req.socket.server === server))
     })
     server.timeout = 60000
     server.listen(3000)`,
  )

  const reply = await thread.get(of, '/path', {
    headers: ['Host', 'a', 'Authorization', 'one', 'Authorization', 'two'],
  })

  assert.equal(reply.text, 'ok /PATH one, two true')
  assert.deepEqual(reply.header('x-one'), ['a; b'])
})

test("a server's timeout ends a request that does nothing", async (t) => {
  const of = await site(t, "const s = require('http').createServer(() => {}); s.setTimeout(30); s.listen(3000)")

  const reply = await thread.get(of)

  assert.equal(reply.types.at(-1), 'abort')
})

test('a port that the site listens on already is in use', async (t) => {
  const of = await site(
    t,
    `const http = require('http')
     http.createServer((req, res) => res.end('first')).listen(3000)
     http.createServer().on('error', (error) => console.log(error.code, error.port, error.message)).listen(3000)`,
  )

  await thread.log(of, /^EADDRINUSE 3000 listen EADDRINUSE: address already in use :::3000$/)
  assert.equal((await thread.get(of)).text, 'first')
})

test("a site keeps and replaces its server's methods as it likes", async (t) => {
  const of = await site(
    t,
    `const server = require('http').createServer((req, res) => {
       console.log('own close', server.close(), server.listenerCount('listening'), Object.keys(server).includes('close'))
       server.close = close
       server.close(() => console.log('closed'))
       res.end()
     })
     const { close } = server
     server.close = () => 'not closed'
     server.listen(3000)`,
  )

  await thread.get(of)

  await thread.log(of, /^own close not closed 1 true$/)
  await thread.log(of, /^closed$/)
})

test('http2 servers get their requests as HTTP/1.1', async (t) => {
  const of = await site(t, "require('http2').createServer((req, res) => res.end('h2 ' + req.method)).listen(3000)")

  assert.equal((await thread.get(of)).text, 'h2 GET')
})

test('a server of another protocol is refused after the load too, and told as its error', async (t) => {
  const of = await site(
    t,
    `module.exports = (req, res) => require('net').createServer(() => {}).on('error', (error) => res.end(error.code)).listen('/tmp/x.sock')`,
  )

  assert.equal((await thread.get(of)).text, 'VHOSTEL_PORT_REFUSED')
})

test('a module that first tries whether its port is free is served by the server it opens then', async (t) => {
  const of = await site(
    t,
    `const [http, net] = [require('http'), require('net')]
     const probe = (server, host) => new Promise((done, fail) => {
       server.on('error', fail).listen(3000, host, () => { const { port } = server.address(); server.close(() => done(port)) })
     })
     async function start() {
       for (const host of [undefined, '127.0.0.1', '0.0.0.0']) {
         for (const server of [net.createServer(), net.createServer(() => {}), http.createServer()]) await probe(server, host)
       }
       http.createServer((req, res) => res.end('served')).listen(3000)
     }
     start()`,
  )

  assert.equal((await thread.get(of)).text, 'served')
})

test('a server of another protocol is refused in the log when nobody listens to its errors, and the site serves', async (t) => {
  const of = await site(
    t,
    `const other = require('net').createServer((socket) => socket.end()).listen(2525)
     require('http').createServer((req, res) => res.end(String(other.listening))).listen(3000)`,
  )

  const line = await thread.log(of, /wants to listen on port 2525/)

  assert.equal(line.level, 'fatal')
  assert.equal((await thread.get(of)).text, 'true')
})

test('a server without listeners keeps its port for as long as it likes', async (t) => {
  const of = await site(
    t,
    `const net = require('net')
     const lock = net.createServer().listen(2526)
     require('http').createServer((req, res) => {
       net.createServer().on('error', (error) => res.end(error.message)).listen(2526)
     }).listen(3000)`,
  )

  assert.equal((await thread.get(of)).text, 'listen EADDRINUSE: address already in use :::2526')
})

test('a second server of a site closes without waiting for the requests of the first', async (t) => {
  const of = await site(
    t,
    `const http = require('http')
     http.createServer((req, res) => {
       const second = http.createServer().listen(0, () => {
         second.getConnections((error, count) => second.close(() => res.end('closed with ' + count)))
       })
     }).listen(3000)`,
  )

  assert.equal((await thread.get(of)).text, 'closed with 0')
})

test('a server that is closed and then cuts its connections ends at once', async (t) => {
  const of = await site(
    t,
    `const server = require('http').createServer((req, res) => {
       if (req.url === '/wait') return
       server.close(() => console.log('closed'))
       server.closeAllConnections()
     })
     server.listen(3000)`,
  )
  const waiting = thread.request(of, { url: '/wait' })
  await waiting.frame('started')

  thread.request(of)

  assert.equal((await waiting.over()).types.at(-1), 'abort')
  await thread.log(of, /^closed$/)
})

test('a module that only opens a server of another protocol is told so', async (t) => {
  const folder = writeSite(t, { 'main.cjs': `require('net').createServer((socket) => socket.end()).listen(2527)` })

  const { failure } = await thread.load({
    generation: ++generation,
    module: join(folder, 'main.cjs'),
    startTimeoutMs: 300,
  })

  assert.match(failure?.message ?? '', /wants to listen on port 2527 with a server that is not HTTP/)
})
