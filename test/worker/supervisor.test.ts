/**
 * A worker process as the dispatcher sees it: threads start, end, are measured, and do not outlive their dispatcher.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync, statSync, watch } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { VERSION } from '../../src/core/version.ts'
import type { SupervisorReport, ThreadLook } from '../../src/core/worker-orders.ts'
import { writeSite } from '../helpers/site-files.ts'
import { until, WorkerDriver } from '../helpers/thread-driver.ts'

/** Of a processor, in ms. */
const BURN_MS = 100

type Ended = Extract<SupervisorReport, { type: 'ended' }>

function endOf(worker: WorkerDriver, thread: number): Promise<Ended> {
  const find = () =>
    worker.reports.find((report): report is Ended => report.type === 'ended' && report.thread === thread)
  return until(worker.news.subscribe, find, `thread ${thread} to end`)
}

test('a process says that it is up, with its pid', async (t) => {
  const worker = await WorkerDriver.start(t)

  assert.deepEqual(worker.reports, [{ type: 'up', pid: worker.child.pid, version: VERSION }])
})

test('threads of one process are apart from each other', async (t) => {
  const worker = await WorkerDriver.start(t)
  const [one, two] = [await worker.startThread(), await worker.startThread()]
  const folder = writeSite(t, { 'main.cjs': 'let n = 0; module.exports = (req, res) => res.end(String(++n))' })
  for (const thread of [one, two]) await thread.loadWell({ generation: 1, module: join(folder, 'main.cjs') })

  const texts = [await one.get(1), await one.get(1), await two.get(1)].map(({ text }) => text)

  assert.deepEqual(texts, ['1', '2', '1'])
})

test('a thread that is stopped closes its sites and ends', async (t) => {
  const worker = await WorkerDriver.start(t)
  const thread = await worker.startThread()
  const folder = writeSite(t, {
    'main.cjs': "process.on('SIGTERM', () => console.log('told')); module.exports = (req, res) => res.end()",
  })
  await thread.loadWell({ generation: 1, module: join(folder, 'main.cjs') })

  worker.order({ type: 'stop', thread: 1, graceMs: 5000 })

  assert.deepEqual(await endOf(worker, 1), {
    type: 'ended',
    thread: 1,
    code: 0,
    running: { id: 0, generation: 0 },
  })
  await thread.log(1, /^told$/)
  await thread.wait(() => thread.isClosed, 'the channel to close')
})

test('a thread that never comes back is terminated when its grace is over', async (t) => {
  const worker = await WorkerDriver.start(t)
  const [stuck, calm] = [await worker.startThread(), await worker.startThread()]
  const folder = writeSite(t, {
    'main.cjs': 'module.exports = (req, res) => { if (req.url === "/loop") for (;;); res.end("calm") }',
  })
  for (const thread of [stuck, calm]) await thread.loadWell({ generation: 1, module: join(folder, 'main.cjs') })
  await stuck.request(1, { url: '/loop', method: 'POST' }).frame('started')

  worker.order({ type: 'stop', thread: 1, graceMs: 100 })

  assert.equal((await endOf(worker, 1)).code, 1)
  assert.equal((await calm.get(1)).text, 'calm')
})

/** In one turn of the event loop, or in a promise that gives it back. */
const LOOPING = 'function looping() { do Math.sqrt(2); while (this !== false) }\n'
/** Modules that loop once they are asked. */
const LOOPS = [
  {
    what: 'a handler',
    code: 'module.exports = () => looping()',
    forRequest: true,
  },
  {
    what: 'a promise of a request',
    code: 'module.exports = async () => { for (;;) await looping.call(false) }',
    forRequest: true,
  },
  {
    what: 'a timer of a request that is answered',
    code: 'module.exports = (req, res) => { setTimeout(looping, 50); res.end() }',
    forRequest: false,
  },
  {
    what: 'a timer of the module',
    code: 'setTimeout(looping, 50); module.exports = () => {}',
    forRequest: false,
  },
]

for (const { what, code, forRequest } of LOOPS) {
  test(`a look tells whose code loops in ${what}, where, and whether it is for a request`, async (t) => {
    const worker = await WorkerDriver.start(t)
    const thread = await worker.startThread()
    const folder = writeSite(t, { 'main.cjs': `${LOOPING}${code}` })
    await thread.loadWell({ generation: 7, module: join(folder, 'main.cjs') })
    thread.request(7, { method: 'POST' })

    const look = await lookUntil(worker, ({ stack }) => /at looping \(.*main\.cjs:1:\d+\)/.test(stack))

    assert.deepEqual([look.generation, look.forRequest], [7, forRequest])
  })
}

/** Looks at the first thread until it shows what is waited for. */
async function lookUntil(worker: WorkerDriver, isRight: (look: ThreadLook) => boolean): Promise<ThreadLook> {
  for (let question = 1; question < 200; question++) {
    worker.order({ type: 'look', thread: 1, question })
    const find = () => worker.reports.find((report) => report.type === 'look' && report.question === question)
    const report = await until(worker.news.subscribe, find, 'an answer')
    if (report.type === 'look' && report.look !== undefined && isRight(report.look)) return report.look
  }
  throw new Error('it never showed what was waited for')
}

test('a thread that is looked at as it is told to end does end', async (t) => {
  const worker = await WorkerDriver.start(t)
  const folder = writeSite(t, { 'main.cjs': 'module.exports = (req, res) => { for (;;); }' })
  for (let number = 1; number <= 8; number++) {
    const thread = await worker.startThread()
    await thread.loadWell({ generation: 1, module: join(folder, 'main.cjs') })
    await thread.request(1, { method: 'POST' }).frame('started')

    for (let question = 0; question < 4; question++) worker.order({ type: 'look', thread: number, question })
    worker.order({ type: 'stop', thread: number, graceMs: number % 3 })

    assert.equal((await endOf(worker, number)).code, 1)
  }
})

test('a thread ends when its channel does', async (t) => {
  const worker = await WorkerDriver.start(t)
  const thread = await worker.startThread()

  thread.channel.destroy()

  assert.equal((await endOf(worker, 1)).code, 0)
})

test('a thread that cannot connect ends', async (t) => {
  const worker = await WorkerDriver.start(t)

  worker.order({ type: 'start', thread: 9, token: 'x', socket: '/nowhere/at/all' })

  await endOf(worker, 9)
})

test('a thread that runs out of memory ends alone, with the reason', async (t) => {
  const worker = await WorkerDriver.start(t)
  const [hungry, calm] = [await worker.startThread({ memoryBytes: 32 * 1024 ** 2 }), await worker.startThread()]
  const folder = writeSite(t, {
    'main.cjs': `const kept = []
      module.exports = (req, res) => {
        if (req.url !== '/eat') return res.end('calm')
        const eat = () => { for (let n = 0; n < 1000; n++) kept.push(new Array(100).fill(n)); setImmediate(eat) }
        eat()
      }`,
  })
  for (const thread of [hungry, calm]) await thread.loadWell({ generation: 1, module: join(folder, 'main.cjs') })

  hungry.request(1, { url: '/eat' })
  const { error } = await endOf(worker, 1)

  assert.match(error ?? '', /memory/i)
  assert.equal((await calm.get(1)).text, 'calm')
})

test('that a thread is ended for its memory is told before it is gone, with whose code ran', async (t) => {
  const worker = await WorkerDriver.start(t)
  const thread = await worker.startThread({ memoryBytes: 32 * 1024 ** 2 })
  const folder = writeSite(t, {
    'main.cjs': 'module.exports = () => { const kept = Buffer.alloc(64 * 1024 ** 2, 1); for (;;) kept.fill(2, 0, 9); }',
  })
  await thread.loadWell({ generation: 1, module: join(folder, 'main.cjs') })
  await thread.request(1, { method: 'POST' }).frame('started')

  // The dispatcher does so when a thread is late; from then on its memory is watched.
  worker.order({ type: 'revoke', thread: 1, ids: [] })
  const ending = await worker.report('ending')
  await endOf(worker, 1)

  assert.match(ending.error, /^ERR_WORKER_OUT_OF_MEMORY: it took \d+ MB$/)
  assert.deepEqual([ending.thread, ending.running.id, ending.running.generation], [1, 1, 1])
  assert.deepEqual(
    worker.reports.map(({ type }) => type).filter((type) => type.startsWith('end')),
    ['ending', 'ended'],
  )
})

test('a sample measures every thread from outside, also one that is stuck', async (t) => {
  const worker = await WorkerDriver.start(t)
  const [stuck] = [await worker.startThread(), await worker.startThread()]
  const folder = writeSite(t, {
    'main.cjs': `module.exports = () => {
      for (let burnt = 0; ; ) {
        const { user, system } = process.threadCpuUsage()
        if ((user + system) / 1000 < burnt + ${BURN_MS}) continue
        burnt = (user + system) / 1000
        require('fs').appendFileSync(__dirname + '/burnt', '.')
      }
    }`,
  })
  await stuck?.loadWell({ generation: 1, module: join(folder, 'main.cjs') })
  await stuck?.request(1, { method: 'POST' }).frame('started')

  await sampleOf(worker)
  // Time of a clock would not do: on a loaded machine the thread may not have run in it.
  await burnt(t, folder, 3)
  const { threads, rssBytes } = await sampleOf(worker)

  const [first, second] = threads
  assert.deepEqual([first?.thread, second?.thread], [1, 2])
  assert.ok((first?.busyMs ?? 0) > BURN_MS / 2, `stuck: ${first?.busyMs} ms`)
  assert.ok((first?.busyMs ?? 0) > (second?.busyMs ?? Infinity), `${first?.busyMs} ${second?.busyMs}`)
  assert.ok((first?.utilisation ?? 0) > (second?.utilisation ?? 1), `${first?.utilisation} ${second?.utilisation}`)
  assert.ok((second?.heapUsedBytes ?? 0) > 1_000_000)
  assert.ok(rssBytes > 10_000_000)
})

/** The next sample of a worker's threads. */
async function sampleOf(worker: WorkerDriver) {
  const samples = () => worker.reports.filter((report) => report.type === 'sample')
  const before = samples().length
  worker.order({ type: 'sample' })
  return await until(worker.news.subscribe, () => samples()[before], 'a sample')
}

/** Resolves when the loop of the site in a folder has burnt so many more times `BURN_MS` of a processor. */
async function burnt(t: TestContext, folder: string, times: number): Promise<void> {
  const count = () => statSync(join(folder, 'burnt'), { throwIfNoEntry: false })?.size ?? 0
  const wanted = count() + times
  const watcher = watch(folder)
  t.after(() => watcher.close())
  while (count() < wanted) await once(watcher, 'change')
}

test('compiled code is kept where the dispatcher says', async (t) => {
  const worker = await WorkerDriver.start(t)
  const cache = writeSite(t, {})
  const folder = writeSite(t, {
    'main.cjs': `module.exports = (req, res) => res.end('cached'); ${'function f() {}\n'.repeat(200)}`,
  })
  const thread = await worker.startThread({ compileCache: cache })
  await thread.loadWell({ generation: 1, module: join(folder, 'main.cjs') })

  worker.order({ type: 'stop', thread: 1, graceMs: 5000 })
  await endOf(worker, 1)

  assert.ok(readdirSync(cache).length > 0)
})

test('a process without a dispatcher ends at once, stuck threads and all', async (t) => {
  const worker = await WorkerDriver.start(t)
  const thread = await worker.startThread()
  const folder = writeSite(t, { 'main.cjs': 'module.exports = () => { for (;;); }' })
  await thread.loadWell({ generation: 1, module: join(folder, 'main.cjs') })
  await thread.request(1, { method: 'POST' }).frame('started')
  const exited = once(worker.child, 'exit')

  worker.child.disconnect()

  assert.deepEqual(await exited, [null, 'SIGKILL'])
})

test('signals of the terminal are left to the dispatcher', async (t) => {
  const worker = await WorkerDriver.start(t)
  const thread = await worker.startThread()

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) worker.child.kill(signal)
  worker.order({ type: 'sample' })
  await worker.report('sample')

  assert.equal(worker.child.exitCode, null)
  assert.equal(thread.isClosed, false)
})

test('what nobody in particular writes comes out of the process', async (t) => {
  const worker = await WorkerDriver.start(t)
  const thread = await worker.startThread()
  const folder = writeSite(t, {
    'main.cjs':
      "require('child_process').execFileSync('echo', ['from a child'], { stdio: 'inherit' }); module.exports = (req, res) => res.end()",
  })
  const seen = new Promise((resolve) =>
    worker.child.stdout?.on('data', () => worker.output.includes('from a child') && resolve(true)),
  )

  await thread.loadWell({ generation: 1, module: join(folder, 'main.cjs') })

  assert.equal(await seen, true)
})
