/** Upstreams that answer a large body before they have read it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:net'
import { test } from 'node:test'
import type { Box } from '../helpers/box.ts'
import { DEADLINE_MS, startBox } from '../helpers/box.ts'

test('the answer of an upstream that closes before it has read the body reaches the client', async (t) => {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.pause()
      socket.write('HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\n\r\nbig', () => socket.destroy())
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const box = await startBox(t, {
    early: { ini: `[site]\ndomains = early.test\nupstream = http://127.0.0.1:${port}\n` },
  })

  const seen = new Set<string>()
  for (let count = 0; count < 10; count++) seen.add((await upload(box, 'early.test')).slice(0, 12))

  assert.deepEqual([...seen], ['HTTP/1.1 413'])
  assert.doesNotMatch(box.output, /upstream failed/)
})

/** Sends 8 MB, as fast as they are taken, until an answer comes. @returns its first bytes */
async function upload(box: Box, host: string): Promise<string> {
  const socket = connect(box.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.setTimeout(DEADLINE_MS, () => socket.destroy())
  const answer = once(socket, 'data') as Promise<[Buffer]>
  const part = Buffer.alloc(64 * 1024)
  socket.write(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${128 * part.byteLength}\r\n\r\n`)
  let left = 128
  const stop = (): void => {
    left = 0
  }
  answer.then(stop, stop)
  while (left-- > 0) if (!socket.write(part)) await Promise.race([once(socket, 'drain'), answer])
  const [bytes] = await answer
  socket.destroy()
  return bytes.toString('latin1')
}
