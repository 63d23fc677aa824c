/**
 * The code of the sites: whatever its shape, each answers the same requests, and every answer bears its mark,
 * `SITE/CODE/INI`: the name, the number of its code, and that of its INI file.
 *
 * `GET /get/ID`, `/wait/ID` (after 20 ms), `/big/ID/BYTES`, `/stream/ID` and `/sse/ID` (parts over 100 ms),
 * `/long/ID` (over 4 s), `/cached/KEY`;
 * `POST /post/ID` tells what it got, and notes `ran ID` in the journal as it begins; `POST /echo/ID` sends back what comes.
 * An offender has `/fault/NAME` besides.
 */

export const PARTS = 5
/** Of `/long/ID`, with pauses of 100 ms. */
export const LONG_PARTS = 40
/** The last number of the code that a file `gen.mjs` says. */
export const genFile = (gen: number): string => `export const GEN = ${gen}\n`

export type Shape = 'handler' | 'listen' | 'fastify' | 'fetch' | 'express' | 'koa' | 'hono' | 'commonjs'

/** Files of a module, by name; `site.mjs` (or `site.cjs`) is the module. */
export function moduleFiles(shape: Shape): Record<string, string> {
  return { [moduleOf(shape)]: MODULES[shape], 'handler.mjs': HANDLER, 'answers.mjs': ANSWERS }
}

export function moduleOf(shape: Shape): string {
  return shape === 'commonjs' ? 'site.cjs' : 'site.mjs'
}

/** What all shapes say. */
const ANSWERS = `import { appendFileSync } from 'node:fs'
import { threadId } from 'node:worker_threads'
import { GEN } from './gen.mjs'

export const mark = [process.env.SITE, GEN, process.env.INI_GEN].join('/')
export const place = process.pid + '/' + threadId
export const ran = (id) => appendFileSync(process.env.JOURNAL, 'ran ' + id + ' ' + place + '\\n')
export const big = (id, bytes) => (id + '.').repeat(Math.ceil(bytes / (id.length + 1))).slice(0, bytes)
export const part = (kind, id, n) => (kind === 'sse' ? 'data: ' : '') + id + ' ' + n + (kind === 'sse' ? '\\n\\n' : '\\n')
export const headers = { 'x-mark': mark, 'x-place': place }
`

const HANDLER = `import { createHash } from 'node:crypto'
import { fault } from './fault.mjs'
import { big, headers, mark, part, ran } from './answers.mjs'

export default function handle(request, response) {
  const [kind, id, size] = (request.originalUrl ?? request.url).split('/').slice(1)
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  if (kind === 'get') return response.end(mark + ' ' + id)
  if (kind === 'wait') return setTimeout(() => response.end(mark + ' ' + id), 20)
  if (kind === 'big') return response.setHeader('content-type', 'text/plain').end(big(id, Number(size)))
  if (kind === 'cached') return response.setHeader('cache-control', 'max-age=60').end(mark + ' ' + id)
  if (kind === 'fault') return fault(id, request, response)
  if (kind === 'stream' || kind === 'sse' || kind === 'long') return stream(kind, id, response)
  if (kind === 'echo') return request.pipe(response)
  if (kind !== 'post') return response.writeHead(404).end()
  ran(id)
  const hash = createHash('sha1')
  let bytes = 0
  request.on('data', (chunk) => {
    hash.update(chunk)
    bytes += chunk.length
  })
  request.on('end', () => response.end([mark, id, bytes, hash.digest('hex')].join(' ')))
}

function stream(kind, id, response) {
  if (kind === 'sse') response.setHeader('content-type', 'text/event-stream')
  let n = 0
  const timer = setInterval(() => {
    response.write(part(kind, id, n))
    if (++n < (kind === 'long' ? ${LONG_PARTS} : ${PARTS})) return
    clearInterval(timer)
    response.end()
  }, kind === 'long' ? 100 : 20)
  response.on('close', () => clearInterval(timer))
}
`

const FETCH = `import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { big, headers, mark, part, ran } from './answers.mjs'

const answer = (text, more = {}) => new Response(text, { headers: { ...headers, ...more } })

async function handle(request) {
  const [kind, id, size] = new URL(request.url).pathname.split('/').slice(1)
  if (kind === 'get') return answer(mark + ' ' + id)
  if (kind === 'wait') return delay(20).then(() => answer(mark + ' ' + id))
  if (kind === 'big') return answer(big(id, Number(size)), { 'content-type': 'text/plain' })
  if (kind === 'cached') return answer(mark + ' ' + id, { 'cache-control': 'max-age=60' })
  if (kind === 'stream' || kind === 'long') return answer(ReadableStream.from(parts(kind, id)))
  if (kind === 'sse') return answer(ReadableStream.from(parts(kind, id)), { 'content-type': 'text/event-stream' })
  if (kind === 'echo') return answer(request.body)
  if (kind !== 'post') return new Response('', { status: 404 })
  ran(id)
  const body = Buffer.from(await request.arrayBuffer())
  return answer([mark, id, body.length, createHash('sha1').update(body).digest('hex')].join(' '))
}

async function* parts(kind, id) {
  for (let n = 0; n < (kind === 'long' ? ${LONG_PARTS} : ${PARTS}); n++) {
    await delay(kind === 'long' ? 100 : 20)
    yield new TextEncoder().encode(part(kind, id, n))
  }
}
`

const MODULES: Record<Shape, string> = {
  handler: "export { default } from './handler.mjs'\n",
  commonjs: "module.exports = require('./handler.mjs').default\n",
  listen: `import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { mark } from './answers.mjs'
import handler from './handler.mjs'
const server = createServer(handler)
new WebSocketServer({ server }).on('connection', (socket) => {
  socket.send(mark)
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
})
if (process.env.KEEP !== undefined) server.keepAliveTimeout = 0
// Closes what is idle after 30 ms.
if (process.env.KEEP === 'brief') server.on('request', ({ socket }, response) => {
  socket.requests = (socket.requests ?? 0) + 1
  const { requests } = socket
  response.on('finish', () => setTimeout(() => socket.requests === requests && socket.destroy(), 30))
})
// Closes what has been idle when the next request comes.
if (process.env.KEEP === 'fickle') server.on('connection', (socket) => {
  socket.on('data', () => socket.isFresh ??= true)
  setTimeout(() => socket.isFresh && socket.prependOnceListener('data', () => socket.destroy()), 1_000)
})
server.listen(process.env.SOCKET ?? process.env.PORT ?? 3000)
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => server.close(() => process.exit()))
`,
  fastify: `import { headers, mark } from './answers.mjs'
import handler from './handler.mjs'
export default async (fastify) => {
  fastify.addContentTypeParser('*', (request, payload, done) => done(null))
  fastify.get('/get/:id', async (request, reply) => reply.headers(headers).send(mark + ' ' + request.params.id))
  fastify.all('/*', (request, reply) => {
    reply.hijack()
    handler(request.raw, reply.raw)
  })
}
`,
  fetch: `${FETCH}export default handle\n`,
  hono: `${FETCH}import { Hono } from 'hono'\nexport default new Hono().all('*', (context) => handle(context.req.raw))\n`,
  express:
    "import express from 'express'\nimport handler from './handler.mjs'\nexport default express().use(handler)\n",
  koa: `import Koa from 'koa'
import handler from './handler.mjs'
export default new Koa().use((context) => {
  context.respond = false
  context.res.statusCode = 200
  handler(context.req, context.res)
})
`,
}

/** Of a site that does no harm. */
export const NO_FAULT = "export const fault = (name, request, response) => response.writeHead(404).end('no fault')\n"

/** Of a site that does; each is asked for by `/fault/NAME`. */
export const FAULTS = `const held = []
export function fault(name, request, response) {
  if (name === 'loop') for (;;);
  if (name === 'burn') for (const end = Date.now() + 350; Date.now() < end; );
  if (name === 'exit') process.exit(3)
  if (name === 'throw') return setTimeout(() => { throw new Error('soak: thrown') }, 5)
  if (name === 'reject') return void Promise.reject(new Error('soak: rejected'))
  if (name === 'timer') return setTimeout(() => { for (;;); }, 5)
  if (name === 'destroy') return request.socket.destroy()
  if (name === 'half') return response.write('half', () => request.socket.destroy())
  if (name === 'leak') held.push(Buffer.alloc(20_000_000, 'x'))
  if (name === 'never') return
  if (name === 'abort') process.abort()
  if (name === 'segfault') process.dlopen({ exports: {} }, new URL('crash.node', import.meta.url).pathname)
  if (name === 'kill') process.kill(process.pid, 'SIGKILL')
  if (name === 'stop') process.kill(process.pid, 'SIGSTOP')
  response.end(name)
}
`
export const FAULT_NAMES = [
  ...['loop', 'burn', 'exit', 'throw', 'reject', 'timer', 'destroy', 'half', 'leak', 'never'],
  ...['abort', 'segfault', 'kill', 'stop'],
]
