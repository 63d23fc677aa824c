/**
 * The threads in which Node reads files, hashes and looks names up (libuv's) are one pool for all sites of a process. A site
 * that keeps all of them has its neighbours wait, though no thread is late.
 */
import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { send, startBox } from '../helpers/box.ts'

const POOL = { config: '[pool]\nprocesses = 1\nthreads = 2' }
const PACKAGES = fileURLToPath(new URL('../', import.meta.resolve('@node-rs/bcrypt/package.json')))
const [BCRYPT = ''] = globSync('bcrypt-*/*.node', { cwd: PACKAGES }).map((file) => join(PACKAGES, file))
/** A native add-on that nobody knows, of which Node does not tell what its jobs cost; one of them takes some 100 ms. */
const HASHES = `import { copyFileSync } from 'node:fs'
import { createRequire } from 'node:module'
copyFileSync(${JSON.stringify(BCRYPT)}, 'own.node')
const own = createRequire(import.meta.url)('./own.node')
let open = 0
const hash = () => { open++; void own.hash('password', 11, undefined, undefined, false).then(() => open--) }
export default (req, res) => {
  while (open < 40) hash()
  res.end('hashing')
}`
/** Opens what nobody writes to, in each helper thread of its process: there are seven. */
const WAITS = `import { execFileSync } from 'node:child_process'
import { open } from 'node:fs/promises'
execFileSync('mkfifo', ['fifo'])
export default async (req, res) => {
  await Promise.all([1, 2, 3, 4, 5, 6, 7].map(() => open('fifo')))
  res.end('opened')
}`
const READS = `import { readFile } from 'node:fs/promises'
export default async (req, res) => res.end(await readFile('page.txt'))`
const reader: SiteFixture = { files: { 'app.mjs': READS, 'page.txt': 'a page' } }

async function isKeptApart(box: Box, site: string): Promise<boolean> {
  return (await box.site(site))?.residency?.group === `site:${site}`
}

test('a site that hashes more than the helper threads can gets a process of its own, and neighbours read files again', async (t) => {
  const box = await startBox(t, { hasher: { files: { 'app.mjs': HASHES } }, one: reader, two: reader }, POOL)
  assert.equal((await box.ask('one')).text, 'a page')
  assert.equal((await box.ask('two')).text, 'a page')

  await box.waitFor('the site to be kept apart', async () => {
    const [answer] = await Promise.all([box.ask('hasher'), box.ask('one')])
    return answer.status !== 200 || (await isKeptApart(box, 'hasher'))
  })
  await box.waitFor('neighbours that read at once', async () => {
    const from = performance.now()
    const answers = await Promise.all([box.ask('one'), box.ask('two')])
    assert.deepEqual([...new Set(answers.map(({ text }) => text))], ['a page'])
    return performance.now() - from < 150
  })

  assert.equal(await isKeptApart(box, 'hasher'), true)
  assert.match(box.output, /"site":"hasher".*kept the helper threads of its process/)
  assert.deepEqual([await isKeptApart(box, 'one'), await isKeptApart(box, 'two')], [false, false])
})

test('a process whose helper threads wait for what never comes is replaced', { timeout: 120_000 }, async (t) => {
  const box = await startBox(t, { waiter: { files: { 'app.mjs': WAITS } }, one: reader, two: reader }, POOL)
  assert.equal((await box.ask('one')).text, 'a page')
  assert.equal((await box.ask('two')).text, 'a page')

  const waiting = box.ask('waiter').catch((error: Error) => error)
  await box.waitFor('the request to be there', async () => (await box.site('waiter'))?.inFlight === 1)
  // It waits for the pool, and is run again elsewhere when its process is replaced.
  const options = { host: '127.0.0.1', port: box.port, path: '/', agent: false as const, headers: { host: 'one.test' } }
  const held = await send(options, undefined, 90_000)

  assert.equal(held.text, 'a page')
  assert.match(box.output, /worker process is replaced: its helper threads do not come back/)
  assert.equal((await box.ask('two')).text, 'a page')
  await box.stop()
  await waiting
})
