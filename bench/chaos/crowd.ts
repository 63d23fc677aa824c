/**
 * A crowd of visitors, each with a connection of its own: `crowd.ts PORT HOST PATH COUNT`, started by offender.ts. Told to
 * stop, it says how often it saw which status, and leaves.
 *
 * Limits: it opens `STEP` connections every `STEP_MS` until all were there, then `AGAIN` for those that were turned away; no
 * more than `ulimit -n` lets it.
 */
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import type { Answer } from './fault.ts'

const STEP = 500
const AGAIN = 25
const STEP_MS = 50

const [port = '0', host = '', path = '/', count = '0'] = process.argv.slice(2)
const seen = new Map<Answer, number>()
const sockets = new Set<Socket>()

function note(answer: Answer): void {
  seen.set(answer, (seen.get(answer) ?? 0) + 1)
}

function visit(): void {
  const socket = connect(Number(port), '127.0.0.1')
  let answer: Answer | undefined
  sockets.add(socket)
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  socket.once('data', (head: Buffer) => {
    answer = Number(/^HTTP\/1\.1 (\d+)/.exec(head.toString('latin1'))?.[1] ?? 0)
    note(answer)
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    sockets.delete(socket)
    if (answer === undefined) note('reset')
  })
}

let opened = 0
const timer = setInterval(() => {
  const step = opened < Number(count) ? STEP : AGAIN
  for (let visitor = 0; visitor < step && sockets.size < Number(count); visitor++, opened++) visit()
}, STEP_MS)

process.on('message', () => {
  clearInterval(timer)
  for (const socket of sockets) socket.removeAllListeners('close').destroy()
  if (sockets.size > 0) seen.set('none', sockets.size)
  process.send?.([...seen], () => process.exit(0))
})
process.on('disconnect', () => process.exit(0))
