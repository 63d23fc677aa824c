/**
 * One request of each sort, and whether its answer is the right one: HTTP/1.1 over kept connections or a raw socket, HTTP/2,
 * WebSockets. What may go wrong is told, never thrown.
 *
 * Limits: `PATIENCE_MS` until a visitor gives up. Invariant: each call comes to one outcome.
 */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:http'
import type { ClientHttp2Session } from 'node:http2'
import { connect as connectSecond } from 'node:http2'
import { setTimeout as delay } from 'node:timers/promises'
import type { Question, Result } from './question.ts'
import { lostBy, signalOf } from './question.ts'
import { LONG_PARTS, PARTS } from './site-code.ts'
import type { Ask } from './sites.ts'
import { pipeline, talk } from './sockets.ts'

/** What a POST sends, and how. */
interface Body {
  bytes: Buffer
  isChunked: boolean
  /** Of how many parts, with a pause between them. */
  parts: number
}

const agent = new Agent({ keepAlive: true, maxSockets: 1_000 })
const sessions = new Map<string, ClientHttp2Session>()

/** Asks by HTTP/1.1, or by what `ask` says. */
export function askFirst(question: Question): Promise<Result> {
  if (question.ask === 'socket' || question.ask === 'hold') return talk(question)
  if (question.ask === 'pipeline') return pipeline(question)
  const { promise, resolve } = Promise.withResolvers<Result>()
  const { port, site } = question
  const body = bodyOf(question)
  const signal = signalOf(question)
  const asked = request({
    host: '127.0.0.1',
    port,
    agent,
    method: body === undefined ? 'GET' : 'POST',
    path: pathOf(question),
    headers: { host: `${site}.test`, ...headersOf(body) },
    signal,
  })
  const lost = (kind: 'cut' | 'reset', mark?: string) => (error: NodeJS.ErrnoException) => {
    const detail = `${error.code ?? error.message}${asked.reusedSocket ? ', kept connection' : ''}`
    resolve({ outcome: lostBy(signal, question, kind), mark, detail })
  }
  asked.on('error', lost('reset'))
  asked.on('response', (response: IncomingMessage) => {
    const chunks: Buffer[] = []
    const mark = response.headers['x-mark'] as string | undefined
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('error', lost('cut', mark))
    response.on('end', () => {
      const { statusCode = 0, headers } = response
      resolve(rightOf(question, { status: statusCode, mark, location: headers.location, body }, Buffer.concat(chunks)))
    })
  })
  if (body === undefined) asked.end()
  else void sendBody(asked, body)
  return promise
}

/** Asks by HTTP/2, all of one site over one connection; a WebSocket over TLS. */
export function askSecond(question: Question): Promise<Result> {
  if (question.ask === 'socket' || question.ask === 'hold') return talk(question)
  const { promise, resolve } = Promise.withResolvers<Result>()
  const body = bodyOf(question)
  const signal = signalOf(question)
  const session = sessionOf(question)
  const stream = session.request(
    { ':path': pathOf(question), ':method': body === undefined ? 'GET' : 'POST' },
    { signal },
  )
  let head: { status: number; mark: string | undefined; location: string | undefined } | undefined
  const chunks: Buffer[] = []
  stream.on('response', (headers) => {
    head = {
      status: headers[':status'] ?? 0,
      mark: headers['x-mark'] as string | undefined,
      location: headers.location,
    }
  })
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  let failure = ''
  stream.on('error', (error: NodeJS.ErrnoException) => {
    failure = `${error.code ?? ''} ${error.message}`
  })
  stream.on('close', () => {
    const isWhole = head !== undefined && failure === '' && stream.readableEnded
    if (isWhole && head !== undefined) resolve(rightOf(question, { ...head, body }, Buffer.concat(chunks)))
    else {
      const detail = `${failure}, code ${stream.rstCode}`
      resolve({ outcome: lostBy(signal, question, head === undefined ? 'reset' : 'cut'), mark: head?.mark, detail })
    }
  })
  if (body === undefined) stream.end()
  else void sendBody(stream, body)
  return promise
}

/** Closes what is kept open. */
export function hangUp(): void {
  agent.destroy()
  for (const session of sessions.values()) session.destroy()
  sessions.clear()
}

function sessionOf({ port, site }: Question): ClientHttp2Session {
  const known = sessions.get(site)
  if (known !== undefined && !known.closed && !known.destroyed) return known
  const session = connectSecond(`https://${site}.test:${port}`, {
    lookup: (_name, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]),
    rejectUnauthorized: false,
  })
  session.on('error', () => {})
  session.on('goaway', () => sessions.delete(site))
  sessions.set(site, session)
  return session
}

function pathOf({ ask, id, random, site }: Question): string {
  if (ask === 'big') return `/big/${id}/${sizeOf(id)}`
  if (ask === 'cached') return `/cached/key${random.below(20)}?id=${id}`.replace(/\?.*/, '')
  if (ask === 'file') return site.endsWith('files') ? '/page.txt' : '/files/page.txt'
  return `/${ask}/${id}`
}

/** Of what is asked for by this id: some small, some of a MB. */
function sizeOf(id: string): number {
  const turn = Number.parseInt(id.slice(1), 36)
  return [700, 20_000, 200_000, 1_000_000][turn % 4] ?? 0
}

function bodyOf({ ask, id, random }: Question): Body | undefined {
  if (ask !== 'post' && ask !== 'echo') return undefined
  const size = random.pick([0, 10, 3_000, 100_000, 1_000_000])
  const bytes = Buffer.alloc(size, `${id}.`)
  return { bytes, isChunked: random.chance(0.5), parts: random.pick([1, 1, 3, 8]) }
}

function headersOf(body: Body | undefined): Record<string, string> {
  if (body === undefined) return {}
  const type = { 'content-type': 'application/octet-stream' }
  return body.isChunked ? type : { ...type, 'content-length': String(body.bytes.length) }
}

interface Sink {
  destroyed: boolean
  write: (chunk: Buffer) => boolean
  end: () => void
}

async function sendBody(to: Sink, { bytes, parts }: Body): Promise<void> {
  const step = Math.max(1, Math.ceil(bytes.length / parts))
  for (let at = 0; at < bytes.length && !to.destroyed; at += step) {
    if (at > 0) await delay(60)
    to.write(bytes.subarray(at, at + step))
  }
  if (!to.destroyed) to.end()
}

interface Head {
  status: number
  mark: string | undefined
  location: string | undefined
  body: Body | undefined
}

/** Compares an answer with the one that it should be. */
function rightOf({ ask, id, site }: Question, { status, mark, location, body }: Head, got: Buffer): Result {
  if (site === 'sent-on' && status === 301) {
    const ini = /^https:\/\/(\d+)\.test\/get\//.exec(location ?? '')?.[1]
    return ini === undefined
      ? { outcome: 'wrong', detail: `sent to ${location}` }
      : { outcome: 'ok', mark: `${site}/0/${ini}` }
  }
  if (status !== 200) return { outcome: status, mark, detail: got.subarray(0, 300).toString().replaceAll(/\s+/g, ' ') }
  if (ask === 'file') return { outcome: 'ok', mark: got.toString().trim() }
  const want = wantedText(ask, id, mark ?? '', body)
  const isRight = typeof want === 'string' ? got.toString() === want : want.test(got.toString())
  if (isRight && mark !== undefined) return { outcome: 'ok', mark }
  return { outcome: 'wrong', mark, detail: `${got.length} bytes: ${got.subarray(0, 200)}` }
}

function wantedText(ask: Ask, id: string, mark: string, body: Body | undefined): string | RegExp {
  const parts = (line: (n: number) => string, length = PARTS): string =>
    Array.from({ length }, (_, n) => line(n)).join('')
  if (ask === 'big') return `${id}.`.repeat(Math.ceil(sizeOf(id) / (id.length + 1))).slice(0, sizeOf(id))
  if (ask === 'stream') return parts((n) => `${id} ${n}\n`)
  if (ask === 'long') return parts((n) => `${id} ${n}\n`, LONG_PARTS)
  if (ask === 'sse') return parts((n) => `data: ${id} ${n}\n\n`)
  if (ask === 'cached') return new RegExp(`^${mark} key\\d+$`)
  if (body === undefined) return `${mark} ${id}`
  if (ask === 'echo') return body.bytes.toString()
  return [mark, id, body.bytes.length, createHash('sha1').update(body.bytes).digest('hex')].join(' ')
}
