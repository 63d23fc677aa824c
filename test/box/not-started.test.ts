/** Worker processes that cannot be started, for reasons that are no site's: what they need has gone. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { hashSync } from '@node-rs/bcrypt'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

const HELLO = { files: { 'app.mjs': "export default () => new Response('hello')" } }

const REPOSITORY = resolve(import.meta.dirname, '../..')
/** Starts the server from a copy of the program, in the folder that `$0` is. */
const FROM_COPY = `cp -r ${REPOSITORY}/src ${REPOSITORY}/bin ${REPOSITORY}/package.json "$0" &&
  ln -s ${REPOSITORY}/node_modules "$0" && node=$1 && shift 4 && exec "$node" "$0/bin/vhostel.js" "$@"`

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

/** @returns the server, and the folder with its program */
async function startFromCopy(t: TestContext, sites: Record<string, SiteFixture>): Promise<[Box, string]> {
  const folder = mkdtempSync(join(tmpdir(), 'vh-program-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const under = ['sh', '-c', FROM_COPY, folder]
  return [await startBox(t, sites, { under, config: '[pool]\nprocesses = 1\nthreads = 1' }), folder]
}

test('while the program is taken away its absence is told in a sentence, no site is blamed, and all is well once it is back', async (t) => {
  const [box, folder] = await startFromCopy(t, { hello: HELLO, own: { ...HELLO, more: 'isolation = process' } })
  assert.equal((await box.ask('hello')).text, 'hello')
  assert.equal((await box.ask('own')).text, 'hello')

  renameSync(join(folder, 'src'), join(folder, 'away'))
  await killWorkers(box)
  const absence =
    /could not be started: \S+\/supervisor\.ts is not there; is another version of vhostel being installed\?/g
  await box.waitFor('three starts to fail', () => (box.output.match(absence)?.length ?? 0) >= 3)
  assert.doesNotMatch(box.output, /Cannot find module/)
  assert.deepEqual((await box.site('own'))?.residency?.offences, [])
  renameSync(join(folder, 'away'), join(folder, 'src'))

  for (const site of ['hello', 'own'])
    await box.waitFor(site, async () => (await box.ask(site)).status === 200, LATEST_MS)
})

test('passwords are checked though the packages of the server were taken away since it started', async (t) => {
  const more = '[door]\nauth = ../htpasswd'
  const files = { 'index.html': 'a page', '../../htpasswd': `ann:${hashSync('secret', { cost: 4 })}\n` }
  const ini = `[site]\ndomains = files.test\nroot = ../sites/files\n${more}\n`
  const [box, folder] = await startFromCopy(t, { files: { files, ini } })
  const headers = { authorization: `Basic ${Buffer.from('ann:secret').toString('base64')}` }

  renameSync(join(folder, 'node_modules'), join(folder, 'away'))
  const right = await box.ask('files', '/', { headers })
  const wrong = await box.ask('files', '/', { headers: { authorization: `Basic ${btoa('ann:guess')}` } })

  assert.deepEqual([right.status, right.text, wrong.status], [200, 'a page', 401])
})

test('a process that ends before any code of a site could run in it is held against none', async (t) => {
  const [box, folder] = await startFromCopy(t, { own: { ...HELLO, more: 'isolation = process' } })
  const entry = join(folder, 'src/worker/supervisor.ts')
  const program = readFileSync(entry)
  assert.equal((await box.ask('own')).text, 'hello')

  writeFileSync(entry, 'process.abort()')
  await killWorkers(box)
  await box.waitFor('three starts to fail', () => (box.output.match(/"why":"SIGABRT"/g)?.length ?? 0) >= 3)
  const { residency } = (await box.site('own')) ?? {}
  writeFileSync(entry, program)

  assert.deepEqual([residency?.offences, residency?.quarantinedSince], [[], undefined])
  await box.waitFor('the site', async () => (await box.ask('own')).status === 200, LATEST_MS)
})

test('threads that cannot be started are tried more and more slowly', async (t) => {
  const [box, folder] = await startFromCopy(t, { hello: HELLO })
  const entry = join(folder, 'src/worker/thread.ts')
  const failures = (): number[] =>
    [...box.output.matchAll(/"time":"([^"]+)"[^\n]*"why":"Error: Cannot find module[^\n]*"thread ended"/g)].map(
      ([, time = '']) => Date.parse(time),
    )

  renameSync(entry, `${entry}.away`)
  await killWorkers(box)
  await box.waitFor('seven starts to fail', () => failures().length >= 7)
  const [first = 0, ...rest] = failures()
  renameSync(`${entry}.away`, entry)

  // 0, 0.1, 0.2, 0.4, 0.8 and 1.6 s.
  assert.ok((rest[5] ?? 0) - first >= 3_000, `${rest.map((time) => time - first)}`)
  await box.waitFor('the site', async () => (await box.ask('hello')).status === 200, LATEST_MS)
})

test('an edit for which no thread could be started is in force once there are some again', async (t) => {
  const told = {
    files: { 'app.mjs': 'export default () => new Response(process.env.TOLD)' },
    more: '[env]\nTOLD = first',
  }
  const [box, folder] = await startFromCopy(t, { told })
  const entry = join(folder, 'src/worker/thread.ts')
  const ini = readFileSync(join(box.dir, 'sites-available/told.ini'), 'utf8')
  assert.equal((await box.ask('told')).text, 'first')

  renameSync(entry, `${entry}.away`)
  box.write('sites-available/told.ini', ini.replace('first', 'second'))
  await box.waitFor('it to be given up', () => /"site":"told",.*no thread is there to load it/.test(box.output))
  assert.deepEqual([(await box.ask('told')).text, (await box.site('told'))?.state], ['first', 'previous'])
  renameSync(`${entry}.away`, entry)

  await box.waitFor('the edit', async () => (await box.ask('told')).text === 'second', LATEST_MS)
  assert.equal((await box.site('told'))?.state, 'live')
})

test('threads of another version than the server, in a process of the same, are spoken of once', async (t) => {
  const [box, folder] = await startFromCopy(t, { hello: HELLO })
  const spoken = /"version":"99\.0\.0","server":"[^"]+","msg":"another version of vhostel was installed/g
  assert.equal((await box.ask('hello')).text, 'hello')

  const manifest = join(folder, 'package.json')
  writeFileSync(manifest, readFileSync(manifest, 'utf8').replace(/"version": "[^"]+"/, '"version": "99.0.0"'))
  await box.reload('hello')
  await box.reload('hello')

  assert.equal((await box.ask('hello')).text, 'hello')
  assert.equal(box.output.match(spoken)?.length, 1)
  assert.doesNotMatch(box.output, /worker process runs another version/)
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
