/**
 * Runs the same handlers on a plain http server and in a thread, and compares what the client gets and what the handler
 * sees: events in their order, states, errors.
 *
 * A real socket has turns of its own (a write may take one, a close one more), so events are compared in the order of
 * each object; across objects only where the handler itself wrote both down.
 */
import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import type { DrivenRequest, DrivenThread } from '../helpers/thread-driver.ts'
import { fixture, startThread, until } from '../helpers/thread-driver.ts'

interface Case {
  method?: string
  headers?: Record<string, string | string[]>
  body?: string | Buffer
  trailers?: string[]
  httpMinor?: number
  clientLeaves?: 'before' | 'middle' | 'upload'
  /** Node answers in the handler's place. */
  isRefused?: boolean
}

const site = (await import(fixture('differential.mjs'))) as {
  handlers: Record<string, Case>
  serve(req: unknown, res: unknown): void
}

/** What a client gets. */
interface Seen {
  status?: number
  reason?: string
  headers?: string[]
  body?: string
  trailers?: string[]
  informational?: number[]
  isCut?: boolean
}

/** Headers that say how a message is framed on its connection: the front's, in vhostel. */
const FRAMING = new Set(['connection', 'keep-alive', 'transfer-encoding'])

let thread: DrivenThread
let server: http.Server
const ended: (() => unknown)[] = []

before(async () => {
  thread = await startThread({ after: (end) => ended.push(end) })
  await thread.loadWell({ generation: 1, module: fixture('differential.mjs'), type: 'handler' })
  server = http.createServer((req, res) => site.serve(req, res))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
after(async () => {
  server.closeAllConnections()
  server.close()
  for (const end of ended) await end()
})

for (const [name, one] of Object.entries(site.handlers)) {
  test(`as in plain Node: ${name}`, async () => {
    const plain = await askPlain(name, one)
    const plainLog = one.isRefused ? undefined : await settledLog(() => plainLogOf(name))
    const hosted = await askHosted(name, one)
    const hostedLog = one.isRefused ? undefined : await settledLog(() => hostedLogOf(name))

    assert.deepEqual(hosted, plain)
    assert.deepEqual(hostedLog, plainLog)
  })
}

// ---- the plain way ---------------------------------------------------------------------------------------------------

function askPlain(name: string, one: Case): Promise<Seen> {
  const { port } = server.address() as AddressInfo
  if (one.httpMinor === 0) return askPlainOldWay(name, port)
  return new Promise((resolve) => {
    const seen: Seen = { informational: [] }
    // Keeps the connection, so that the body is read to its end, but for this request alone.
    const agent = new http.Agent({ keepAlive: true })
    ended.push(() => agent.destroy())
    const req = http.request({
      port,
      host: '127.0.0.1',
      path: `/${encodeURIComponent(name)}`,
      method: one.method ?? 'GET',
      headers: plainHeaders(one),
      agent,
    })
    req.on('information', ({ statusCode }) => seen.informational?.push(statusCode))
    req.on('error', () => resolve({ ...seen, isCut: true }))
    req.on('response', (res: IncomingMessage) => void readPlain(res, seen).then(resolve))
    if (one.clientLeaves === 'before') void whenLogged(() => plainLogOf(name)).then(() => req.destroy())
    if (one.clientLeaves === 'middle') req.on('response', (res) => res.once('data', () => req.destroy()))
    if (one.clientLeaves === 'upload') {
      req.write(one.body)
      return void whenStarted(name).then(() => req.destroy())
    }
    if (one.trailers) req.addTrailers(pairsOf(one.trailers))
    if (one.headers?.Expect === '100-continue') req.on('continue', () => req.end(one.body))
    else req.end(one.body)
  })
}

function plainHeaders(one: Case): Record<string, string | string[] | number> {
  const length =
    one.body === undefined || one.trailers || one.clientLeaves ? {} : { 'Content-Length': Buffer.byteLength(one.body) }
  return { Host: 'test.example', ...one.headers, ...length }
}

function pairsOf(flat: string[]): [string, string][] {
  return flat.flatMap((text, at) => (at % 2 === 0 ? [[text, flat[at + 1] as string] as [string, string]] : []))
}

async function readPlain(res: IncomingMessage, seen: Seen): Promise<Seen> {
  const chunks: Buffer[] = []
  const head = {
    status: res.statusCode as number,
    reason: res.statusMessage as string,
    headers: comparable(res.rawHeaders),
  }
  try {
    for await (const chunk of res) chunks.push(chunk as Buffer)
  } catch {
    return { ...seen, ...head, isCut: true }
  }
  return { ...seen, ...head, body: Buffer.concat(chunks).toString('latin1'), trailers: res.rawTrailers }
}

/** Node's client speaks only HTTP/1.1. */
function askPlainOldWay(name: string, port: number): Promise<Seen> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(`GET /${encodeURIComponent(name)} HTTP/1.0\r\nHost: test.example\r\n\r\n`),
    )
    socket.on('data', (chunk) => (text += chunk.toString('latin1')))
    socket.on('end', () => {
      const [head = '', body = ''] = text.split('\r\n\r\n')
      const [first = '', ...lines] = head.split('\r\n')
      const headers = lines.flatMap((line) => line.split(': '))
      resolve({
        informational: [],
        status: Number(first.slice(9, 12)),
        reason: first.slice(13),
        headers: comparable(headers),
        body,
        trailers: [],
      })
    })
  })
}

// ---- the hosted way --------------------------------------------------------------------------------------------------

async function askHosted(name: string, one: Case): Promise<Seen> {
  const body = Buffer.from(one.body ?? '')
  const headers = [
    'Host',
    'test.example',
    ...Object.entries(plainHeaders(one))
      .filter(([key]) => key !== 'Host')
      .flatMap(([key, value]) => [value].flat().flatMap((text) => [key, String(text)])),
  ]
  const isWhole =
    body.byteLength < 60_000 && !one.trailers && one.clientLeaves !== 'upload' && one.headers?.Expect === undefined
  const request = thread.request(1, {
    url: `/${encodeURIComponent(name)}`,
    method: one.method ?? 'GET',
    httpMinor: one.httpMinor ?? 1,
    keepAlive: one.httpMinor !== 0,
    headers,
    body: isWhole ? body : '',
    last: isWhole,
  })
  if (one.clientLeaves === 'upload') request.send(body)
  else if (!isWhole) void sendRest(request, body, one)
  if (one.clientLeaves !== undefined) return leave(request, name, one)
  await request.over()
  return seenOf(request)
}

async function sendRest(request: DrivenRequest, body: Buffer, one: Case): Promise<void> {
  if (one.headers?.Expect === '100-continue') await request.frame('informational')
  for (let at = 0; at < body.byteLength; at += 50_000) {
    await until(request.news.subscribe, () => request.window > 0 || request.isOver, 'credit')
    if (request.isOver) return
    request.send(body.subarray(at, at + 50_000))
  }
  request.end(one.trailers)
}

async function leave(request: DrivenRequest, name: string, one: Case): Promise<Seen> {
  if (one.clientLeaves === 'middle') await request.bytes(1)
  else if (one.clientLeaves === 'before') await whenLogged(() => hostedLogOf(name))
  else await request.frame('started')
  request.abort()
  if (one.clientLeaves !== 'middle') return { informational: [], isCut: true }
  return {
    informational: [],
    status: request.status,
    reason: request.head.reason,
    headers: comparable(request.head.headers),
    isCut: true,
  }
}

function seenOf(request: DrivenRequest): Seen {
  const informational = request.frames.flatMap((frame) => (frame.type === 'informational' ? [frame.head.status] : []))
  const isCut = request.types.includes('abort')
  if (!request.types.includes('response')) return { informational, isCut }
  const { status, reason, headers } = request.head
  if (isCut) return { informational, status, reason, headers: comparable(headers), isCut }
  const end = request.frames.find((frame) => frame.type === 'end')
  const trailers = end?.type === 'end' ? end.trailers : []
  return {
    informational,
    status,
    reason,
    headers: comparable(headers),
    body: request.body.toString('latin1'),
    trailers,
  }
}

// ---- logs ------------------------------------------------------------------------------------------------------------

async function hostedLogOf(name: string): Promise<string[]> {
  return (await thread.get(1, `/${encodeURIComponent(`log of ${name}`)}`)).json as string[]
}

async function plainLogOf(name: string): Promise<string[]> {
  const { port } = server.address() as AddressInfo
  const response = await fetch(`http://127.0.0.1:${port}/${encodeURIComponent(`log of ${name}`)}`)
  return (await response.json()) as string[]
}

async function whenLogged(logOf: () => Promise<string[]>): Promise<void> {
  const deadline = performance.now() + 5000
  while ((await logOf()).length === 0) assert.ok(performance.now() < deadline, 'the handler has not logged anything')
}

/** The handler of an upload has no log of its own to wait for. */
async function whenStarted(_name: string): Promise<void> {
  await new Promise((resolve) => server.once('request', resolve))
}

const LAST_LINES = ['["res close"]', '["req close"]', '["handled"]']

/** The log once the handler is through, both objects are closed, and nothing follows; lines of each object in order. */
async function settledLog(logOf: () => Promise<string[]>): Promise<Record<string, string[]>> {
  const deadline = performance.now() + 5000
  let log: string[] = []
  for (;;) {
    const before = log.length
    log = await logOf()
    if (log.length === before && LAST_LINES.every((line) => log.includes(line))) break
    assert.ok(performance.now() < deadline, `not closed; got ${JSON.stringify(log)}`)
  }
  return {
    request: log.filter((line) => line.startsWith('["req ')),
    response: log.filter((line) => line.startsWith('["res ')),
    handler: log.filter((line) => !/^\["(re[qs] (end|close|aborted|prefinish|finish)|handled)"\]$/.test(line)),
  }
}

function comparable(headers: readonly string[]): string[] {
  const kept: string[] = []
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string
    if (FRAMING.has(name.toLowerCase())) continue
    kept.push(name, name === 'Date' && !headers[at + 1]?.includes('1970') ? 'now' : (headers[at + 1] as string))
  }
  return kept
}
