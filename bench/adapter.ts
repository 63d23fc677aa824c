/**
 * What the adapter costs: request frames as bytes in, response frames as bytes out, without sockets. Prints ns a request.
 *
 *     node bench/adapter.ts [seconds for each row]
 *
 * Each row is run three times, in turns; the best is shown, because other work on the machine only ever adds.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import os from 'node:os'
import fastify from 'fastify'
import { Hono } from 'hono'
import type { Channel } from '../src/protocol/channel.ts'
import { encodeFrame, FrameBatch } from '../src/protocol/codec.ts'
import { FrameDecoder } from '../src/protocol/frame-decoder.ts'
import type { LoadOrder, RequestHead } from '../src/protocol/frames.ts'
import type { Exchange } from '../src/worker/exchange.ts'
import { createWire } from '../src/worker/exchange.ts'
import { FetchApp } from '../src/worker/fetch-adapter.ts'
import { installFetchClasses } from '../src/worker/fetch-classes.ts'
import { HandlerApp } from '../src/worker/http-adapter.ts'
import type { FetchFunction } from '../src/worker/module-shape.ts'
import { runIn } from '../src/worker/request-context.ts'
import type { SiteApp } from '../src/worker/site.ts'
import { Site } from '../src/worker/site.ts'

/** Requests in one turn of the event loop, as with as many busy clients. */
const BATCH = 64
const secondsEach = Number(process.argv[2] ?? 2)

const ORDER: LoadOrder = {
  generation: 1,
  site: 'bench',
  root: '/',
  module: '/bench.js',
  type: 'handler',
  args: [],
  httpPort: undefined,
  env: {},
  options: {},
  startTimeoutMs: 1000,
  stopTimeoutMs: 1000,
}

const HEAD: RequestHead = {
  generation: 1,
  method: 'GET',
  url: '/',
  httpMinor: 1,
  headers: ['Host', 'bench.localhost:8080', 'User-Agent', 'wrk/4.1.0', 'Accept', '*/*'],
  remoteAddress: '127.0.0.1',
  remotePort: 40000,
  localAddress: '127.0.0.1',
  localPort: 8080,
  encrypted: false,
  keepAlive: true,
  upgrade: false,
}

interface Row {
  name: string
  app: (site: Site) => SiteApp
}

function plainHandler(_req: IncomingMessage, res: ServerResponse): void {
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': '18' })
  res.end('{"hello":"world!"}')
}

async function fastifyHandler(): Promise<(req: IncomingMessage, res: ServerResponse) => void> {
  const app = fastify()
  app.get('/', async () => ({ hello: 'world!' }))
  await app.ready()
  return (req, res) => app.routing(req, res)
}

/** Runs one row. @returns ns a request */
async function run(row: Row): Promise<number> {
  const out = new FrameBatch()
  const channel: Channel = {
    send: (frame) => out.add(frame),
    flush: () => true,
    unsentBytes: 0,
    destroy: () => {},
  }
  const site = new Site(ORDER, channel)
  const app = row.app(site)
  const open = new Map<number, Exchange>()
  const wire = createWire(channel, (id) => open.delete(id))
  const decoder = new FrameDecoder((frame) => {
    if (frame.type !== 'request') return
    const exchange = app.open(site, wire, frame)
    open.set(frame.id, exchange)
    channel.send({ type: 'started', id: frame.id })
    runIn(exchange, () => exchange.start())
  })
  const request = { type: 'request', head: HEAD, body: Buffer.alloc(0), last: true } as const
  const input = Buffer.concat(Array.from({ length: BATCH }, (_, id) => encodeFrame({ ...request, id })))
  const endAt = performance.now() + secondsEach * 1000
  const before = process.cpuUsage()
  let requests = 0
  while (performance.now() < endAt) {
    decoder.push(input)
    requests += BATCH
    await new Promise((resolve) => setImmediate(resolve))
    if (open.size > 0) throw new Error(`${open.size} requests of '${row.name}' were not answered`)
    out.take()
  }
  const used = process.cpuUsage(before)
  return ((used.user + used.system) * 1000) / requests
}

function plainFetch(): Response {
  return new Response('{"hello":"world!"}', { headers: { 'content-type': 'application/json' } })
}

installFetchClasses()
const routing = await fastifyHandler()
const hono = new Hono()
hono.get('/', (c) => c.json({ hello: 'world!' }))

const rows: Row[] = [
  { name: 'plain handler, 18 bytes', app: () => new HandlerApp(plainHandler) },
  { name: 'Fastify, 18 bytes of JSON', app: () => new HandlerApp(routing) },
  {
    name: 'fetch handler, 18 bytes',
    app: (site) => new FetchApp(site, { kind: 'fetch', fetch: plainFetch, owner: undefined }),
  },
  {
    name: 'Hono, 18 bytes of JSON',
    app: (site) => new FetchApp(site, { kind: 'fetch', fetch: hono.fetch as FetchFunction, owner: hono }),
  },
]
const best = new Map<string, number>()
for (let round = 0; round < 3; round++) {
  for (const row of rows) best.set(row.name, Math.min(best.get(row.name) ?? Number.POSITIVE_INFINITY, await run(row)))
}
console.log(`node ${process.version}, ${os.cpus()[0]?.model ?? 'unknown'}, ${BATCH} requests a turn`)
for (const [name, ns] of best)
  console.log(`${name.padEnd(30)} ${Math.round(ns).toString().padStart(6)} ns CPU a request`)
