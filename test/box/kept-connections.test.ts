/**
 * Connections to upstreams that are kept for the next request, and that the upstream ends just then: no visitor hears of it,
 * as long as it is certain, or safe, that the request is sent again.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo, Socket } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { SiteFixture } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

/** What an upstream does with the second request of a connection. */
const ENDS: Readonly<Record<string, (socket: Socket) => void>> = {
  reset: (socket) => (socket.remoteAddress === undefined ? socket.destroy() : socket.resetAndDestroy()),
  end: (socket) => socket.end(),
}

/** How many connections it has when it answers the first requests. */
const KEPT = 6

interface Upstream {
  url: string
  /** What it was asked for, without what it ended the connection for. */
  answered: string[]
}

/** Keeps its connections open, as it says, and ends each with the second request. */
async function fickleUpstream(t: TestContext, end: (socket: Socket) => void, path?: string): Promise<Upstream> {
  const sockets = new Map<Socket, number>()
  const answered: string[] = []
  const waiting: (() => void)[] = []
  const server = createServer((socket) => {
    sockets.set(socket, 0)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    socket.on('data', (chunk: Buffer) => {
      const count = (sockets.get(socket) ?? 0) + 1
      sockets.set(socket, count)
      if (count > 1) return end(socket)
      const line = chunk.toString('latin1').split(' HTTP', 1)[0] ?? ''
      answered.push(line)
      const answer = (): void => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      if (line.endsWith('/together')) waiting.push(answer)
      else answer()
      if (waiting.length === KEPT) for (const each of waiting.splice(0)) each()
    })
  })
  server.listen(path ?? { port: 0, host: '127.0.0.1' })
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets.keys()) socket.destroy()
  })
  const url = path === undefined ? `http://127.0.0.1:${(server.address() as AddressInfo).port}` : `unix:${path}`
  return { url, answered }
}

for (const [how, end] of Object.entries(ENDS)) {
  test(`a GET gets its answer though many kept connections are ended with it (${how})`, async (t) => {
    const box = await startBox(t, {})
    const upstreams = {
      tcp: await fickleUpstream(t, end),
      unix: await fickleUpstream(t, end, join(box.dir, 'up.sock')),
    }
    for (const [name, { url }] of Object.entries(upstreams))
      box.addSite(name, { ini: `[site]\ndomains = ${name}.test\nupstream = ${url}\n` })
    await box.reload()
    for (const [name, upstream] of Object.entries(upstreams)) {
      await Promise.all(Array.from({ length: KEPT }, () => box.ask(name, '/together')))
      // It may have worked on this one.
      assert.equal((await box.ask(name, '/form', { method: 'POST', body: 'a=1' })).status, 502, name)
      const replies = await Promise.all(
        ['GET', 'HEAD', 'GET', 'OPTIONS'].map((method) => box.ask(name, '/', { method })),
      )
      assert.deepEqual(
        replies.map(({ status }) => status),
        [200, 200, 200, 200],
        name,
      )
      assert.ok(!upstream.answered.includes('POST /form'))
      assert.deepEqual((await box.site(name))?.problems, [])
    }
    // That of the forms.
    assert.equal(box.output.match(/upstream failed/g)?.length, 2, box.output)
  })
}

/** Ends a kept connection with the second request, and itself where it is told to. Notes what it was asked for. */
const PROGRAM = `const { createServer } = require('node:net')
const { appendFileSync } = require('node:fs')
createServer((socket) => {
  let count = 0
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    const [, path] = String(chunk).split(' ')
    appendFileSync('asked', path + '\\n')
    if (path === '/crash') process.exit(7)
    if (++count > 1) return socket.end()
    socket.write('HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')
  })
}).listen(process.env.SOCKET ?? Number(process.env.PORT))
`

test('a program that closes a kept connection is asked again, and one that a request ends is not', async (t) => {
  const site = (place: string): SiteFixture => ({
    files: { 'app.cjs': PROGRAM },
    ini: `[site]\ndomains = NAME.test\nroot = ../sites/NAME\ncommand = ${process.execPath} app.cjs ${place}\n`,
  })
  const sites = { socket: site('$SOCKET'), port: site('$PORT') }
  for (const [name, one] of Object.entries(sites)) one.ini = one.ini?.replaceAll('NAME', name) ?? ''
  const box = await startBox(t, sites)
  for (const name of Object.keys(sites)) {
    // Every second one comes over a kept connection, and the last as well.
    for (const path of ['/1', '/2', '/3', '/4', '/5']) assert.equal((await box.ask(name, path)).text, 'ok', name)
    assert.equal((await box.ask(name, '/crash')).status, 502, name)
    const asked = readFileSync(join(box.dir, `sites/${name}/asked`), 'utf8')
      .trim()
      .split('\n')
    assert.deepEqual(asked, ['/1', '/2', '/2', '/3', '/4', '/4', '/5', '/crash'], name)
  }
  // What ended with its program was not idle.
  await box.waitFor('both to be told', () => box.output.match(/"url":"\/crash"/g)?.length === 2)
  assert.doesNotMatch(box.output, /make \[proxy\] keepalive shorter/)
})
