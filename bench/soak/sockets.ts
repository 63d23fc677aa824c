/** What is asked for by other means than one request and its answer: pipelines, WebSockets. */
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import type { Question, Result } from './question.ts'
import { lostBy, signalOf } from './question.ts'
import type { Outcome } from './record.ts'

const PIPELINED = 4
const MESSAGES = 5
/** One that is held says one every so many ms. */
const HELD_MESSAGES = 20
const HELD_PAUSE_MS = 200

/** Several requests at once on one connection, the last of which ends it. */
export function pipeline(question: Question): Promise<Result> {
  const { promise, resolve } = Promise.withResolvers<Result>()
  const { port, site, id } = question
  const socket = connect({ port, host: '127.0.0.1' })
  const ids = Array.from({ length: PIPELINED }, (_, n) => `${id}-${n}`)
  const heads = ids.map((each, n) => {
    const close = n === PIPELINED - 1 ? 'connection: close\r\n' : ''
    return `GET /get/${each} HTTP/1.1\r\nhost: ${site}.test\r\n${close}\r\n`
  })
  const signal = signalOf(question)
  let text = ''
  let failure = ''
  signal.addEventListener('abort', () => socket.destroy(), { once: true })
  socket.setEncoding('utf8')
  socket.on('data', (chunk: string) => {
    text += chunk
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    failure = error.code ?? error.message
  })
  socket.on('end', () => socket.end())
  socket.on('close', () => resolve(pipelineResult(question, ids, text, failure, signal)))
  socket.write(heads.join(''))
  return promise
}

function pipelineResult(
  question: Question,
  ids: readonly string[],
  text: string,
  failure: string,
  signal: AbortSignal,
): Result {
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status))
  const marks = [...text.matchAll(/x-mark: (\S+)/g)].map(([, mark]) => mark ?? '')
  const answered = [...text.matchAll(/(\S+\/\d+\/\d+) (\w+-\d)/g)].map(([, , id]) => id)
  const mark = marks.find((each) => !each.startsWith(`${question.site}/`)) ?? marks.at(-1)
  const bad = statuses.find((status) => status !== 200)
  if (signal.aborted) return { outcome: lostBy(signal, question, 'cut'), mark }
  if (bad !== undefined) return { outcome: bad, mark, detail: text.slice(-300).replaceAll(/\s+/g, ' ') }
  if (statuses.length < PIPELINED) return { outcome: statuses.length === 0 ? 'reset' : 'cut', mark, detail: failure }
  const isRight = answered.join() === ids.join()
  return isRight ? { outcome: 'ok', mark } : { outcome: 'wrong', mark, detail: text.slice(0, 800) }
}

/** A WebSocket that says some things and gets them back, in order: at once, or, where it is to be held, with pauses. */
export function talk(question: Question): Promise<Result> {
  const { promise, resolve } = Promise.withResolvers<Result>()
  const { id, ask } = question
  const socket = socketOf(question)
  const signal = signalOf(question)
  const length = ask === 'hold' ? HELD_MESSAGES : MESSAGES
  const said = Array.from({ length }, (_, n) => `${id} ${n} `.repeat(n === 2 ? 20_000 : 1))
  const heard: string[] = []
  let failure: Outcome = 'reset'
  let detail = ''
  signal.addEventListener('abort', () => socket.terminate(), { once: true })
  socket.on('message', (data) => {
    heard.push(String(data))
    if (heard.length === 1) void say(socket, said, ask === 'hold')
    if (heard.length > length) socket.close()
  })
  socket.on('open', () => {
    failure = 'cut'
  })
  socket.on('unexpected-response', (asked, response) => {
    failure = response.statusCode ?? 0
    asked.destroy()
    resolve({ outcome: failure })
  })
  socket.on('error', (error) => {
    detail = error.message
  })
  socket.on('close', () => {
    const [mark, ...rest] = heard
    if (rest.length === length) resolve({ outcome: rest.join() === said.join() ? 'ok' : 'wrong', mark })
    else resolve({ outcome: signal.aborted ? lostBy(signal, question, 'cut') : failure, mark, detail })
  })
  return promise
}

function socketOf({ port, site, id, isSecond }: Question): WebSocket {
  const where = isSecond ? `wss://127.0.0.1:${port}` : `ws://127.0.0.1:${port}`
  const tls = { servername: `${site}.test`, rejectUnauthorized: false }
  return new WebSocket(`${where}/socket/${id}`, { headers: { host: `${site}.test` }, ...tls })
}

async function say(socket: WebSocket, texts: readonly string[], isHeld: boolean): Promise<void> {
  for (const text of texts) {
    if (socket.readyState !== WebSocket.OPEN) return
    socket.send(text)
    if (isHeld) await delay(HELD_PAUSE_MS)
  }
}
