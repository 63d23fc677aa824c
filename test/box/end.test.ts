/** The end of the server, as `systemctl restart` has it: what is open is finished, and what never ends is not waited for. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import WebSocket, { WebSocketServer } from 'ws'
import type { Box } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

/** Half of what open requests get at the end. */
const SOON_MS = 15_000

/** WebSockets, a stream of events, and an answer that comes when a WebSocket was closed. */
const APP = `import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
const { WebSocketServer } = createRequire('${import.meta.filename}')('ws')
let finish
const server = createServer((request, response) => {
  if (request.url === '/slow') {
    finish = () => response.end('finished')
    return writeFileSync('slow', 'begun')
  }
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
  response.write('data: first\\n\\n')
})
new WebSocketServer({ server }).on('connection', (socket) => {
  socket.send('hello')
  socket.on('close', () => finish())
})
server.listen(3000)
`

/** The same behind a port of its own. */
async function startUpstream(t: TestContext): Promise<number> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.write('data: first\n\n')
  })
  new WebSocketServer({ server }).on('connection', (socket) => socket.send('hello'))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

/** Opens a WebSocket and a stream of events of a site. @returns to be called for a promise of the end of both */
async function openEndless(box: Box, site: string): Promise<() => Promise<unknown>> {
  const headers = { host: `${site}.test` }
  const socket = new WebSocket(`ws://127.0.0.1:${box.port}/`, { headers })
  socket.on('error', () => {})
  const socketClosed = once(socket, 'close')
  const greeted = once(socket, 'message')
  const asked = request({ host: '127.0.0.1', port: box.port, path: '/events', headers, agent: false }).end()
  const [events] = (await once(asked, 'response')) as [IncomingMessage]
  const eventsClosed = new Promise((resolve) => events.on('error', () => {}).on('close', resolve))
  await Promise.all([greeted, once(events, 'data')])
  return () => Promise.all([socketClosed, eventsClosed])
}

test('at the end open requests are finished, and WebSockets and streams of events are not waited for', async (t) => {
  const port = await startUpstream(t)
  const box = await startBox(t, {
    app: { files: { 'app.mjs': APP } },
    front: { ini: `[site]\ndomains = front.test\nupstream = http://127.0.0.1:${port}\n` },
  })
  const ends = [await openEndless(box, 'app'), await openEndless(box, 'front')]
  const slow = box.ask('app', '/slow')
  await box.waitFor('the request to be with the site', () => existsSync(`${box.dir}/sites/app/slow`))

  const toldAt = performance.now()
  const code = await box.stop()

  assert.equal(code, 0)
  assert.ok(performance.now() - toldAt < SOON_MS, `after ${Math.round(performance.now() - toldAt)} ms`)
  assert.equal((await slow).text, 'finished')
  await Promise.all(ends.map((ended) => ended()))
})
