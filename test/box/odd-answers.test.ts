/**
 * Upstreams that answer oddly, or stop: what reaches the client all the same, and what the log says to who has to find out.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { DEADLINE_MS, startBox } from '../helpers/box.ts'

/** Calls `onRequest` for each read of a connection. @returns the site before it */
async function siteOf(
  t: TestContext,
  name: string,
  onRequest: (socket: Socket, count: number) => void,
  more = '',
): Promise<SiteFixture> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    let count = 0
    sockets.add(socket)
    socket.on('error', () => {}).on('data', () => onRequest(socket, count++))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const { port } = server.address() as AddressInfo
  return { ini: `[site]\ndomains = ${name}.test\nupstream = http://127.0.0.1:${port}\n${more}` }
}

/** Asks for an upgrade. @returns all that comes back */
async function upgrade(box: Box, site: string): Promise<string> {
  const socket = connect(box.port, '127.0.0.1')
  let text = ''
  socket
    .on('error', () => {})
    .on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
  socket.setTimeout(DEADLINE_MS, () => socket.destroy())
  socket.write(`GET / HTTP/1.1\r\nHost: ${site}.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
  await once(socket, 'close')
  return text
}

test('the answer to an upgrade that is refused arrives, as that to any other request', async (t) => {
  const long = 'a'.repeat(60_000)
  const answers = {
    large: `HTTP/1.1 401 No\r\nX-A: ${long}\r\nContent-Length: 2\r\n\r\nno`,
    none: 'HTTP/1.1 204 No Content\r\n\r\nhello',
    more: 'HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno, never',
  }
  const sites: Record<string, SiteFixture> = {}
  for (const [name, answer] of Object.entries(answers)) {
    sites[name] = await siteOf(t, name, (socket) => socket.write(answer, 'latin1'))
  }
  const box = await startBox(t, sites)

  const large = await upgrade(box, 'large')
  assert.ok(large.startsWith(`HTTP/1.1 401 No\r\nX-A: ${long}\r\n`), large.slice(0, 200))
  assert.match(await upgrade(box, 'none'), /^HTTP\/1\.1 204 No Content\r\n[\s\S]*\r\n\r\n$/)
  assert.match(await upgrade(box, 'more'), /^HTTP\/1\.1 403 No\r\n[\s\S]*\r\n\r\nno$/)
  const { sites: told } = await box.status()
  assert.deepEqual(
    told.map(({ state, problems, inFlight }) => [state, problems, inFlight]),
    told.map(() => ['live', [], 0]),
  )
})

test('the log says why an answer is none, and which setting ended one', async (t) => {
  const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
  const sites = {
    stops: await siteOf(
      t,
      'stops',
      (socket) => socket.write(ok.replace('Length: 2', 'Length: 9')),
      '[proxy]\nread_timeout = 100ms\n',
    ),
    stalls: await siteOf(
      t,
      'stalls',
      (socket) => socket.write(ok.replace('Length: 2', 'Length: 9')),
      '[proxy]\nread_timeout = 100ms\n',
    ),
    goeson: await siteOf(t, 'goeson', (socket) => socket.write(`HTTP/1.1 100 Continue\r\n\r\n${ok}`)),
    switches: await siteOf(t, 'switches', (socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\nhello')),
    forgets: await siteOf(t, 'forgets', (socket, count) => (count === 0 ? socket.write(ok) : socket.destroy())),
  }
  const box = await startBox(t, sites)
  const told = (line: RegExp): Promise<void> => box.waitFor(String(line), () => line.test(box.output))

  await assert.rejects(box.ask('stops'))
  await told(/"site":"stops",.* paused within its answer for longer than \[proxy\] read_timeout/)
  assert.match(await upgrade(box, 'stalls'), /\r\n\r\nok$/)
  await told(/"site":"stalls",.* paused within its answer for longer than \[proxy\] read_timeout/)

  assert.equal((await box.ask('goeson')).status, 502)
  await told(/site 'goeson': http:\/\/[\d.:]+ answered with 100 Continue, which nobody asked for/)
  assert.equal((await box.ask('switches')).status, 502)
  await told(/site 'switches': http:\/\/[\d.:]+ answered with 101 Switching Protocols, which nobody asked for/)

  assert.equal((await box.ask('forgets')).status, 200)
  assert.equal((await box.ask('forgets', '/', { method: 'POST', body: 'x' })).status, 502)
  await told(
    /site 'forgets': http:\/\/[\d.:]+ ended the connection .*; it was a kept one: .* make \[proxy\] keepalive shorter/,
  )
})
