/** A pool that grows by a process under load gives it back after a calm time, while its sites are visited. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Box } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

/** Four times the calm time (pool/elastic.ts), which begins again where the machine is busy with something else for a moment. */
const CALM_DEADLINE_MS = 240_000
const LOOK_EVERY_MS = 200

/** On a busy machine, what comes together takes so long that it would be an offence: that is no matter of these tests. */
const NEVER_APART = '[limits]\nquarantine = 0s\n'

/** Computes for as long as it is asked to, and waits a little: a request is often open when a thread ends. */
const WORK = `module.exports = (req, res) => {
  const until = performance.now() + Number(req.url.slice(1))
  while (performance.now() < until);
  setTimeout(() => res.end(String(process.pid)), 10)
}`

function processesOf(box: Box): Promise<number | undefined> {
  return box.status().then(({ pool }) => pool.groups.find(({ name }) => name === 'default')?.processes.length)
}

test('a process that a busy time added ends after a calm time, and no request fails', {
  timeout: 300_000,
}, async (t) => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  const sites = Object.fromEntries(names.map((name) => [name, { files: { 'app.cjs': WORK }, more: NEVER_APART }]))
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1..2\nthreads = 1' })
  let isBusy = true
  let isOver = false
  const statuses = new Map<number, number>()
  const visitors = names.map(async (name) => {
    while (!isOver) {
      const { status } = await box.ask(name, isBusy ? '/40' : '/0', { method: Math.random() < 0.5 ? 'GET' : 'POST' })
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      if (!isBusy) await delay(150)
    }
  })
  await box.waitFor('a process more', async () => (await processesOf(box)) === 2)
  await box.waitFor('its thread', async () => (await box.status()).pool.ready === 2)

  isBusy = false
  const isAlone = (): Promise<boolean> => delay(LOOK_EVERY_MS).then(async () => (await processesOf(box)) === 1)
  await box.waitFor('the process to end', isAlone, CALM_DEADLINE_MS)
  const lastPids = new Set(await Promise.all(names.map(async (name) => (await box.ask(name, '/0')).text)))
  isOver = true
  await Promise.all(visitors)

  assert.deepEqual([...statuses.keys()], [200])
  assert.equal(lastPids.size, 1)
  assert.match(box.output, /"from":2,"to":1,"why":"its threads are busy \d+ % of the time"/)
  assert.match(
    box.output,
    /"why":"the others have room for 1 threads, and 1 are wanted","msg":"process is one too many and ends"/,
  )
  assert.doesNotMatch(box.output, /thread ended|worker process ended/)
})

test('what the processes of single sites take counts for the memory of their pool', async (t) => {
  const big = `const kept = Buffer.alloc(160 * 1024 ** 2, 1)
module.exports = (req, res) => res.end(String(kept.length))`
  const sites = {
    busy: { files: { 'app.cjs': WORK }, more: NEVER_APART },
    big: { files: { 'app.cjs': big }, more: 'isolation = process\n' },
  }
  const config = '[pool]\nprocesses = 1\nthreads = 1..2\nmemory = 256MB\nthread_memory = 512MB'
  const box = await startBox(t, sites, { config })
  assert.equal((await box.ask('big')).status, 200)
  let answered = 0
  let isOver = false
  const visitors = [1, 2, 3, 4].map(async () => {
    for (; !isOver; answered++) assert.equal((await box.ask('busy', '/40')).status, 200)
  })
  const sizeOf = async (): Promise<number | undefined> =>
    (await box.status()).pool.groups.find(({ name }) => name === 'default')?.size

  // It looks twice a second, and grows after two looks.
  await box.waitFor('a while in which it might grow', () => answered > 120)
  assert.equal(await sizeOf(), 1)
  rmSync(join(box.dir, 'sites-enabled/big.ini'))
  await box.waitFor('a thread more once there is room', async () => (await sizeOf()) === 2)

  isOver = true
  await Promise.all(visitors)
})
