import assert from 'node:assert/strict'
import { once } from 'node:events'
import { renameSync, truncateSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Answer, StaticServer } from '../helpers/static-server.ts'
import { ask, MEGABYTE, openFilesIn, parse, readAll, serve, until, writeSparse } from '../helpers/static-server.ts'

/** Asks for a file and reads nothing of the answer until the server has sent all that it can. */
async function askWithoutReading(
  served: StaticServer,
  target: string,
): Promise<{ socket: Socket; res: ServerResponse }> {
  served.last = undefined
  const socket = connect(served.port, '127.0.0.1').pause()
  socket.write(`GET ${target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`)
  const response = () => served.last?.res
  await until('the server waits for the client', () => response()?.writableNeedDrain === true)
  return { socket, res: response() as ServerResponse }
}

test('100 MB reach a client that waits, while little is kept in memory', async (t) => {
  const served = await serve(t, {})
  writeSparse(join(served.dir, 'root/big.bin'), 100 * MEGABYTE)

  const { socket, res } = await askWithoutReading(served, '/big.bin')
  const waiting = res.writableLength
  const before = process.memoryUsage().arrayBuffers
  let received = 0
  let peak = 0
  for await (const chunk of socket) {
    received += chunk.length
    peak = Math.max(peak, process.memoryUsage().arrayBuffers)
  }

  assert.ok(waiting < MEGABYTE, `${waiting} bytes were waiting`)
  assert.ok(received > 100 * MEGABYTE && received < 100 * MEGABYTE + 1000)
  // Chunks that were sent wait here for the collector, so this is far more than is ever in use.
  assert.ok(peak - before < 60 * MEGABYTE, `${peak - before} bytes at the peak`)
  await served.last?.done
  await until('the file is closed', () => openFilesIn(served.dir) === 0)
})

test('a client that goes away frees the file', async (t) => {
  const served = await serve(t, {})
  writeSparse(join(served.dir, 'root/big.bin'), 100 * MEGABYTE)
  const { socket } = await askWithoutReading(served, '/big.bin')
  assert.equal(openFilesIn(served.dir), 1)

  socket.destroy()

  await served.last?.done
  await until('the file is closed', () => openFilesIn(served.dir) === 0)
})

test('a client that goes away frees the files of all requests that it sent ahead', async (t) => {
  const served = await serve(t, {})
  writeSparse(join(served.dir, 'root/big.bin'), 100 * MEGABYTE)
  const socket = connect(served.port, '127.0.0.1').pause()
  socket.write('GET /big.bin HTTP/1.1\r\nHost: a.test\r\n\r\n'.repeat(3))
  await until('all three are being answered', () => openFilesIn(served.dir) === 3)

  socket.destroy()

  await until('all files are closed', () => openFilesIn(served.dir) === 0)
})

test('a response that is closed before the file is found leaves no file open', async (t) => {
  const served = await serve(t, { 'a.txt': 'a' }, [], (res) => res.destroy())
  writeSparse(join(served.dir, 'root/big.bin'), MEGABYTE)

  for (const target of ['/a.txt', '/big.bin', '/missing.txt']) {
    served.last = undefined
    const socket = connect(served.port, '127.0.0.1')
    socket.write(`GET ${target} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
    await readAll(socket)
    await (served as StaticServer).last?.done

    await until('the file is closed', () => openFilesIn(served.dir) === 0)
  }
})

test('a client that goes away before anything was looked up costs nothing', async (t) => {
  const served = await serve(t, { 'a.txt': 'a' })

  for (let i = 0; i < 50; i++) {
    const socket = connect(served.port, '127.0.0.1')
    socket.write('GET /a.txt HTTP/1.1\r\nHost: a.test\r\n\r\n', () => socket.resetAndDestroy())
    await once(socket, 'close')
  }

  assert.equal((await ask(served, '/a.txt')).status, 200)
  await until('all files are closed', () => openFilesIn(served.dir) === 0)
})

test('a file that is truncated while it is sent ends the connection', async (t) => {
  const served = await serve(t, {})
  const path = join(served.dir, 'root/big.bin')
  writeSparse(path, 100 * MEGABYTE)
  const { socket } = await askWithoutReading(served, '/big.bin')

  truncateSync(path, 1000)
  const received = await readAll(socket).catch(() => Buffer.alloc(0))

  assert.ok(received.length < 100 * MEGABYTE)
  await served.last?.done
  await until('the file is closed', () => openFilesIn(served.dir) === 0)
})

test('a file that is deleted or replaced while it is sent arrives as it was', async (t) => {
  const served = await serve(t, {})
  const path = join(served.dir, 'root/big.bin')
  writeSparse(path, 20 * MEGABYTE)
  const { socket } = await askWithoutReading(served, '/big.bin')

  writeFileSync(`${path}.new`, 'other')
  renameSync(`${path}.new`, path)
  const received = parse(await readAll(socket))

  assert.equal(received.body.length, 20 * MEGABYTE)
  assert.equal((await ask(served, '/big.bin')).body.toString(), 'other')
})

test('a file that is replaced again and again is always whole', async (t) => {
  const texts = ['a'.repeat(100), 'b'.repeat(70_000), 'c'.repeat(9)]
  const served = await serve(t, { 'a.txt': 'a'.repeat(100) })
  const path = join(served.dir, 'root/a.txt')
  let replacing = true
  const replacer = (async () => {
    for (let i = 0; replacing; i++) {
      writeFileSync(`${path}.new`, texts[i % texts.length] ?? '')
      renameSync(`${path}.new`, path)
      await delay(1)
    }
  })()

  const answers: Answer[] = []
  for (let i = 0; i < 200; i++) answers.push(await ask(served, '/a.txt'))
  replacing = false
  await replacer

  for (const answer of answers) {
    if (answer.status === 503) continue // replaced five times within one request
    assert.equal(answer.status, 200)
    assert.ok(texts.includes(answer.body.toString()))
  }
  assert.ok(answers.filter((answer) => answer.status === 200).length > 100)
})
