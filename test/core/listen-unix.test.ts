import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { listenUnix } from '../../src/core/listen-unix.ts'

/** At least as long as the pause between two looks. */
const LOOK_MS = 2_000

/** What the server says to who connects; '' where nobody listens. */
async function greeting(path: string): Promise<string> {
  const socket = connect(path)
  try {
    const [text] = await once(socket.setEncoding('utf8'), 'data')
    return String(text)
  } catch {
    return ''
  } finally {
    socket.destroy()
  }
}

test('a socket that was taken away with its folder is made again, with the permissions of both', {
  timeout: 20_000,
}, async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const above = mkdtempSync(join(tmpdir(), 'vh-'))
  const folder = join(above, 'run')
  const path = join(folder, 'a.sock')
  const server = createServer((socket) => socket.on('error', () => {}).end('hello'))
  let restored = 0
  t.after(() => {
    server.close()
    rmSync(above, { recursive: true, force: true })
  })
  await assert.rejects(listenUnix(server, path), /ENOENT|EACCES/)
  mkdirSync(folder)
  const onRestored = (): void => void restored++
  await listenUnix(server, path, { mode: 0o600, onRestored })
  assert.equal(await greeting(path), 'hello')
  chmodSync(path, 0o666)
  chmodSync(folder, 0o711)

  for (let round = 1; round <= 2; round++) {
    // They are looked at now and then: here what they are is noticed, and then that they are gone.
    t.mock.timers.tick(LOOK_MS)
    await turn()
    rmSync(folder, { recursive: true })
    t.mock.timers.tick(LOOK_MS)
    while (restored < round) await turn()
    await turn()

    assert.equal(await greeting(path), 'hello')
    assert.deepEqual([statSync(path).mode & 0o777, statSync(folder).mode & 0o777], [0o666, 0o711])
  }
  server.close()
  await once(server, 'close')
  while (existsSync(path)) await turn()
  assert.equal(await greeting(path), '')
})

/** Listens, has room for a connection or two that it has not taken, and takes none. */
const BUSY = `
const [, path] = process.argv
require('node:net').createServer().listen({ path, backlog: 1 }, () => {
  require('node:fs').writeSync(1, 'up')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})`

test('what is no socket, and the socket of a server that is too busy to answer, is left alone', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'vh-'))
  const server = createServer()
  t.after(() => {
    server.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const data = join(folder, 'data')
  writeFileSync(data, 'of somebody')
  await assert.rejects(listenUnix(server, data), { code: 'VHOSTEL_ADDRESS_IN_USE' })
  assert.equal(readFileSync(data, 'utf8'), 'of somebody')

  const path = join(folder, 'a.sock')
  const busy = spawn(process.execPath, ['-e', BUSY, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => busy.kill('SIGKILL'))
  await once(busy.stdout, 'data')
  const isFull = async (): Promise<boolean> => {
    const waiting = connect(path)
    // When the busy one ends, it is reset.
    waiting.on('error', () => {})
    t.after(() => waiting.destroy())
    return await once(waiting, 'connect').then(
      () => false,
      ({ code }) => code === 'EAGAIN',
    )
  }
  while (!(await isFull()));
  await assert.rejects(listenUnix(server, path), { code: 'VHOSTEL_ADDRESS_IN_USE' })
  assert.ok(existsSync(path))

  // Nobody answers on it any more.
  busy.kill('SIGKILL')
  await once(busy, 'exit')
  await listenUnix(server, path)
})
