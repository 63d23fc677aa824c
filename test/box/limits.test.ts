/** The limits that a site has for its requests, each reached on purpose. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'
import { makeFolder } from '../helpers/folder.ts'

/** Answers `/held` when the file `gate` beside it appears, and everything else at once. */
const HELD = `import { existsSync } from 'node:fs'
  import { setTimeout as wait } from 'node:timers/promises'
  export default async (request) => {
    if (new URL(request.url).pathname === '/held') while (!existsSync(process.env.GATE)) await wait(5)
    return new Response('answered')
  }`

function heldSite(gate: string, limits: string): SiteFixture {
  return { files: { 'app.mjs': HELD }, more: `[env]\nGATE = ${gate}\n[limits]\n${limits}` }
}

const ONE_AT_A_TIME = '[pool]\nprocesses = 1\nthreads = 1\nconcurrency = 1'

async function waits(box: Box, count: number): Promise<void> {
  await box.waitFor(`${count} waiting`, async () => (await box.site('app'))?.waiting === count)
}

test('beyond the concurrency of all threads requests wait in turn, and a full queue answers 503 at once', async (t) => {
  const gate = join(makeFolder(t), 'open')
  const box = await startBox(t, { app: heldSite(gate, 'queue = 2') }, { config: ONE_AT_A_TIME })
  await box.ask('app')

  const held = [box.ask('app', '/held')]
  await box.waitFor('one in flight', async () => (await box.site('app'))?.inFlight === 1)
  held.push(box.ask('app', '/held'), box.ask('app', '/held'))
  await waits(box, 2)
  const refused = await box.ask('app', '/held')
  writeFileSync(gate, '')
  const replies = await Promise.all(held)

  assert.equal(refused.status, 503)
  assert.match(refused.headers['retry-after'] ?? '', /^\d+$/)
  assert.deepEqual(
    replies.map((reply) => reply.text),
    ['answered', 'answered', 'answered'],
  )
})

test('a request that waits longer than queue_timeout is answered with 503 and Retry-After when that expires', async (t) => {
  const gate = join(makeFolder(t), 'open')
  const box = await startBox(t, { app: heldSite(gate, 'queue_timeout = 300ms') }, { config: ONE_AT_A_TIME })
  await box.ask('app')
  const held = box.ask('app', '/held')
  await box.waitFor('one in flight', async () => (await box.site('app'))?.inFlight === 1)

  const began = performance.now()
  const refused = await box.ask('app', '/held')
  const waitedMs = performance.now() - began
  writeFileSync(gate, '')

  assert.equal(refused.status, 503)
  assert.match(refused.headers['retry-after'] ?? '', /^\d+$/)
  // At that moment, and not at the next round of something slower; with room for a busy machine.
  assert.ok(waitedMs >= 290 && waitedMs < 1_500, `${waitedMs} ms`)
  assert.equal((await held).text, 'answered')
})

test('a site that does not answer within its timeout costs 504, and hears that nobody waits any more', async (t) => {
  const app = `let aborts = 0
    export default async (request) => {
      if (new URL(request.url).pathname === '/aborts') return new Response(String(aborts))
      request.signal.addEventListener('abort', () => { aborts++ })
      await new Promise(() => {})
    }`
  const box = await startBox(t, { app: { files: { 'app.mjs': app }, more: '[limits]\ntimeout = 300ms' } })
  await box.ask('app', '/aborts')

  const replies = await Promise.all([box.ask('app'), box.ask('app')])

  assert.deepEqual(
    replies.map((reply) => reply.status),
    [504, 504],
  )
  await box.waitFor('the site to hear', async () => (await box.ask('app', '/aborts')).text === '2')
  assert.equal((await box.site('app'))?.inFlight, 0)
})

test('a body larger than max_body is refused with 413, announced or not', async (t) => {
  const app = `export default async (request) => new Response(String((await request.arrayBuffer()).byteLength))`
  const box = await startBox(t, { app: { files: { 'app.mjs': app }, more: '[limits]\nmax_body = 100KB' } })

  const fits = await box.ask('app', '/', { method: 'POST', body: Buffer.alloc(100 * 1024) })
  const announced = await box.ask('app', '/', {
    method: 'POST',
    headers: { 'content-length': '200000', expect: '100-continue' },
  })
  const chunked = await box.ask('app', '/', {
    method: 'POST',
    headers: { 'transfer-encoding': 'chunked' },
    body: Buffer.alloc(150 * 1024),
  })

  assert.equal(fits.text, String(100 * 1024))
  assert.equal(announced.status, 413)
  assert.equal(chunked.status, 413)
})

test('a hundred sites on four threads are loaded about a hundred times', async (t) => {
  const names = Array.from({ length: 100 }, (_, index) => `s${index}`)
  const app = "console.log('loaded')\nexport default () => new Response('ok')"
  const sites = Object.fromEntries(names.map((name) => [name, { files: { 'app.mjs': app } }]))
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 2\nthreads = 2' })

  for (let round = 0; round < 3; round++) {
    for (let at = 0; at < names.length; at += 10) {
      const replies = await Promise.all(names.slice(at, at + 10).map((name) => box.ask(name)))
      for (const reply of replies) assert.equal(reply.text, 'ok')
    }
  }

  const { sites: loaded } = await box.status()
  const loads = loaded.reduce((sum, site) => sum + site.threads, 0)
  assert.ok(loads >= 100 && loads <= 110, `${loads} loads`)
})

test('a site that keeps its thread busy spreads to more threads', async (t) => {
  const app = `export default () => { const end = performance.now() + 20; while (performance.now() < end); return new Response('ok') }`
  const box = await startBox(
    t,
    { app: { files: { 'app.mjs': app } } },
    { config: '[pool]\nprocesses = 1\nthreads = 3' },
  )

  let busy = true
  const visitors = Array.from({ length: 8 }, async () => {
    while (busy) assert.equal((await box.ask('app')).status, 200)
  })
  await box.waitFor('the site to be in more threads', async () => ((await box.site('app'))?.threads ?? 0) >= 2)
  busy = false
  await Promise.all(visitors)
})
