/** Worker processes that cannot be started, for reasons that are no site's: what they need has gone. */
import assert from 'node:assert/strict'
import { mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Box } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

const HELLO = { files: { 'app.mjs': "export default () => new Response('hello')" } }

/** The pauses between starts grow up to some seconds. */
const LATEST_MS = 60_000

async function killWorkers(box: Box): Promise<void> {
  const { pool } = await box.status()
  for (const { processes } of pool.groups) for (const { pid } of processes) process.kill(pid ?? 0, 'SIGKILL')
}

test('processes are started again though the file of the Node that runs was taken away', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'vh-node-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  // The server's own copy of Node.
  const under = ['sh', '-c', 'cp "$1" "$0/node" && shift && exec "$0/node" "$@"', folder]
  const box = await startBox(t, { hello: HELLO }, { under, config: '[pool]\nprocesses = 1\nthreads = 1' })
  assert.equal((await box.ask('hello')).text, 'hello')

  rmSync(join(folder, 'node'))
  await killWorkers(box)
  await box.waitFor('the loss to be noticed', () => box.output.includes('worker process ended'))

  assert.equal((await box.ask('hello')).text, 'hello')
  assert.doesNotMatch(box.output, /could not be started/)
})

test('a site whose folder is away when its process is started is not held for it, and is back when the folder is', async (t) => {
  const box = await startBox(t, { own: { ...HELLO, more: 'isolation = process' } })
  assert.equal((await box.ask('own')).text, 'hello')
  const folder = join(box.dir, 'sites/own')

  renameSync(folder, `${folder}.away`)
  await killWorkers(box)
  await box.waitFor('a start to fail', () => /could not be started: \S+\/sites\/own is not there/.test(box.output))
  assert.deepEqual((await box.site('own'))?.residency?.offences, [])
  renameSync(`${folder}.away`, folder)

  await box.waitFor('the site', async () => (await box.ask('own')).status === 200, LATEST_MS)
  assert.deepEqual((await box.site('own'))?.residency?.offences, [])
})
