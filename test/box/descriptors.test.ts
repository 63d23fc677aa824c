/** A server whose clients take all file descriptors that it gives them. */
import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { test } from 'node:test'
import { startBox } from '../helpers/box.ts'

const LIMIT = 256
const PROGRAM = `require('node:http').createServer((req, res) => res.end('program')).listen(process.env.PORT)`

test('clients cannot take the descriptors that the server needs itself, and the log says that some were turned away', async (t) => {
  const under = ['sh', '-c', `ulimit -n ${LIMIT}; exec "$@"`, 'sh']
  const sites = {
    files: { files: { 'index.html': 'a file' } },
    module: { files: { 'app.mjs': "export default () => new Response('module')" } },
    program: {
      files: { 'run.cjs': PROGRAM },
      ini: '[site]\ndomains = program.test\nroot = ../sites/program\ncommand = node run.cjs\n',
    },
  }
  Object.assign(sites.files, { ini: '[site]\ndomains = files.test\nroot = ../sites/files\n' })
  const box = await startBox(t, sites, { under, config: '[pool]\nprocesses = 1\nthreads = 1' })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  assert.equal((await box.ask('files', '/', { agent })).text, 'a file')

  const crowd: Socket[] = []
  let closed = 0
  t.after(() => {
    agent.destroy()
    for (const socket of crowd) socket.destroy()
  })
  for (let count = 0; count < LIMIT; count++) {
    const socket = connect(box.port, '127.0.0.1')
    crowd.push(
      socket
        .on('error', () => {})
        .on('close', () => {
          closed++
        }),
    )
  }
  await box.waitFor('the last of them to be turned away', () => closed > 0 && box.output.includes('are not taken'))

  // The server still opens files, starts programs and processes, and answers its administrator.
  assert.equal((await box.ask('files', '/', { agent })).text, 'a file')
  assert.equal((await box.ask('program', '/', { agent })).text, 'program')
  const { pid } = (await box.status()).pool.groups[0]?.processes[0] ?? {}
  process.kill(pid ?? 0, 'SIGKILL')
  assert.equal((await box.ask('module', '/', { agent })).text, 'module')
  assert.match(box.output, /connections are not taken: too few file descriptors are left; raise LimitNOFILE/)

  for (const socket of crowd) socket.destroy()
  await box.waitFor(
    'new clients to be let in',
    async () => (await box.ask('module').catch(() => undefined)) !== undefined,
  )
  assert.equal(await box.stop(), 0)
})

test('a limit that leaves room for hardly anybody is said at the start', async (t) => {
  const under = ['sh', '-c', 'ulimit -n 64; exec "$@"', 'sh']
  const box = await startBox(t, {}, { under, config: '[pool]\nprocesses = 1\nthreads = 1' })

  const [, limit, connections] =
    /"limit":(\d+),"connections":(\d+),"msg":"few connections can be taken/.exec(box.output) ?? []

  assert.equal(limit, '64')
  assert.ok(Number(connections) < 32, connections)
})

test('an address with too many connections is in the log', async (t) => {
  const box = await startBox(
    t,
    { module: { files: { 'app.mjs': "export default () => new Response('module')" } } },
    { server: 'max_connections_per_address = 2' },
  )
  const crowd = Array.from({ length: 5 }, () => connect(box.port, '127.0.0.1').on('error', () => {}))

  await box.waitFor('the log to say it', () =>
    box.output.includes('connections of an address are not taken: it has as many as it may'),
  )
  for (const socket of crowd) socket.destroy()
  // One line for the first; the others are counted.
  assert.equal(box.output.split('are not taken').length, 2)
})
