/**
 * Threads and processes that are lost under load, by a kill, an exit or a reload: what that costs, and that nothing
 * is left of it.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { encodeFrame } from '../../src/protocol/codec.ts'
import type { Box, Reply } from '../helpers/box.ts'
import { DEADLINE_MS, send, startBox } from '../helpers/box.ts'
import { anonymousOf, treeOf } from '../helpers/memory.ts'

const COUNTER = `
  import { appendFileSync } from 'node:fs'
  import { setTimeout as wait } from 'node:timers/promises'
  export default async (request) => {
    appendFileSync(process.env.JOURNAL, request.method + ' ' + new URL(request.url).pathname + '\\n')
    if (request.method === 'POST') await request.text()
    await wait(5)
    return new Response('done')
  }`

const FOUR = { config: '[pool]\nprocesses = 2\nthreads = 2' }

function workers(box: Box): number[] {
  return treeOf(box.pid).slice(1)
}

async function isWhole(box: Box, threads: number): Promise<boolean> {
  return (await box.status()).pool.ready >= threads
}

test('no thread is started in a process that is to be killed, and its other sites go on', async (t) => {
  const blocking = `import { execSync } from 'node:child_process'
    export default () => { execSync('sleep 20') }`
  const more = '[limits]\nslow = 100ms\nsoft_limit = 200ms\nhard_limit = 400ms\ntimeout = 2s\nquarantine = 0s'
  const good = Array.from({ length: 6 }, (_, index) => `good${index}`)
  const hello = { files: { 'app.mjs': "export default () => new Response('hello')" } }
  const sites = {
    bad: { files: { 'app.mjs': blocking }, more },
    ...Object.fromEntries(good.map((name) => [name, hello])),
  }
  const box = await startBox(t, sites, FOUR)
  for (const name of good) await box.ask(name)
  const visited = new AbortController()
  const visit = async (name: string): Promise<void> => {
    while (!visited.signal.aborted) assert.equal((await box.ask(name)).text, 'hello')
  }

  const visits = Promise.all(good.map(visit))
  await box.ask('bad')
  await box.waitFor('the process to be replaced', () => box.output.includes('worker process ended'))
  await box.waitFor('the pool to be whole', () => isWhole(box, 4))
  visited.abort()
  await visits

  assert.match(box.output, /worker process is replaced: a thread of it cannot be ended/)
  assert.doesNotMatch(box.output, /thread ended/)
})

test('a worker process that is killed costs no GET, and no POST is executed twice', { timeout: 120_000 }, async (t) => {
  const sites = {
    app: { files: { 'app.mjs': COUNTER }, more: '[env]\nJOURNAL = /dev/null' },
    other: { files: { 'app.mjs': "export default () => new Response('other')" } },
  }
  const box = await startBox(t, sites, FOUR)
  const journal = `${box.dir}/journal`
  box.write('journal', '')
  box.write(
    'sites-available/app.ini',
    `[site]\ndomains = app.test\nroot = ../sites/app\nmodule = app.mjs\n[env]\nJOURNAL = ${journal}\n`,
  )
  await box.reload()
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  t.after(() => agent.destroy())
  const replies: { method: string; path: string; reply: Promise<Reply> }[] = []

  for (let round = 0; round < 10; round++) {
    for (let count = 0; count < 20; count++) {
      const method = count % 2 === 0 ? 'GET' : 'POST'
      const path = `/${round}-${count}`
      const body = method === 'POST' ? 'x'.repeat(1000) : undefined
      const headers = { host: 'app.test' }
      const reply = send({ host: '127.0.0.1', port: box.port, agent, method, path, headers }, body)
      replies.push({ method, path, reply })
    }
    const victim = workers(box)[round % 2]
    if (round % 3 === 0 && victim !== undefined) process.kill(victim, 'SIGKILL')
    await Promise.all(replies.map(({ reply }) => reply))
    await box.waitFor('the pool to be whole again', () => isWhole(box, 4))
  }

  const executed = readFileSync(journal, 'utf8').split('\n')
  for (const { method, path, reply } of replies) {
    const { status } = await reply
    const runs = executed.filter((line) => line === `${method} ${path}`).length
    if (method === 'GET') assert.equal(status, 200, `GET ${path}`)
    else {
      assert.ok(status === 200 || status === 502, `POST ${path}: ${status}`)
      assert.ok(runs <= 1, `POST ${path} ran ${runs} times`)
      if (status === 200) assert.equal(runs, 1)
    }
  }
})

test('an edit for which a thread was being started when the only process ended is loaded in the next one', async (t) => {
  const app = { files: { 'app.mjs': "export default () => new Response('first')" } }
  const box = await startBox(t, { app }, { config: '[pool]\nprocesses = 1\nthreads = 1' })
  assert.equal((await box.ask('app')).text, 'first')
  const pid = (await box.status()).pool.groups[0]?.processes[0]?.pid ?? 0

  box.write('sites/app/app.mjs', "export default () => new Response('second')")
  process.kill(pid, 'SIGSTOP')
  const reloaded = box.reload('app')
  // Whoever asks for figures that it does not give any more has it killed.
  await box.status()

  assert.deepEqual(
    (await reloaded).sites.map(({ state, problems }) => [state, problems]),
    [['live', []]],
  )
  assert.match(box.output, /worker process stands still and is killed/)
  assert.equal((await box.ask('app')).text, 'second')
})

test('a POST whose handler never comes back is known to have been started: it is not run again elsewhere', async (t) => {
  const app = `import { appendFileSync } from 'node:fs'
    export default (request) => {
      if (request.method === 'GET') return new Response('up')
      appendFileSync(process.env.JOURNAL, 'ran\\n')
      for (;;);
    }`
  const box = await startBox(t, { app: { files: { 'app.mjs': app } } }, FOUR)
  const journal = join(box.dir, 'journal')
  box.write('journal', '')
  const lines = [
    '[site]',
    'domains = app.test',
    'root = ../sites/app',
    'module = app.mjs',
    '[env]',
    `JOURNAL = ${journal}`,
  ]
  box.write('sites-available/app.ini', `${lines.join('\n')}\n`)
  await box.reload()
  await box.ask('app')

  const stuck = box.ask('app', '/', { method: 'POST', body: 'x' })
  await box.waitFor('the handler to run', () => readFileSync(journal, 'utf8') === 'ran\n')
  for (const pid of workers(box)) process.kill(pid, 'SIGKILL')
  const reply = await stuck
  await box.waitFor('the pool to be whole again', () => isWhole(box, 4))

  assert.equal(reply.status, 502)
  assert.equal((await box.ask('app')).text, 'up')
  assert.equal(readFileSync(journal, 'utf8'), 'ran\n')
})

test('a site that ends its own thread again and again leaves the others served', async (t) => {
  const box = await startBox(
    t,
    {
      bad: {
        files: {
          'app.mjs':
            "import { execSync } from 'node:child_process'\nexport default () => { execSync('kill -9 $PPID') }",
        },
      },
      good: { files: { 'app.mjs': "export default () => new Response('good')" } },
    },
    { config: '[pool]\nprocesses = 2\nthreads = 1' },
  )
  await box.ask('good')

  for (let count = 0; count < 3; count++) {
    const bad = await box.ask('bad')
    const good = await box.ask('good')

    assert.equal(bad.status, 502)
    assert.equal(good.text, 'good')
  }
})

test("strangers on the pool's socket are let go, whatever they say, and nothing else notices", async (t) => {
  const box = await startBox(t, { app: { files: { 'app.mjs': "export default () => new Response('up')" } } }, FOUR)
  const hello = encodeFrame({ type: 'hello', id: 0, thread: 1, token: 'guessed' })
  const early = encodeFrame({
    type: 'response',
    id: 1,
    head: { status: 200, reason: '', headers: [] },
    body: Buffer.alloc(0),
    last: true,
  })
  await box.ask('app')

  for (const bytes of [Buffer.alloc(100, 0xff), Buffer.from('GET / HTTP/1.1\r\n\r\n'), hello, early]) {
    const stranger = connect(join(box.dir, 'run/pool.sock'))
    stranger.on('error', () => {})
    stranger.write(bytes)
    stranger.resume()
    await once(stranger, 'close', { signal: AbortSignal.timeout(DEADLINE_MS) })
  }

  assert.equal((await box.ask('app')).text, 'up')
  assert.ok(await isWhole(box, 4))
})

test('two hundred reloads of a site leave memory where sixty left it', { timeout: 170_000 }, async (t) => {
  const app = (turn: number): string =>
    `import { ballast } from './ballast.mjs'\nexport default () => new Response('${turn} ' + ballast.length)`
  const ballast = 'export const ballast = Array.from({ length: 25_000 }, (_, index) => ({ index }))'
  const sites = {
    app: { files: { 'app.mjs': app(0), 'ballast.mjs': ballast } },
    other: { files: { 'app.mjs': "export default () => new Response('other')" } },
  }
  const box = await startBox(t, sites, FOUR)
  await box.ask('app')
  await box.ask('other')
  const reload = async (turn: number): Promise<void> => {
    box.write('sites/app/app.mjs', app(turn))
    await box.reload('app')
    assert.equal((await box.ask('app')).text, `${turn} 25000`)
  }
  // By then all is there that is made once for good. The lowest figure is without threads that are just ending.
  let early = Number.POSITIVE_INFINITY
  for (let turn = 1; turn <= 60; turn++) {
    await reload(turn)
    if (turn > 40) early = Math.min(early, anonymousOf(box.pid))
  }
  for (let turn = 61; turn <= 200; turn++) await reload(turn)

  // Threads that were left end one after the other, and when all is calm those that stay give back what they do not need. A leak
  // of 2 MB, which is what such a generation has, would be 280 MB by now.
  const mayHave = early + 50 * 1024 ** 2
  await box.waitFor(`less than ${Math.round(mayHave / 1024 ** 2)} MB`, () => anonymousOf(box.pid) < mayHave)
})

test('a site that throws in an immediate again and again spoils nothing for the others', async (t) => {
  const bad = "module.exports = () => { setImmediate(() => { throw new Error('unheard') }) }"
  const good = "module.exports = (req, res) => res.end('good')"
  const sites = { bad: { files: { 'app.cjs': bad } }, good: { files: { 'app.cjs': good } } }
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1\nthreads = 1' })

  for (let round = 0; round < 20; round++) {
    const replies = await Promise.all(['bad', 'good', 'bad', 'good'].map((name) => box.ask(name)))

    assert.deepEqual(
      replies.map(({ status }) => status),
      [500, 200, 500, 200],
    )
  }
  assert.deepEqual((await box.site('good'))?.threads, 1)
})
