/** Upstreams behind TLS: whose certificates are accepted, what they are asked for, and what is said of those that are not. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { createServer as createPlainServer } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { WebSocket, WebSocketServer } from 'ws'
import type { KeyPair } from '../../src/core/key-pair.ts'
import type { Box } from '../helpers/box.ts'
import { makeBox } from '../helpers/box.ts'
import { makeOldPair, makePair } from '../helpers/certificates.ts'

interface SecureUpstream {
  port: number
  /** The name of each handshake that came about. */
  names: (string | false)[]
}

/** Says what it was asked, and echoes what a WebSocket sends. */
async function secureUpstream(t: TestContext, pair: KeyPair): Promise<SecureUpstream> {
  const told: RequestListener = (req, res) => {
    const { host, 'x-forwarded-host': asked } = req.headers
    res.end(JSON.stringify({ host, asked }))
  }
  const server = createServer(pair, told).listen(0, '127.0.0.1')
  new WebSocketServer({ server }).on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const names: (string | false)[] = []
  server.on('secureConnection', (socket: TLSSocket) => names.push(socket.servername ?? false))
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, names }
}

async function plainPort(t: TestContext): Promise<number> {
  const server = createPlainServer((_, res) => res.end('plain')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

function site(name: string, upstream: string, ...proxy: string[]): { ini: string } {
  return {
    ini: `[site]\ndomains = ${name}.test, *.${name}.test\nupstream = ${upstream}\n[proxy]\n${proxy.join('\n')}\n`,
  }
}

async function refused(box: Box, name: string, line: RegExp): Promise<void> {
  assert.equal((await box.ask(name)).status, 502, name)
  await box.waitFor(String(line), () => line.test(box.output))
}

test('an upstream with https:// is asked over TLS, for the name that the settings say, and verified', async (t) => {
  const pair = makePair(['localhost'])
  const named = await secureUpstream(t, pair)
  const numbered = await secureUpstream(t, makePair(['127.0.0.1']))
  const strange = makePair(['localhost'])
  const stranger = await secureUpstream(t, strange)
  const past = makeOldPair(['localhost'])
  const old = await secureUpstream(t, past)
  const byName = `https://localhost:${named.port}`
  const byNumber = `https://127.0.0.1:${named.port}`
  const box = makeBox(t, {
    trusted: site('trusted', byName),
    other: site('other', byName, 'host_header = upstream'),
    renamed: site('renamed', byNumber, 'tls_name = localhost'),
    number: site('number', `https://127.0.0.1:${numbered.port}`, 'tls_verify = no'),
    wrong: site('wrong', byNumber),
    unknown: site('unknown', `https://localhost:${stranger.port}`),
    old: site('old', `https://localhost:${old.port}`, 'tls_ca = ../old.pem'),
    plain: site('plain', `https://localhost:${await plainPort(t)}`),
    spare: site('spare', `https://localhost:${stranger.port}, ${byName}`),
  })
  // What it trusts in the place of the machine's own.
  box.write('system.pem', pair.cert)
  box.write('old.pem', past.cert)
  await box.start({ SSL_CERT_FILE: join(box.dir, 'system.pem'), SSL_CERT_DIR: join(box.dir, 'sites-available') })

  await t.test(
    'the CAs of the system count, connections are kept, and a visitor says nothing of the name',
    async () => {
      for (const host of ['trusted.test', 'a.trusted.test', 'b.trusted.test:80']) {
        assert.deepEqual(JSON.parse((await box.ask(host, '/', { headers: { host } })).text), { host, asked: host })
      }
      assert.deepEqual(named.names, ['localhost'])
    },
  )

  await t.test('the upstream can have a Host of its own, and a name that is not its address', async () => {
    const { host, asked } = JSON.parse((await box.ask('other')).text)
    assert.deepEqual([host, asked], [`localhost:${named.port}`, 'other.test'])
    named.names.length = 0
    assert.equal((await box.ask('renamed')).status, 200)
    assert.deepEqual(named.names, ['localhost'])
    assert.equal((await box.ask('number')).status, 200)
    assert.deepEqual(numbered.names, [false])
  })

  await t.test(
    'what is not accepted is 502, and a line says why and what to do; another upstream takes over',
    async () => {
      await refused(
        box,
        'unknown',
        /site 'unknown': https:\/\/localhost:\d+ shows a certificate that no trusted CA has signed/,
      )
      await refused(
        box,
        'wrong',
        /for another host: 127\.0\.0\.1 is not in it, but DNS:localhost; [^"]*\[proxy\] tls_name/,
      )
      await refused(box, 'plain', /site 'plain': [^"]* does not speak TLS there: write http:\/\/ in upstream/)
      assert.equal((await box.ask('spare')).status, 200)
      assert.match((await box.site('unknown'))?.problems.join() ?? '', /name its CA in \[proxy\] tls_ca/)
    },
  )

  await t.test('WebSockets go over it too, or are refused', async () => {
    const open = (host: string): WebSocket => new WebSocket(`ws://127.0.0.1:${box.port}/`, { headers: { host } })
    const ws = open('trusted.test')
    await once(ws, 'open')
    ws.send('through')
    const [echo] = (await once(ws, 'message')) as [Buffer]
    assert.equal(echo.toString(), 'through')
    ws.close()
    const [error] = (await once(open('wrong.test'), 'error')) as [Error]
    assert.equal(error.message, 'Unexpected server response: 502')
  })

  await t.test('a file with other CAs is taken over when it changes', async () => {
    await refused(box, 'old', /site 'old': [^"]* has run out \(CERT_HAS_EXPIRED\): renew it there/)
    box.write('sites-available/old.ini', site('old', `https://localhost:${stranger.port}`, 'tls_ca = ../own.pem').ini)
    box.write('own.pem', makePair(['127.0.0.1']).cert)
    await box.reload()
    assert.equal((await box.ask('old')).status, 502)
    box.write('own.pem', strange.cert)
    await box.reload()
    assert.equal((await box.ask('old')).status, 200)
  })
})
