/** The first message of real clients, whole, in parts, and damaged. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { offeredProtocols } from '../../src/dispatcher/client-hello.ts'

/** What OpenSSL sends first. */
async function hello(t: TestContext, ALPNProtocols: string[], servername = 'a.test'): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', ALPNProtocols, servername })
  client.on('error', () => {})
  const [socket] = await once(server, 'connection')
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  t.after(() => {
    client.destroy()
    socket.destroy()
    server.close()
  })
  return bytes
}

test('the protocols that a client offers, in its order', async (t) => {
  assert.deepEqual(offeredProtocols(await hello(t, ['acme-tls/1'])), ['acme-tls/1'])
  assert.deepEqual(offeredProtocols(await hello(t, ['h2', 'http/1.1'])), ['h2', 'http/1.1'])
  assert.deepEqual(offeredProtocols(await hello(t, [])), [])
})

test('a message in parts is waited for, and one with more behind it is read', async (t) => {
  const bytes = await hello(t, ['acme-tls/1'])

  for (let length = 0; length < bytes.length; length++) {
    assert.equal(offeredProtocols(bytes.subarray(0, length)), undefined, `${length} bytes`)
  }
  assert.deepEqual(offeredProtocols(Buffer.concat([bytes, bytes])), ['acme-tls/1'])
})

test('what is no ClientHello offers nothing, whatever its lengths say', async (t) => {
  const bytes = await hello(t, ['acme-tls/1'])

  assert.deepEqual(offeredProtocols(Buffer.from('GET / HTTP/1.1\r\n')), [])
  assert.deepEqual(offeredProtocols(Buffer.from([22, 3, 1, 0, 1, 2])), [])
  for (let at = 0; at < bytes.length; at++) {
    for (const value of [0, 1, 127, 255]) {
      const damaged = Buffer.from(bytes)
      damaged[at] = value
      const found = offeredProtocols(damaged)
      assert.ok(found === undefined || found.every((name) => typeof name === 'string'))
    }
  }
})
