/** The end of the server, as `systemctl restart` has it: what is open is finished, and what never ends is not waited for. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { connect as tlsConnect } from 'node:tls'
import WebSocket, { WebSocketServer } from 'ws'
import { freePorts } from '../../bench/free-port.ts'
import type { Box } from '../helpers/box.ts'
import { makeBox, startBox } from '../helpers/box.ts'
import { makePair } from '../helpers/certificates.ts'

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

/** Its second version is never loaded; says so when it begins. */
const ENDLESS_LOAD = `import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
if (existsSync('again')) {
  writeFileSync('loading', '')
  await new Promise(() => {})
}
createServer((_request, response) => response.end('up')).listen(3000)
`
/** Less than `vhostel` gives what should not be open any more. */
const AT_ONCE_MS = 8_000

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

test('connections on which nothing was ever asked, as browsers open ahead, are not waited for', async (t) => {
  const [port = 0] = await freePorts(1)
  const pair = makePair(['app.test'])
  const box = makeBox(t, { app: { files: { 'app.mjs': APP }, more: 'certificate = ../cert.pem\nkey = ../key.pem' } })
  box.write('vhostel.ini', `[server]\nlisten = 127.0.0.1:0\nlisten_tls = 127.0.0.1:${port}\n`)
  box.write('cert.pem', pair.cert)
  box.write('key.pem', pair.key)
  await box.start()
  const silent = connect(box.port, '127.0.0.1')
  const begun = connect(box.port, '127.0.0.1', () => begun.write('GET / HTTP/1.1\r\nHos'))
  const unsecured = connect(port, '127.0.0.1')
  const secured = tlsConnect({ port, host: '127.0.0.1', servername: 'app.test', ca: pair.cert })
  await Promise.all([silent, begun, unsecured].map((socket) => once(socket, 'connect')))
  await once(secured, 'secureConnect')
  const sockets = [silent, begun, unsecured, secured]
  for (const socket of sockets) socket.on('error', () => {}).resume()
  // What was accepted before this answer is known to the server.
  await openEndless(box, 'app')

  const toldAt = performance.now()
  assert.equal(await box.stop(), 0)

  assert.ok(performance.now() - toldAt < SOON_MS, `after ${Math.round(performance.now() - toldAt)} ms`)
  await Promise.all(sockets.filter((socket) => !socket.closed).map((socket) => once(socket, 'close')))
})

test('versions that are being loaded, or wait to be, are not waited for, and are no fault of their sites', async (t) => {
  const names = ['a', 'b', 'c']
  const sites = Object.fromEntries(names.map((name) => [name, { files: { 'app.mjs': ENDLESS_LOAD } }]))
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1\nthreads = 2' })
  for (const name of names) {
    assert.equal((await box.ask(name)).text, 'up')
    box.write(`sites/${name}/again`, '')
  }
  // The first is under way for two of them, as many as there are threads; the others wait, for these and for one another.
  const reloads = [box.reload(), ...names.map((name) => box.reload(name))].map((one) => one.catch(() => {}))
  const loading = (): string[] => names.filter((name) => existsSync(`${box.dir}/sites/${name}/loading`))
  await box.waitFor('two loads', () => loading().length === 2)

  const toldAt = performance.now()
  assert.equal(await box.stop(), 0)

  assert.ok(performance.now() - toldAt < AT_ONCE_MS, `after ${Math.round(performance.now() - toldAt)} ms`)
  assert.doesNotMatch(box.output, /refused/)
  await Promise.all(reloads)
})
