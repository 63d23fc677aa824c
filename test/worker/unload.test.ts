/**
 * How a site is closed: its framework, its servers, its handlers of SIGTERM and exit, within its time.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { LoadOrder } from '../../src/protocol/frames.ts'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { shareThread } from '../helpers/thread-driver.ts'

let thread: DrivenThread
let generation = 0

shareThread((it) => {
  thread = it
})

async function site(
  t: { after(end: () => unknown): void },
  text: string,
  order: Partial<LoadOrder> = {},
): Promise<number> {
  const folder = writeSite(t, { 'main.mjs': text }, true)
  await thread.loadWell({ generation: ++generation, module: join(folder, 'main.mjs'), ...order })
  return generation
}

const linesOf = (of: number) => thread.logs.filter((line) => line.generation === of).map(({ text }) => text)

test('an app is told to stop as a process is, and may exit', async (t) => {
  const of = await site(
    t,
    `import { createServer } from 'node:http'
     const server = createServer((req, res) => setTimeout(() => res.end('finished'), 20))
     server.listen(3000)
     process.once('SIGTERM', (signal, number) => {
       console.log('told', signal, number)
       server.close(() => { console.log('closed'); process.exit(0) })
     })
     process.on('exit', (code) => console.log('exit', code))`,
  )
  const request = thread.request(of)
  await request.frame('started')

  await thread.unload(of)

  assert.equal((await request.over()).text, 'finished', 'requests that are open are finished')
  assert.deepEqual(linesOf(of), ['told SIGTERM 15', 'closed', 'exit 0'])
})

test('an app that was told to stop may end its own process by the signal', async (t) => {
  const of = await site(
    t,
    `import { createServer } from 'node:http'
     createServer((req, res) => res.end()).listen(3000)
     const stop = async (signal) => {
       process.removeListener('SIGTERM', stop)
       await new Promise((done) => setImmediate(done))
       try {
         process.kill(process.pid, signal)
         console.log('killed')
       } catch (error) {
         console.error('failed', error)
       }
     }
     process.on('SIGTERM', stop)
     process.on('exit', () => console.log('exit'))`,
  )

  await thread.unload(of)

  assert.deepEqual(linesOf(of), ['killed', 'exit'])
})

test('an app that takes its time to stop closes its servers itself, then what is behind them', async (t) => {
  const of = await site(
    t,
    `import { createServer } from 'node:http'
     import { setTimeout as delay } from 'node:timers/promises'
     const server = createServer((req, res) => setTimeout(() => res.end('finished'), 20)).listen(3000)
     process.once('SIGTERM', async () => {
       await delay(30)
       const error = await new Promise((resolve) => server.close(resolve))
       console.log('closed', error?.code)
       await delay(30)
       console.log('database closed')
       process.exit(0)
     })`,
  )
  const request = thread.request(of)
  await request.frame('started')

  await thread.unload(of)

  assert.equal((await request.over()).text, 'finished')
  assert.deepEqual(linesOf(of), ['closed undefined', 'database closed'])
})

test('an app that hears the signal and does nothing is closed soon after its last request', async (t) => {
  const text = `
    import { createServer } from 'node:http'
    createServer((req, res) => res.end()).listen(3000).on('close', () => console.log('closed'))
    process.on('SIGTERM', () => console.log('told'))`
  const of = await site(t, text)
  const startedAt = performance.now()

  await thread.unload(of)

  assert.deepEqual(linesOf(of), ['told', 'closed'])
  assert.ok(performance.now() - startedAt < 10_000, 'not after stop_timeout')
})

test('an app that knows only the signal of a terminal is told by that', async (t) => {
  const of = await site(
    t,
    "process.on('SIGINT', (name) => console.log('told', name)); export default (req, res) => res.end()",
  )

  await thread.unload(of)

  assert.deepEqual(linesOf(of), ['told SIGINT'])
})

test('what is still open when the time is up is cut off', async (t) => {
  const of = await site(
    t,
    "export default (req, res) => { res.write('for ever'); res.on('close', () => console.log('cut')) }",
    {
      stopTimeoutMs: 50,
    },
  )
  const request = thread.request(of)
  await request.bytes(8)

  await thread.unload(of)
  await request.over()

  assert.equal(request.types.at(-1), 'abort')
  await thread.log(of, /^cut$/)
})

test('a server without a handler of its own is closed', async (t) => {
  const of = await site(
    t,
    "import { createServer } from 'node:http'\ncreateServer().on('close', () => console.log('closed')).listen(3000)",
  )

  await thread.unload(of)

  assert.deepEqual(linesOf(of), ['closed'])
})

test('the hooks of a Fastify plugin run', async (t) => {
  const of = await site(
    t,
    `export default async function (fastify) {
       fastify.addHook('preClose', async () => console.log('preClose'))
       fastify.addHook('onClose', async () => { await new Promise((r) => setTimeout(r, 5)); console.log('onClose') })
     }`,
  )

  await thread.unload(of)

  assert.deepEqual(linesOf(of), ['preClose', 'onClose'])
})

test('a site that does not come to an end is left to itself when its time is up', async (t) => {
  const of = await site(
    t,
    "process.on('SIGTERM', () => console.log('ignored')); export default async function (fastify) { fastify.addHook('onClose', () => new Promise(() => {})) }",
    { stopTimeoutMs: 50 },
  )

  await thread.unload(of)

  assert.deepEqual(linesOf(of), ['ignored'])
})

test('an error while closing is logged and keeps nobody', async (t) => {
  const of = await site(
    t,
    "process.on('SIGTERM', () => { throw new Error('in the handler') }); export default (req, res) => res.end()",
  )

  await thread.unload(of)

  assert.match(linesOf(of).join(), /in the handler/)
})

test('a generation that is unloaded answers no more, others do', async (t) => {
  const gone = await site(t, 'export default (req, res) => res.end()')
  const other = await site(t, "export default (req, res) => res.end('here')")

  await thread.unload(gone)
  const refused = await thread.get(gone)

  assert.deepEqual(refused.frames, [{ type: 'abort', id: refused.id, reason: 'generation not loaded' }])
  assert.equal((await thread.get(other)).text, 'here')
})

test('an unload of what was never loaded is answered', async () => {
  await thread.unload(12_345)
})

test('a site that has listeners for other sites’ ends hears nothing of them', async (t) => {
  const kept = await site(
    t,
    "process.on('SIGTERM', () => console.log('not me')); export default (req, res) => res.end('kept')",
  )
  const gone = await site(t, 'export default (req, res) => res.end()')

  await thread.unload(gone)

  assert.equal((await thread.get(kept)).text, 'kept')
  assert.deepEqual(linesOf(kept), [])
})
