/** Heads that do not come in time, over real sockets. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { connect as connectSecurely } from 'node:tls'
import { frontSettings } from '../../src/config/server-front.ts'
import { serverSchema } from '../../src/config/server-schema.ts'
import { Guard } from '../../src/dispatcher/guard.ts'
import { makePair } from '../helpers/certificates.ts'
import { startFront } from '../helpers/tls-front.ts'

const DEADLINE_MS = 20_000
const NOBODY = { told: () => {}, turnedAway: () => {}, pages: undefined }

/** The private fields in which Node keeps a list of connections, and when it looks at them. */
function listsOf(server: Server): symbol[] {
  return Object.getOwnPropertySymbols(server).filter(({ description = '' }) => /connections/i.test(description))
}

for (const [name, create] of [
  ['http', () => createServer()],
  ['https', () => createSecureServer(makePair(['one.test']))],
] as const) {
  test(`Node keeps no list of the connections of a guarded ${name} server`, async (t) => {
    const guard = new Guard(frontSettings(serverSchema.parse({}).server), NOBODY)
    const [server, other]: [Server, Server] = [create(), create()]
    guard.watch(server, name === 'https')
    for (const one of [server, other]) await once(one.listen(0, '127.0.0.1'), 'listening')
    t.after(() => {
      guard.close()
      for (const one of [server, other]) one.close()
    })

    assert.deepEqual(listsOf(server), [])
    assert.ok(listsOf(other).length > 0, 'the fields of those that are not guarded are still called so')
  })
}

/** All that comes until the end, while a letter of `head` is sent now and then. */
async function trickle(t: TestContext, socket: Socket, head: string): Promise<string> {
  let sent = 0
  const timer = setInterval(() => socket.writable && socket.write(head.charAt(sent++) || 'x'), 50)
  t.after(() => {
    clearInterval(timer)
    socket.destroy()
  })
  socket.setTimeout(DEADLINE_MS, () => socket.destroy(new Error('nothing came')))
  socket.on('error', () => {})
  socket.setEncoding('latin1')
  let text = ''
  for await (const part of socket) text += part
  return text
}

const SITE = { domains: 'one.test', certificate: makePair(['one.test']) }
const HEAD = 'GET / HTTP/1.1\r\nHost: one.test\r\nX-Long: '

test('a head that comes letter by letter gets 408, the first one and a later one, in clear text and over TLS', async (t) => {
  const { port, securePort } = await startFront(t, { one: SITE }, undefined, { settings: { headerTimeoutMs: 400 } })
  const open: Record<string, () => Socket> = {
    clear: () => connect(port, '127.0.0.1'),
    secure: () => connectSecurely({ port: securePort, servername: 'one.test', rejectUnauthorized: false }),
  }
  await Promise.all(
    Object.entries(open).flatMap(([name, connection]) => [
      trickle(t, connection(), HEAD).then((text) => {
        assert.match(text, /^HTTP\/1\.1 408 /, name)
      }),
      (async () => {
        const socket = connection()
        socket.write('GET / HTTP/1.1\r\nHost: one.test\r\n\r\n')
        const [first] = (await once(socket, 'data')) as [Buffer]
        assert.match(String(first), /^HTTP\/1\.1 200 /, name)
        assert.match(await trickle(t, socket, HEAD), /^HTTP\/1\.1 408 /, name)
      })(),
    ]),
  )
})

test('who asks for something now and then is never late', async (t) => {
  const { port } = await startFront(t, { one: SITE }, undefined, { settings: { headerTimeoutMs: 200 } })
  const socket = connect(port, '127.0.0.1')
  socket.setEncoding('latin1')
  t.after(() => socket.destroy())
  const until = performance.now() + 2000
  let answers = 0
  while (performance.now() < until) {
    socket.write('GET / HTTP/1.1\r\nHost: one.test\r\n\r\n')
    const [text] = (await once(socket, 'data')) as [string]
    assert.match(text, /^HTTP\/1\.1 200 /)
    answers++
    // At rest for longer than a head may take.
    if (answers % 50 === 0) await new Promise((rested) => setTimeout(rested, 600))
  }
  assert.ok(answers > 50)
})
