/** What is known of the connection that carries a request to an upstream, with a real one. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ProxySettings } from '../../src/config/site-backend.ts'
import type { Carrier } from '../../src/dispatcher/proxy/carrier.ts'
import { carrierOfThis } from '../../src/dispatcher/proxy/carrier.ts'
import { Target } from '../../src/dispatcher/proxy/target.ts'

const SETTINGS = {
  connectTimeoutMs: 5_000,
  keepaliveMs: 60_000,
  connections: 4,
  hostHeader: 'visitor',
} as ProxySettings

interface Upstream {
  target: Target
  sockets: Set<Socket>
}

async function upstream(t: TestContext): Promise<Upstream> {
  const folder = mkdtempSync(join(tmpdir(), 'vh-'))
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
  }).listen(join(folder, 'up.sock'))
  await once(server, 'listening')
  const target = new Target({ kind: 'unix', path: join(folder, 'up.sock') }, SETTINGS)
  t.after(() => {
    target.destroy()
    server.close()
    for (const socket of sockets) socket.destroy()
    rmSync(folder, { recursive: true, force: true })
  })
  return { target, sockets }
}

interface Told {
  carrier: Omit<Carrier, 'socket'> | undefined
  error: NodeJS.ErrnoException | undefined
}

function known(carrier: Carrier | undefined): Told['carrier'] {
  return carrier && { wasKept: carrier.wasKept, tookNothing: carrier.tookNothing }
}

/**
 * Sends a POST, when the connection of the one before can be had.
 *
 * @param isApart over a connection of its own
 * @param before is called right before a kept connection is written to
 */
async function send(target: Target, isApart = false, before?: () => void): Promise<Told> {
  await nextTurn()
  // undici looks at a kept connection once more, and writes to it in the next phase of this kind.
  if (before !== undefined) setImmediate(before)
  const { promise, resolve } = Promise.withResolvers<Told>()
  let carrier: Carrier | undefined
  target[isApart ? 'dispatchApart' : 'dispatch'](
    { path: '/', method: 'POST', headers: ['Host', 'a.test'], body: Buffer.from('a=1') },
    {
      onRequestStart: () => {
        carrier = carrierOfThis()
      },
      onResponseStart: () => {},
      onResponseData: () => {},
      onResponseEnd: () => resolve({ carrier: known(carrier), error: undefined }),
      onResponseError: (_, error) => resolve({ carrier: known(carrier), error }),
    },
  )
  return promise
}

test('a kept connection that is closed before the write takes nothing, and a connection apart is a fresh one', async (t) => {
  const { target, sockets } = await upstream(t)
  assert.deepEqual(await send(target), { carrier: { wasKept: false, tookNothing: false }, error: undefined })
  assert.deepEqual(await send(target), { carrier: { wasKept: true, tookNothing: false }, error: undefined })
  const apart = await send(target, true)
  assert.deepEqual(apart, { carrier: { wasKept: false, tookNothing: false }, error: undefined })

  const { carrier, error } = await send(target, false, () => {
    for (const socket of sockets) socket.destroy()
  })
  assert.deepEqual([carrier, error?.code], [{ wasKept: true, tookNothing: true }, 'EPIPE'])
})

test('what was taken before the connection was ended is not said to be untouched', async (t) => {
  const { target, sockets } = await upstream(t)
  await send(target)
  for (const socket of sockets) socket.removeAllListeners('data').once('data', () => socket.destroy())
  const { carrier, error } = await send(target)
  assert.deepEqual([carrier, error?.message], [{ wasKept: true, tookNothing: false }, 'other side closed'])
})
