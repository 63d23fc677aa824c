/**
 * Fetch handlers: what their Request and Response are, streams in both directions with their bounds, aborts, errors.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { BODY_WINDOW_BYTES } from '../../src/protocol/frames.ts'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread, RequestOptions } from '../helpers/thread-driver.ts'
import { fixture, shareThread } from '../helpers/thread-driver.ts'

let thread: DrivenThread
let generation = 0

shareThread((it) => {
  thread = it
})

/** Loads a fetch handler that is written for the test. @param body of `async (request, env, ctx) => { … }` */
async function handler(
  t: { after(end: () => unknown): void },
  body: string,
  env: Record<string, string> = {},
): Promise<number> {
  const text = `export default { async fetch(request, env, ctx) { ${body} } }`
  const folder = writeSite(t, { 'main.mjs': text }, true)
  await thread.loadWell({ generation: ++generation, module: join(folder, 'main.mjs'), env })
  return generation
}

const POST: RequestOptions = {
  method: 'POST',
  headers: ['Host', 'test.example', 'Content-Type', 'application/json', 'X-Two', '1', 'x-two', '2'],
}

test('a small answer is one frame with its length', async (t) => {
  const site = await handler(t, "return new Response('hello', { status: 201, headers: { 'X-A': '1' } })")

  const reply = await thread.get(site)

  assert.deepEqual(reply.types, ['response'])
  assert.deepEqual([reply.status, reply.head.reason, reply.text], [201, 'Created', 'hello'])
  assert.deepEqual(reply.header('x-a'), ['1'])
  assert.deepEqual(reply.header('content-length'), ['5'])
  assert.deepEqual(reply.header('content-type'), ['text/plain;charset=UTF-8'])
  assert.equal(reply.header('date').length, 1)
})

test('a request has what a Request has', async (t) => {
  const site = await handler(
    t,
    `return Response.json({
       is: request instanceof Request, tag: String(request), method: request.method, url: request.url,
       two: request.headers.get('x-two'), has: request.headers.has('nope'), mode: request.mode, redirect: request.redirect,
       signal: request.signal instanceof AbortSignal, used: request.bodyUsed, body: request.body instanceof ReadableStream,
       name: request.constructor.name, address: ctx.remoteAddress,
     })`,
  )

  const reply = await thread.get(site, '/a?b=c', { ...POST, body: '{}', encrypted: true })

  assert.deepEqual(reply.json, {
    is: true,
    tag: '[object Request]',
    method: 'POST',
    url: 'https://test.example/a?b=c',
    two: '1, 2',
    has: false,
    mode: 'cors',
    redirect: 'follow',
    signal: true,
    used: false,
    body: true,
    name: 'Request',
    address: '192.0.2.7',
  })
})

const readings: [string, string, string][] = [
  ['text', 'return new Response(await request.text())', '{"n":"\u00fc"}'],
  ['json', 'return new Response((await request.json()).n)', '\u00fc'],
  ['bytes', 'return new Response(await request.bytes())', '{"n":"\u00fc"}'],
  ['arrayBuffer', 'return new Response(await request.arrayBuffer())', '{"n":"\u00fc"}'],
  ['blob', 'return new Response(await request.blob())', '{"n":"\u00fc"}'],
  [
    'the stream',
    'const parts = []; for await (const c of request.body) parts.push(c); return new Response(Buffer.concat(parts))',
    '{"n":"\u00fc"}',
  ],
  [
    'a clone',
    'const c = request.clone(); return new Response(await c.text() + (await request.text()).length)',
    '{"n":"\u00fc"}9',
  ],
  ['a new Request of it', 'return new Response(await new Request(request).text())', '{"n":"\u00fc"}'],
  [
    'a new Request with other headers',
    "const r = new Request(request, { headers: { a: 'b' } }); return new Response(r.headers.get('a') + await r.text())",
    'b{"n":"\u00fc"}',
  ],
  [
    'twice',
    'await request.text(); try { await request.text() } catch (error) { return new Response(error.name + request.bodyUsed) }',
    'TypeErrortrue',
  ],
  ['a body handed on', 'return new Response(request.body)', '{"n":"\u00fc"}'],
]

for (const [what, body, expected] of readings) {
  test(`the body of a request is read as ${what}`, async (t) => {
    const site = await handler(t, body)
    const text = '{"n":"\u00fc"}'

    const whole = await thread.get(site, '/', { ...POST, body: text })
    const parts = thread.request(site, { ...POST, last: false })
    for (const byte of Buffer.from(text)) parts.send(Buffer.from([byte]))
    parts.end()
    await parts.over()

    assert.equal(whole.text, expected)
    assert.equal(parts.text, expected)
  })
}

test('a form is parsed', async (t) => {
  const site = await handler(
    t,
    "const form = await request.formData(); return new Response(form.get('name') + form.get('file').name)",
  )
  const boundary = '----WebKitFormBoundaryABCDEFGHIJKLMNOP'
  const part = (head: string, text: string) =>
    `--${boundary}\r\nContent-Disposition: form-data; ${head}\r\n\r\n${text}\r\n`
  const form = `${part('name="name"', 'value')}${part('name="file"; filename="a.txt"', 'text')}--${boundary}--\r\n`

  const reply = await thread.get(site, '/', {
    method: 'POST',
    headers: ['Host', 'a', 'Content-Type', `multipart/form-data; boundary=${boundary}`],
    body: form,
  })

  assert.equal(reply.text, 'valuea.txt')
})

const responses: [string, string, number, string, Record<string, string[]>][] = [
  ['no body', 'return new Response(null, { status: 204 })', 204, '', { 'content-length': [] }],
  [
    'bytes',
    'return new Response(new Uint8Array([104, 105]))',
    200,
    'hi',
    { 'content-length': ['2'], 'content-type': [] },
  ],
  [
    'a Blob',
    "return new Response(new Blob(['blob'], { type: 'text/x' }))",
    200,
    'blob',
    { 'content-type': ['text/x'] },
  ],
  [
    'search parameters',
    "return new Response(new URLSearchParams({ a: 'b' }))",
    200,
    'a=b',
    { 'content-type': ['application/x-www-form-urlencoded;charset=UTF-8'] },
  ],
  ['JSON', 'return Response.json({ a: 1 }, { status: 202 })', 202, '{"a":1}', { 'content-type': ['application/json'] }],
  ['a redirect', "return Response.redirect('http://a/b', 303)", 303, '', { location: ['http://a/b'] }],
  [
    'several cookies',
    "const h = new Headers(); h.append('set-cookie', 'a=1'); h.append('set-cookie', 'b=2'); return new Response('', { headers: h })",
    200,
    '',
    { 'set-cookie': ['a=1', 'b=2'] },
  ],
  [
    'cookies added afterwards',
    "const r = new Response('x'); r.headers.append('set-cookie', 'a=1'); r.headers.append('set-cookie', 'b=2'); return r",
    200,
    'x',
    { 'set-cookie': ['a=1', 'b=2'] },
  ],
  [
    'headers in pairs',
    "return new Response('x', { headers: [['x-a', '1'], ['x-a', '2']] })",
    200,
    'x',
    { 'x-a': ['1, 2'] },
  ],
  [
    'a clone',
    "const r = new Response('cloned', { headers: { a: 'b' } }); const c = r.clone(); return new Response(await r.text() + await c.text(), c)",
    200,
    'clonedcloned',
    { a: ['b'] },
  ],
  [
    'a response of a response',
    "const r = new Response('inner', { status: 404, headers: { a: 'b' } }); return new Response(r.body, r)",
    404,
    'inner',
    { a: ['b'] },
  ],
  [
    'a stream',
    "return new Response(new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode('stre')); c.enqueue(Buffer.from('am')); c.close() } }))",
    200,
    'stream',
    { 'content-length': [] },
  ],
  [
    'an own length',
    "return new Response('12345', { headers: { 'Content-Length': '5' } })",
    200,
    '12345',
    { 'content-length': ['5'] },
  ],
  [
    'what a subclass makes',
    "class Own extends Response { constructor(b) { super(b, { status: 299 }) } } return new Own('sub')",
    299,
    'sub',
    {},
  ],
  [
    'framing headers, which are the front’s',
    "return new Response('x', { headers: { connection: 'close', 'transfer-encoding': 'chunked' } })",
    200,
    'x',
    { connection: [], 'transfer-encoding': [] },
  ],
]

for (const [what, body, status, text, headers] of responses) {
  test(`a response is sent: ${what}`, async (t) => {
    const site = await handler(t, body)

    const reply = await thread.get(site)

    assert.deepEqual([reply.status, reply.text], [status, text])
    for (const [name, values] of Object.entries(headers)) assert.deepEqual(reply.header(name), values, name)
  })
}

test('what a Response may not be made of is refused as in Node', async (t) => {
  const site = await handler(
    t,
    `const attempt = (...args) => { try { new Response(...args); return 'made' } catch (error) { return error.name } }
     return Response.json([attempt('x', { status: 99 }), attempt('x', { status: 204 }), attempt('x', { headers: { 'a b': 'c' } }),
       attempt('x', { headers: { a: 'b\\nc' } }), attempt('x', { statusText: 'a\\nb' }), attempt('x', { status: '201' }), attempt(undefined),
       new Response('x') instanceof Response, (await fetch('data:,x')) instanceof Response, String(new Response()), new Response('x').ok])`,
  )

  const reply = await thread.get(site)

  assert.deepEqual(reply.json, [
    'RangeError',
    'TypeError',
    'TypeError',
    'TypeError',
    'TypeError',
    'made',
    'made',
    true,
    true,
    '[object Response]',
    true,
  ])
})

test('HEAD has the headers and no body', async (t) => {
  const site = await handler(t, "return new Response('12345', { headers: { a: 'b' } })")

  const reply = await thread.get(site, '/', { method: 'HEAD' })

  assert.deepEqual([reply.text, reply.header('content-length'), reply.header('a')], ['', ['5'], ['b']])
})

test('events flow at once', async (t) => {
  const site = await handler(
    t,
    `const stream = new ReadableStream({ async start(controller) {
       controller.enqueue(Buffer.from('data: 1\\n\\n'))
       request.signal.addEventListener('abort', () => { console.log('aborted', request.signal.reason.name); controller.close() })
     }, cancel() { console.log('cancelled') } })
     return new Response(stream, { headers: { 'content-type': 'text/event-stream' } })`,
  )
  const request = thread.request(site)
  await request.bytes(9)

  assert.equal(request.isOver, false)
  request.abort()

  await thread.log(site, /^aborted AbortError$/)
})

test('a stream is read no faster than credit', async (t) => {
  const site = await handler(
    t,
    `let chunks = 0
     globalThis.pulled = () => chunks
     if (request.url.endsWith('/pulled')) return new Response(String(globalThis.first()))
     globalThis.first ??= globalThis.pulled
     return new Response(new ReadableStream({ pull(c) { chunks++; if (chunks > 100) c.close(); else c.enqueue(new Uint8Array(50000)) } }))`,
  )
  const request = thread.request(site, { credit: false })
  await request.bytes(BODY_WINDOW_BYTES)

  const pulled = Number((await thread.get(site, '/pulled')).text)
  assert.ok(pulled <= 5, `${pulled} chunks of 50,000 bytes were read for a window of ${BODY_WINDOW_BYTES}`)
  request.credit(10_000_000)
  await request.over()

  assert.equal(request.body.byteLength, 5_000_000)
})

test('a large text waits for credit too', async (t) => {
  const site = await handler(t, "return new Response('x'.repeat(500000))")
  const request = thread.request(site, { credit: false })
  await request.bytes(BODY_WINDOW_BYTES)

  assert.equal(request.body.byteLength, BODY_WINDOW_BYTES)
  request.credit(1_000_000)
  await request.over()

  assert.equal(request.text, 'x'.repeat(500_000))
})

test('a body that nobody reads gets no credit, and one that is read as a stream is bounded', async (t) => {
  const site = await handler(
    t,
    `if (request.url.endsWith('/unread')) return new Promise(() => {})
     let bytes = 0
     for await (const chunk of request.body) { bytes += chunk.length; await new Promise(setImmediate) }
     return new Response(String(bytes))`,
  )
  const unread = thread.request(site, { ...POST, url: '/unread', last: false })
  unread.send(Buffer.alloc(64 * 1024))
  unread.send(Buffer.alloc(64 * 1024))
  const read = thread.request(site, { ...POST, last: false })
  await read.upload(3_000_000)
  read.end()
  await read.over()

  assert.equal(read.text, '3000000')
  assert.equal(unread.types.includes('credit'), false)
  unread.abort()
})

test('a client that expects 100 gets it when somebody reads its body, in either way, and not before', async (t) => {
  const site = await handler(
    t,
    `if (request.url.endsWith('/deaf')) return new Response('unread')
     if (request.url.endsWith('/whole')) return new Response(await request.text())
     let text = ''
     for await (const part of request.body) text += new TextDecoder().decode(part)
     return new Response(text)`,
  )
  const headers = ['Host', 'a', 'Expect', '100-continue']
  for (const url of ['/whole', '/stream']) {
    const request = thread.request(site, { method: 'POST', url, last: false, headers })
    await request.frame('informational')
    request.send('expected')
    request.end()
    await request.over()
    assert.equal(request.text, 'expected', url)
    assert.equal(request.types.filter((type) => type === 'informational').length, 1, url)
  }
  const deaf = thread.request(site, { method: 'POST', url: '/deaf', last: false, headers })
  await deaf.over()
  assert.deepEqual([deaf.text, deaf.types.includes('informational')], ['unread', false])
  const plain = thread.request(site, { method: 'POST', url: '/whole', headers: ['Host', 'a'], body: 'x' })
  await plain.over()
  assert.deepEqual([plain.text, plain.types.includes('informational')], ['x', false])
})

test('a body that is still being read after the answer is read to its end', async (t) => {
  const site = await handler(
    t,
    `ctx.waitUntil(request.text().then((text) => console.log('read', text.length)))
     return new Response('answered first')`,
  )
  const request = thread.request(site, { ...POST, last: false })
  await request.upload(300_000)
  request.end()

  await request.over()

  assert.equal(request.text, 'answered first')
  await thread.log(site, /^read 300000$/)
})

test('an answer is not held back for a body that nobody goes on reading', async (t) => {
  const site = await handler(
    t,
    `const reader = request.body.getReader()
     await reader.read()
     setTimeout(() => reader.read().catch((error) => console.log('later', error.name)), 5)
     return new Response(new ReadableStream({ start(c) { c.enqueue(Buffer.from('too large')); c.close() } }), { status: 413 })`,
  )
  const request = thread.request(site, { ...POST, last: false })
  request.send('a beginning')

  await request.over()

  assert.deepEqual([request.status, request.text], [413, 'too large'])
  await thread.log(site, /^later AbortError$/)
})

test('cookies in several fields belong together', async (t) => {
  const site = await handler(t, "return new Response(request.headers.get('cookie'))")

  const reply = await thread.get(site, '/', { headers: ['Host', 'a', 'Cookie', 'a=1', 'cookie', 'b=2'] })

  assert.equal(reply.text, 'a=1; b=2')
})

test('an abort of the client ends the body of the request', async (t) => {
  const site = await handler(
    t,
    `if (request.method === 'GET') console.log('next')
     else await request.text().catch((error) => { console.log(String(error)); throw error })
     return new Response()`,
  )
  const request = thread.request(site, { ...POST, last: false })
  request.send('a beginning')
  await request.frame('started')

  request.abort()

  await thread.log(site, /^AbortError: The request was aborted: /)
  await thread.get(site)
  await thread.log(site, /^next$/)
  // It let the abort through, which is no error of its own.
  assert.equal(thread.logs.filter(({ generation }) => generation === site).length, 2)
})

const failures: [string, string, RegExp][] = [
  ['throws', "throw new Error('thrown')", /thrown/],
  ['returns nothing', '', /did not return a Response.*undefined/],
  ['returns something else', "return 'a string'", /did not return a Response.*'a string'/],
  ['returns Response.error()', 'return Response.error()', /did not return a Response/],
]

for (const [what, body, log] of failures) {
  test(`a handler that ${what} is a 500 with a reason in the log`, async (t) => {
    const site = await handler(t, body)

    const reply = await thread.get(site)

    assert.equal(reply.status, 500)
    assert.equal((await thread.log(site, log)).level, 'fatal')
  })
}

test('a stream that fails cuts the answer off', async (t) => {
  const site = await handler(
    t,
    "return new Response(new ReadableStream({ start(c) { c.enqueue(Buffer.from('a beginning')) }, pull(c) { c.error(new Error('no disk')) } }))",
  )

  const reply = await thread.get(site)

  assert.equal(reply.types.at(-1), 'abort')
  await thread.log(site, /no disk/)
})

test('closing waits for what the site asked to wait for', async (t) => {
  const site = await handler(
    t,
    "ctx.waitUntil(new Promise((r) => setTimeout(() => { console.log('waited'); r() }, 30))); return new Response()",
  )
  await thread.get(site)

  await thread.unload(site)

  assert.ok(thread.logs.some((line) => line.generation === site && line.text === 'waited'))
})

test('Hono does JSON, forms, cookies and events', async () => {
  const of = ++generation
  await thread.loadWell({ generation: of, module: fixture('shapes/hono.ts'), env: { NAME: 'own' } })

  const json = await thread.get(of, '/json', { ...POST, body: '{"a":[1]}' })
  const form = await thread.get(of, '/form', {
    method: 'POST',
    headers: ['Host', 'a', 'Content-Type', 'application/x-www-form-urlencoded'],
    body: 'name=value',
  })
  const cookies = await thread.get(of, '/cookies')
  const events = await thread.get(of, '/events')
  const missing = await thread.get(of, '/missing')

  assert.deepEqual((await thread.get(of)).json, { name: 'own', host: 'test.example' })
  assert.deepEqual(json.json, { a: [1] })
  assert.equal(form.text, 'value')
  assert.deepEqual(cookies.header('set-cookie'), ['a=1', 'b=2'])
  assert.equal(events.text, 'data: 0\n\ndata: 1\n\ndata: 2\n\n')
  assert.equal(missing.status, 404)
})
