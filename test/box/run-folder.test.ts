/** The run folder of a server that runs, taken away: by what cleans /tmp, by `rsync --delete`, by `git clean`. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startBox } from '../helpers/box.ts'

const PROGRAM = `require('node:http').createServer((req, res) => res.end('program')).listen(process.env.SOCKET)`

test('a server whose run folder is taken away makes it again, and goes on', async (t) => {
  const box = await startBox(
    t,
    {
      module: { files: { 'app.mjs': "export default () => new Response('module')" } },
      program: {
        files: { 'run.cjs': PROGRAM },
        ini: '[site]\ndomains = program.test\nroot = ../sites/program\ncommand = env PLACE=$SOCKET node run.cjs\n',
      },
    },
    { config: '[pool]\nprocesses = 1\nthreads = 1' },
  )
  assert.equal((await box.ask('module')).text, 'module')
  assert.equal((await box.ask('program')).text, 'program')
  const { pid } = (await box.status()).pool.groups[0]?.processes[0] ?? {}

  rmSync(join(box.dir, 'run'), { recursive: true })

  await box.waitFor('the admin socket', async () => (await box.status().catch(() => undefined)) !== undefined)
  await box.waitFor('the log to say so', () => box.output.includes('sockets in the run folder were taken away'))
  // A process that starts now needs the pool's socket.
  process.kill(pid ?? 0, 'SIGKILL')
  assert.equal((await box.ask('module')).text, 'module')
  await box.waitFor('another program', async () => (await box.ask('program')).text === 'program')
  assert.equal(await box.stop(), 0)
})
