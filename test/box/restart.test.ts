/** A restart while somebody else holds the listening sockets, as a .socket unit of systemd does; and what systemd is told. */

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort } from '../../bench/free-port.ts'
import type { Box } from '../helpers/box.ts'
import { makeBox, send, startBox } from '../helpers/box.ts'
import { makeFolder } from '../helpers/folder.ts'

const HOLDER = join(import.meta.dirname, '../fixtures/socket-holder.py')
const HELLO = { files: { 'app.mjs': "export default () => new Response('hello')" } }
const VISITORS = 8

async function restart(box: Box): Promise<void> {
  const { pid } = await box.status()
  process.kill(box.pid, 'SIGUSR2')
  await box.waitFor('another server', async () => {
    const status = await box.status().catch(() => undefined)
    return status !== undefined && status.pid !== pid
  })
}

test('clients that come while the server is restarted wait for it', async (t) => {
  const port = await freePort()
  const under = ['python3', HOLDER, String(port)]
  const box = await startBox(t, { one: HELLO }, { under, listen: `127.0.0.1:${port}` })
  const visits = { done: 0, isOver: false }
  const visitor = async (): Promise<void> => {
    while (!visits.isOver) {
      // Each on a connection of its own.
      assert.equal((await box.ask('one')).text, 'hello')
      visits.done++
    }
  }
  const visitors = Promise.all(Array.from({ length: VISITORS }, visitor))

  for (let round = 0; round < 3; round++) {
    await restart(box)
    const { done } = visits
    await box.waitFor('visits', () => visits.done > done + VISITORS)
  }
  visits.isOver = true

  await visitors
  assert.equal(await box.stop(), 0)
})

test('a unix socket is taken over as well, and one that no listen names is said', async (t) => {
  const socketPath = join(makeFolder(t), 'web.sock')
  const other = await freePort()
  const under = ['python3', HOLDER, `${socketPath},${other}`]
  const box = await startBox(t, { one: HELLO }, { under, listen: `127.0.0.1:0, unix:${socketPath}` })

  const reply = await send({ socketPath, path: '/', headers: { host: 'one.test' }, agent: false })

  assert.equal(reply.text, 'hello')
  assert.match(box.output, new RegExp(`127\\.0\\.0\\.1:${other}.*a socket was handed over that no listen names`))
  await restart(box)
  assert.equal((await send({ socketPath, path: '/', headers: { host: 'one.test' }, agent: false })).text, 'hello')
})

test('variables that speak of the sockets, and of systemd, stay with the server', async (t) => {
  const port = await freePort()
  const app = `import { execFileSync } from 'node:child_process'
    export default () => new Response(execFileSync('env').toString())`
  const under = ['python3', HOLDER, String(port)]
  const env = { NOTIFY_SOCKET: '/nonexistent/notify' }
  const box = await startBox(t, { one: { files: { 'app.mjs': app } } }, { under, listen: `127.0.0.1:${port}`, env })

  assert.doesNotMatch((await box.ask('one')).text, /^(LISTEN_|NOTIFY_)/m)
  await box.waitFor('the log to say so', () => box.output.includes('telling systemd failed'))
})

test('systemd is told when the server serves, and when it ends', async (t) => {
  const path = join(makeFolder(t), 'notify')
  const messages: string[] = []
  const receiver = spawn('python3', ['-uc', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => receiver.kill())
  receiver.stdout.setEncoding('utf8').on('data', (text: string) => messages.push(...text.trim().split('\n')))
  await once(receiver.stdout, 'data')

  const box = makeBox(t, { one: HELLO }, {})
  await box.start({ NOTIFY_SOCKET: path })
  await box.waitFor('READY=1', () => messages.includes('READY=1'))
  assert.equal(await box.stop(), 0)
  await box.waitFor('STOPPING=1', () => messages.includes('STOPPING=1'))
  assert.deepEqual(
    messages.filter((message) => /^(READY|STOPPING)/.test(message)),
    ['READY=1', 'STOPPING=1'],
  )
})

/** Prints each message; answers the barrier that systemd-notify sends behind it by closing what that carries. */
const RECEIVER = `
import os, socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
print('bound')
while True:
    data, fds, _, _ = socket.recv_fds(receiver, 4096, 4)
    for fd in fds: os.close(fd)
    print(data.decode())
`

// Said once, before the others fail for it.
test('systemd-notify is there (apt-get install systemd)', () => {
  assert.match(execFileSync('systemd-notify', ['--version']).toString(), /^systemd \d+/)
})
