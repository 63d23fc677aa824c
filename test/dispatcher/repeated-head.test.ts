/** What is kept of a head is sent only where Node would have written the same: byte by byte, over real sockets. */
import assert from 'node:assert/strict'
import type { IncomingMessage, RequestListener, ServerOptions, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { FrontResponse } from '../../src/dispatcher/front-response.ts'
import { RepeatedHead } from '../../src/dispatcher/repeated-head.ts'
import { listenHere } from '../helpers/listen-here.ts'

const BODY = 'twelve bytes'
const DATE = ['Date', 'Sun, 06 Nov 1994 08:49:37 GMT']

const HEADS: Record<string, [status: number, reason: string | undefined, headers: string[]]> = {
  '/length': [200, 'OK', ['Content-Type', 'text/plain', 'Content-Length', '12', ...DATE]],
  '/reason': [404, 'Gone fishing', ['content-length', '12', ...DATE]],
  '/usual': [503, undefined, ['Content-Length', '12', ...DATE]],
  '/chunks': [200, 'OK', ['Content-Type', 'text/plain', ...DATE]],
  '/no-date': [200, 'OK', ['Content-Length', '12']],
  '/close': [200, 'OK', ['Content-Length', '12', 'Connection', 'close', ...DATE]],
  '/kept': [200, 'OK', ['Content-Length', '12', 'Connection', 'keep-alive', ...DATE]],
  '/nothing': [204, 'No Content', ['ETag', '"x"', ...DATE]],
  '/same': [304, undefined, ['ETag', '"x"', 'Content-Length', '12', ...DATE]],
  '/cookies': [200, 'OK', ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=\xe4', 'Content-Length', '12', ...DATE]],
}
const REPEATED = new Map(Object.entries(HEADS).map(([path, head]) => [path, new RepeatedHead(...head)]))

const REQUESTS: Record<string, (path: string) => string> = {
  get: (path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`,
  head: (path) => `HEAD ${path} HTTP/1.1\r\nHost: a\r\n\r\n`,
  closing: (path) => `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
  old: (path) => `GET ${path} HTTP/1.0\r\nHost: a\r\n\r\n`,
  oldKept: (path) => `GET ${path} HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n`,
  expecting: (path) => `GET ${path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n`,
}

/** @returns the port */
function listen(t: TestContext, options: ServerOptions, listener: RequestListener): Promise<number> {
  const server = createServer({ ...options, keepAliveTimeout: 7000 }, listener)
  // Not answered before the answer itself.
  server.on('checkContinue', listener)
  return listenHere(t, server)
}

/** All that comes on one connection for a request, and another that ends it. The dates of this test's own time are made one. */
async function bytesOf(port: number, request: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.setTimeout(10_000, () => socket.destroy(new Error('nothing came')))
  socket.setEncoding('latin1')
  socket.write(`${request}GET /length HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
  let text = ''
  for await (const part of socket) text += part
  return text.replace(/Date: \w+, \d+ \w+ 20\d\d [\d:]+ GMT/g, 'Date: now')
}

function plainly(req: IncomingMessage, res: ServerResponse): void {
  const [status, reason, headers] = HEADS[req.url as string] as [number, string | undefined, string[]]
  if (reason === undefined) res.writeHead(status, headers)
  else res.writeHead(status, reason, headers)
  res.end(BODY, 'latin1')
}

function again(req: IncomingMessage, res: ServerResponse): void {
  ;(res as FrontResponse).writeRepeated(REPEATED.get(req.url as string) as RepeatedHead)
  res.end(BODY, 'latin1')
}

test('a head that is sent again is what Node writes, whatever the request', async (t) => {
  const plain = await listen(t, {}, plainly)
  const repeating = await listen(t, { ServerResponse: FrontResponse }, again)
  for (let round = 0; round < 4; round++) {
    for (const [kind, make] of Object.entries(REQUESTS)) {
      for (const path of Object.keys(HEADS)) {
        const request = make(path)
        assert.equal(
          await bytesOf(repeating, request),
          await bytesOf(plain, request),
          `${kind} ${path}, round ${round}`,
        )
      }
    }
  }
  for (const path of ['/length', '/reason', '/usual', '/no-date', '/nothing', '/same', '/cookies']) {
    assert.ok(REPEATED.get(path)?.written !== undefined, `${path} is kept`)
  }
  for (const path of ['/chunks', '/close']) assert.equal(REPEATED.get(path)?.written, undefined, `${path} is not`)
})

test('a date that Node has put in is sent for its second only', async (t) => {
  const head = new RepeatedHead(200, 'OK', ['Content-Length', '12'])
  const port = await listen(t, { ServerResponse: FrontResponse }, (_req, res) => {
    ;(res as FrontResponse).writeRepeated(head)
    res.end(BODY)
  })
  const dates = new Set<string>()
  const until = Date.now() + 10_000
  while (dates.size < 3 && Date.now() < until) {
    const answer = await fetch(`http://127.0.0.1:${port}/`)
    const date = answer.headers.get('date') as string
    assert.ok(Math.abs(Date.parse(date) - Date.now()) < 2500, `${date} is of now`)
    dates.add(date)
    await answer.text()
    await delay(50)
  }
  assert.equal(dates.size, 3)
})

test('fields that were set one by one go with a head that is sent again', async (t) => {
  const head = new RepeatedHead(200, 'OK', ['Content-Length', '12', ...DATE])
  const port = await listen(t, { ServerResponse: FrontResponse }, (req, res) => {
    if (req.url === '/own') res.setHeader('X-Own', 'yes')
    ;(res as FrontResponse).writeRepeated(head)
    res.end(BODY)
  })
  for (const path of ['/', '/', '/', '/own', '/', '/own']) {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`)
    assert.equal(answer.headers.get('x-own'), path === '/own' ? 'yes' : null)
    assert.equal(await answer.text(), BODY)
  }
})

test('what Node refuses to send it refuses each time', async (t) => {
  const head = new RepeatedHead(200, 'OK', ['X-Bad', 'a\r\nb', 'Content-Length', '12', ...DATE])
  const port = await listen(t, { ServerResponse: FrontResponse }, (_req, res) => {
    try {
      ;(res as FrontResponse).writeRepeated(head)
      res.end(BODY)
    } catch (error) {
      res.writeHead(500).end((error as { code: string }).code)
    }
  })
  for (let time = 0; time < 4; time++) {
    assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'ERR_INVALID_CHAR')
  }
})
