/** How the server has V8 run it: what short-lived things may take, whatever the memory of the machine, and what compiles. */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeBox, startBox } from '../helpers/box.ts'

const LIMIT = '--max-semi-space-size=8'
const COMMAND = join(import.meta.dirname, '../../bin/vhostel.js')
/** The largest young generation that its thread may have, in MB. */
const TELLS = `import { resourceLimits } from 'node:worker_threads'
export default () => new Response(String(resourceLimits.maxYoungGenerationSizeMb))`
const SITES = { app: { files: { 'app.mjs': TELLS } } }

function argumentsOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
}

test('the server puts itself in its own place with a limit, and threads have one too', async (t) => {
  const box = await startBox(t, SITES)

  assert.equal((await box.status()).pid, box.pid)
  assert.equal(argumentsOf(box.pid)[1], LIMIT)
  assert.equal((await box.ask('app')).text, '48')
  assert.equal(await box.stop(), 0)
})

test('who sets another limit has that one', async (t) => {
  const box = await startBox(t, SITES, { env: { NODE_OPTIONS: '--max_semi_space_size=32' } })

  assert.ok(!argumentsOf(box.pid).includes(LIMIT))
  assert.equal((await box.ask('app')).status, 200)
})

test('a program that has a channel to the server keeps it', async (t) => {
  const box = makeBox(t, SITES)
  const server = fork(COMMAND, ['serve', '--config', join(box.dir, 'vhostel.ini')], { stdio: 'ignore', execArgv: [] })
  t.after(() => server.kill('SIGKILL'))
  await box.waitFor('the server', async () => (await box.status().catch(() => undefined)) !== undefined)

  assert.equal(server.connected, true)
  assert.ok(!argumentsOf(server.pid as number).includes(LIMIT))
  server.kill()
  assert.deepEqual(await once(server, 'exit'), [0, null])
})

test('nothing of the server is compiled by Maglev, and its busy functions by TurboFan', async (t) => {
  // Prints every function that is compiled, and runs the command that comes behind it.
  const under = ['sh', '-c', 'node=$1; shift; exec "$node" --trace-opt "$@"', 'sh']
  const box = await startBox(t, SITES, { under })
  // What Node itself did before it came to the server's own code.
  const before = box.output.length

  await box.waitFor('TurboFan', async () => {
    await Promise.all(Array.from({ length: 50 }, () => box.ask('app')))
    return box.output.includes('target TURBOFAN', before)
  })
  assert.doesNotMatch(box.output.slice(before), /MAGLEV/)
})
