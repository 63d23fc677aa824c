/**
 * The frames of HTTP exchanges: what leaves when, how bodies are bounded in both directions, and what an abort does.
 * What a handler sees is compared with plain Node in differential.test.ts.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { BODY_WINDOW_BYTES } from '../../src/protocol/frames.ts'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { shareThread, startThread } from '../helpers/thread-driver.ts'

let thread: DrivenThread
let generation = 0

shareThread((it) => {
  thread = it
})

/** Loads a handler that is written for the test. @param body of `(req, res, shared) => { … }` */
async function handler(t: { after(end: () => unknown): void }, body: string, more = ''): Promise<number> {
  const text = `const shared = {}; ${more}\nmodule.exports = (req, res) => { ${body} }`
  const folder = writeSite(t, { 'main.cjs': text })
  await thread.loadWell({ generation: ++generation, module: join(folder, 'main.cjs'), type: 'handler' })
  return generation
}

test('a small answer is one frame', async (t) => {
  const site = await handler(t, "res.setHeader('X-A', '1'); res.write('one '); res.end('two')")

  const reply = await thread.get(site)

  assert.deepEqual(reply.types, ['response'])
  assert.equal(reply.text, 'one two')
})

test('an answer after a while is one frame too', async (t) => {
  const site = await handler(t, "setTimeout(() => res.end('later'), 2)")

  const reply = await thread.get(site)

  assert.deepEqual(reply.types, ['started', 'response'])
})

test('what is written leaves in the same turn', async (t) => {
  const site = await handler(t, "res.write('data: 1\\n\\n'); req.on('close', () => res.end())")
  const request = thread.request(site)

  await request.bytes(9)

  assert.deepEqual(request.types, ['response', 'started'])
  assert.equal(request.isOver, false)
  request.abort()
})

test('flushHeaders sends the head alone', async (t) => {
  const site = await handler(t, "res.setHeader('X-Early', 'yes'); res.flushHeaders(); shared.res = res", '')
  const request = thread.request(site)

  await request.frame('response')

  assert.deepEqual(request.header('x-early'), ['yes'])
  assert.equal(request.body.byteLength, 0)
  request.abort()
})

test('a large answer comes in chunks, no faster than credit', async (t) => {
  const site = await handler(
    t,
    "if (req.url !== '/') return res.end(); res.end(Buffer.alloc(1000000, 'x'), () => console.log('handed over'))",
  )
  const request = thread.request(site, { credit: false })

  await request.bytes(BODY_WINDOW_BYTES)
  await thread.get(site, '/other')
  assert.equal(request.body.byteLength, BODY_WINDOW_BYTES, 'nothing came beyond the window')
  assert.equal(
    thread.logs.some((line) => line.generation === site),
    false,
    'the callback waits',
  )
  request.credit(1_000_000)
  await request.over()

  assert.equal(request.body.byteLength, 1_000_000)
  await thread.log(site, /handed over/)
})

test('write returns false while the window is used up, and drain follows credit', async (t) => {
  const site = await handler(
    t,
    `let sent = 0
     const more = () => {
       while (sent < 3000000) {
         sent += 50000
         if (!res.write(Buffer.alloc(50000))) return res.once('drain', more)
       }
       res.end()
     }
     shared.sent = () => sent
     if (req.url === '/sent') return res.end(String(shared.first()))
     shared.first ??= shared.sent
     more()`,
  )
  const request = thread.request(site, { credit: false })

  await request.bytes(BODY_WINDOW_BYTES)
  const written = Number((await thread.get(site, '/sent')).text)
  assert.ok(written < BODY_WINDOW_BYTES + 300_000, `${written} bytes were written before any credit`)
  while (!request.isOver) {
    const before = request.body.byteLength
    request.credit(BODY_WINDOW_BYTES)
    if (before < 3_000_000) await request.bytes(Math.min(3_000_000, before + 1))
    else await request.over()
  }

  assert.equal(request.body.byteLength, 3_000_000)
})

test('a body that nobody reads gets no credit', async (t) => {
  const site = await handler(t, "if (req.url === '/other') res.end()")
  const request = thread.request(site, { method: 'POST', last: false })

  request.send(Buffer.alloc(64 * 1024))
  request.send(Buffer.alloc(64 * 1024))
  await thread.get(site, '/other')

  assert.equal(request.types.includes('credit'), false)
  request.abort()
})

test('a body that is read slowly is granted as it is read', async (t) => {
  const site = await handler(
    t,
    `let bytes = 0
     req.on('data', (chunk) => { bytes += chunk.length; req.pause(); setImmediate(() => req.resume()) })
     req.on('end', () => res.end(String(bytes)))`,
  )
  const request = thread.request(site, { method: 'POST', last: false })

  await request.upload(5_000_000)
  request.end()
  await request.over()

  assert.equal(request.text, '5000000')
})

test('a body that comes with its request is there', async (t) => {
  const site = await handler(t, 'req.pipe(res)')

  const reply = await thread.get(site, '/', { method: 'POST', body: 'small body' })

  assert.equal(reply.text, 'small body')
})

test('an answer before the body is complete ends the request', async (t) => {
  const site = await handler(
    t,
    "req.on('close', () => console.log('closed', req.complete)); res.writeHead(413).end('too large')",
  )
  const request = thread.request(site, { method: 'POST', last: false })

  request.send('a beginning')
  await request.over()

  assert.equal(request.status, 413)
  await thread.log(site, /^closed true$/)
})

test('an answer is whole for its client while the site goes on reading the body', async (t) => {
  const site = await handler(
    t,
    `let bytes = 0
     req.on('data', (chunk) => (bytes += chunk.length)).on('end', () => console.log('read', bytes))
     res.write('answered '); res.end('first')`,
  )
  const request = thread.request(site, { method: 'POST', last: false })
  await request.bytes('answered first'.length)

  assert.deepEqual(request.header('content-length'), ['14'])
  assert.equal(request.isOver, false)
  await request.upload(300_000)
  request.end()
  await request.over()

  await thread.log(site, /^read 300000$/)
})

test('an answer is not held back for a body that nobody goes on reading', async (t) => {
  const site = await handler(
    t,
    `req.on('close', () => console.log('closed', req.aborted, req.complete))
     req.once('data', () => { req.pause(); res.writeHead(413); res.end('too large') })`,
  )
  const request = thread.request(site, { method: 'POST', last: false })
  request.send('a beginning')

  await request.over()

  assert.deepEqual([request.status, request.text], [413, 'too large'])
  await thread.log(site, /^closed true false$/)
})

test('informational answers are frames of their own', async (t) => {
  const site = await handler(
    t,
    `res.writeProcessing(); res.writeEarlyHints({ link: '</a.css>; rel=preload' }); res.end('done')`,
  )

  const reply = await thread.get(site)

  const heads = reply.frames.flatMap((frame) => (frame.type === 'informational' ? [frame.head] : []))
  assert.deepEqual(heads, [
    { status: 102, reason: 'Processing', headers: [] },
    { status: 103, reason: 'Early Hints', headers: ['Link', '</a.css>; rel=preload'] },
  ])
})

test('a client that expects 100 gets it before the handler runs', async (t) => {
  const site = await handler(t, 'req.pipe(res)')
  const request = thread.request(site, {
    method: 'POST',
    last: false,
    headers: ['Host', 'a', 'Expect', '100-continue'],
  })

  await request.frame('informational')
  request.send('expected')
  request.end()
  await request.over()

  assert.deepEqual(request.types.slice(0, 2), ['started', 'informational'])
  assert.equal(request.text, 'expected')
})

test('trailers go both ways', async (t) => {
  const site = await handler(
    t,
    `req.resume().on('end', () => {
       res.writeHead(200, { Trailer: 'X-Sum' })
       res.write('body')
       res.addTrailers({ 'X-Sum': req.trailers['x-sum'] })
       res.end()
     })`,
  )
  const request = thread.request(site, { method: 'POST', last: false })
  request.send('x')
  request.end(['X-Sum', '42'])

  await request.over()

  assert.deepEqual(request.frames.at(-1), { type: 'end', id: request.id, trailers: ['X-Sum', '42'] })
})

test('a client over TLS is seen as such', async (t) => {
  const site = await handler(
    t,
    'res.end(JSON.stringify([req.socket.encrypted, req.socket.authorized, req.socket.remoteFamily, req.socket.address()]))',
  )

  const reply = await thread.get(site, '/', { encrypted: true, remoteAddress: '2001:db8::1' })

  assert.deepEqual(reply.json, [true, false, 'IPv6', { address: '192.0.2.1', family: 'IPv4', port: 8080 }])
})

test('the socket of a request closes with it, for those who wait for that', async (t) => {
  const site = await handler(t, "req.socket.on('close', () => console.log('socket closed')); res.end('x')")

  await thread.get(site)

  await thread.log(site, /^socket closed$/)
})

test('an abort of the client ends what the site does for it', async (t) => {
  const site = await handler(
    t,
    `if (req.url !== '/') return res.end()
     const timer = setInterval(() => res.write('tick '), 1)
     req.on('close', () => { clearInterval(timer); console.log('closed', req.destroyed, res.destroyed, res.write('more')) })`,
  )
  const request = thread.request(site)
  await request.bytes(10)

  request.abort()

  await thread.log(site, /^closed true true false$/)
  const frames = request.frames.length
  await thread.get(site, '/other')
  assert.equal(request.frames.length, frames, 'nothing is sent after an abort')
})

test('a site that destroys its socket aborts the request with its reason', async (t) => {
  const site = await handler(t, "req.socket.destroy(new Error('no more'))")

  const reply = await thread.get(site)

  assert.deepEqual(reply.frames.at(-1), { type: 'abort', id: reply.id, reason: 'no more' })
})

test('what was written before a socket is destroyed leaves first', async (t) => {
  const site = await handler(t, "res.statusCode = 301; res.write('0'); process.nextTick(() => req.socket.destroy())")

  const reply = await thread.get(site)

  assert.deepEqual(reply.types, ['response', 'abort'])
  assert.deepEqual([reply.status, reply.text], [301, '0'])
})

test('a site that writes to the socket of its request is told in the abort', async (t) => {
  const site = await handler(t, "req.socket.write('HTTP/1.1 200 OK\\r\\n\\r\\nby hand')")

  const reply = await thread.get(site)

  const frame = reply.frames.at(-1)
  assert.match(frame?.type === 'abort' ? frame.reason : '', /wrote to the socket of its request/)
})

test('CONNECT is refused when nobody takes it', async (t) => {
  const site = await handler(t, "res.end('never')")

  const reply = await thread.get(site, 'example.com:443', { method: 'CONNECT' })

  assert.deepEqual(reply.types, ['started', 'abort'])
})

test('frames for ids that are over or unknown are dropped', async (t) => {
  const site = await handler(t, "res.end('x')")
  const reply = await thread.get(site)

  reply.send('late')
  reply.end()
  reply.credit(100)
  reply.abort()
  thread.channel.send({ type: 'abort', id: 999_999, reason: 'unknown' })

  assert.equal((await thread.get(site)).status, 200)
})

test('a handler that answers with a promise that fails is a 500', async (t) => {
  const site = await handler(t, "return Promise.reject(new Error('rejected'))")

  const reply = await thread.get(site)

  assert.equal(reply.status, 500)
  await thread.log(site, /rejected/)
})

test('an upgrade that nobody takes is an ordinary request', async (t) => {
  const site = await handler(t, "res.end('ordinary ' + req.upgrade)")

  const reply = await thread.get(site, '/', {
    upgrade: true,
    headers: ['Host', 'a', 'Upgrade', 'websocket', 'Connection', 'Upgrade'],
  })

  assert.equal(reply.text, 'ordinary false')
})

test('acknowledgements wait for a dispatcher that does not read', async (t) => {
  const own = await startThread(t)
  const folder = writeSite(t, {
    'main.cjs':
      "console.log('loaded'); module.exports = (req, res) => { if (req.method === 'GET') { for (let n = 0; n < 40; n++) process.stdout.write('x'.repeat(50000) + '\\n') } res.end('ran ' + req.method) }",
  })
  await own.loadWell({ generation: 1, module: join(folder, 'main.cjs') })
  const noisy = own.request(1)
  const post = own.request(1, { method: 'POST', last: false })
  post.send('body')
  post.end()

  await Promise.all([noisy.over(), post.over()])

  assert.equal(post.text, 'ran POST')
  assert.equal(noisy.text, 'ran GET')
})

test('many requests at once keep apart', async (t) => {
  const site = await handler(t, "setTimeout(() => res.end(req.url + ' ' + req.headers['x-n']), Math.random() * 5)")

  const replies = await Promise.all(
    Array.from({ length: 300 }, (_, n) => thread.get(site, `/${n}`, { headers: ['Host', 'a', 'X-N', String(n)] })),
  )

  assert.deepEqual(
    replies.map(({ text }) => text),
    replies.map((_, n) => `/${n} ${n}`),
  )
})

test('a socket may be destroyed with anything at all', async (t) => {
  const site = await handler(t, 'req.socket.destroy(JSON.parse(decodeURIComponent(req.url.slice(1))))')

  for (const reason of ['"text"', '{"message":5}', '{}', '7']) {
    const reply = await thread.get(site, `/${encodeURIComponent(reason)}`)
    assert.deepEqual(reply.types.at(-1), 'abort', reason)
  }
})

test('an answer whose trailers are none is refused before anything of it leaves', async (t) => {
  const site = await handler(t, "res.write('body'); res._trailer = 'T: a\\nInjected: 1\\r\\n'; res.end()")

  assert.deepEqual((await thread.get(site)).types, ['abort'])
})
