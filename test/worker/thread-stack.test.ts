/** The stack of real threads that block in every way a site can, taken from outside. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { stackOf } from '../../src/worker/thread-stack.ts'

const DEADLINE_MS = 10_000
/** Generous: the machine may be busy. */
const options = { timeoutMs: 5_000 }

interface Blocked {
  worker: Worker
  file: string
  flag: Int32Array
}

/** Starts a thread with `source` and waits until it says, by `flag[0] = 1` in shared memory, where it is. */
async function startThread(t: TestContext, name: string, source: string): Promise<Blocked> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'vhostel-stack-')))
  const file = join(folder, name)
  writeFileSync(file, source)
  const flag = new Int32Array(new SharedArrayBuffer(8))
  const worker = new Worker(file, { workerData: flag, name: 'a thread' })
  t.after(async () => {
    await worker.terminate()
    rmSync(folder, { recursive: true })
  })
  await reached(flag, 1)
  return { worker, file, flag }
}

async function reached(flag: Int32Array, value: number): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (Atomics.load(flag, 0) < value) {
    assert.ok(performance.now() < deadline, `the thread never reached ${value}`)
    await nextTurn()
  }
}

const LOOK = resolve(import.meta.dirname, '../../src/worker/look.ts')
const CONTEXT = resolve(import.meta.dirname, '../../src/worker/request-context.ts')
const CJS = `require('${LOOK}').installLook(); const flag = require('node:worker_threads').workerData;`
const ESM = `import { installLook } from '${LOOK}'; import { workerData as flag } from 'node:worker_threads'; installLook();`

/** Each blocks in line 3; `name` is of the innermost function. */
const BLOCKS = [
  {
    what: 'a timer callback',
    file: 'a.cjs',
    name: 'tick',
    source: `${CJS}\nsetTimeout(function tick() { flag[0] = 1\n  while (true) {}\n}, 1)`,
  },
  {
    what: 'a handler',
    file: 'a.mjs',
    name: 'handle',
    source: `${ESM} import { EventEmitter } from 'node:events'
const site = new EventEmitter().on('request', function handle() { flag[0] = 1
  for (let i = 0; ; i++) Math.sqrt(i)
})
setTimeout(() => site.emit('request'), 1)`,
  },
  {
    what: 'a promise loop',
    file: 'a.mjs',
    name: 'again',
    source: `${ESM} import { runIn } from '${CONTEXT}'
async function again() { flag[0] = 1; for (;;) {
  await null
} }
runIn({ site: { generation: 7, open: new Map() } }, again)`,
  },
  {
    what: 'an allocating loop',
    file: 'a.cjs',
    name: 'grow',
    source: `${CJS}\nsetTimeout(function grow() { flag[0] = 1; let last; for (;;) {\n  last = [1, {}, last && last[1]]\n} }, 1)`,
  },
  {
    what: 'a regular expression',
    file: 'a.cjs',
    name: 'match',
    source: `${CJS}\nsetTimeout(function match() { flag[0] = 1\n  return /^(a+)+$/.test('a'.repeat(60) + 'b')\n}, 1)`,
  },
  {
    what: 'the top level of an ES module',
    file: 'a.mjs',
    name: '',
    source: `${ESM}\nflag[0] = 1\nwhile (true) Math.random()`,
  },
  {
    what: 'the top level of a CommonJS module',
    file: 'a.cjs',
    name: '',
    source: `${CJS}\nflag[0] = 1\nwhile (true) Math.random()`,
  },
  {
    what: 'TypeScript',
    file: 'a.mts',
    name: 'spin',
    source: `${ESM} interface A { a: number }\nfunction spin(x: A): void { const y: number = x.a; flag[0] = 1\n  for (;;) Math.sqrt(y as number)\n}\nspin({ a: 1 })`,
  },
]

function isOfSite({ of }: { of: string }): boolean {
  return of === 'site'
}

/** In a promise loop most looks fall between two functions, and a machine that is busy leaves time for few of them. */
async function stackUntilSite(worker: Worker): ReturnType<typeof stackOf> {
  const deadline = performance.now() + 5_000
  for (;;) {
    const stack = await stackOf(worker, options)
    if (stack?.frames.some(isOfSite) || performance.now() > deadline) return stack
  }
}

for (const { what, file, name, source } of BLOCKS) {
  test(`tells file and line of a thread that blocks in ${what}`, async (t) => {
    const blocked = await startThread(t, file, source)

    const stack = await stackUntilSite(blocked.worker)

    const top = stack?.frames.find(isOfSite)
    assert.equal(top?.file, blocked.file)
    assert.equal(top.name, name)
    // The pause may fall on the head of the loop.
    assert.ok(top.line === 3 || top.line === 2, `line ${top.line}`)
    assert.ok(top.column >= 1)
    const place = `${top.file}:${top.line}:${top.column}`
    assert.equal(stack?.text.split('\n')[0], name === '' ? `    at ${place}` : `    at ${name} (${place})`)
    assert.doesNotMatch(stack.text, /node:internal/)
  })
}

test("shows Node's frames when asked", async (t) => {
  const { worker } = await startThread(t, 'a.cjs', `${CJS}\nsetTimeout(() => { flag[0] = 1; for (;;) {} }, 1)`)

  const stack = await stackOf(worker, { ...options, internals: true })

  assert.match(stack?.text ?? '', /at listOnTimeout \(node:internal\/timers:\d+:\d+\)/)
})

test('tells an empty stack of an idle thread', async (t) => {
  const { worker } = await startThread(
    t,
    'a.cjs',
    `${CJS} setInterval(() => {}, 1e6); setImmediate(() => { flag[0] = 1 })`,
  )

  let stack = await stackOf(worker, options)
  // The turn in which it said so may not be over yet.
  for (let looks = 1; looks < 50 && stack?.frames.length !== 0; looks++) stack = await stackOf(worker, options)

  assert.deepEqual(stack, { frames: [], text: '', generation: 0, forRequest: false })
})

test('tells where a thread waits in Atomics.wait, and leaves it waiting', async (t) => {
  const source = `${CJS}\nsetTimeout(function wait() { flag[0] = 1; const end = Atomics.wait(flag, 1, 0); flag[0] = end === 'ok' && flag[1] === 1 ? 2 : 3 }, 1)
setInterval(() => {}, 1e6)`
  const { worker, flag } = await startThread(t, 'a.cjs', source)

  const [one, other] = await Promise.all([stackOf(worker, options), stackOf(worker, options)])
  Atomics.store(flag, 1, 1)
  Atomics.notify(flag, 1)

  assert.equal(one?.frames[0]?.name, 'wait')
  assert.equal(other?.frames[0]?.name, 'wait')
  await reached(flag, 2)
  assert.equal(flag[0], 2)
})

test('gives up on a thread in execSync, which goes on unharmed', async (t) => {
  const source = `${CJS} const { execSync } = require('node:child_process')
setTimeout(() => { flag[0] = 1; execSync('touch "$0.native"; sleep 1'.replace('$0', __filename)); setInterval(() => flag[0]++, 1) }, 1)`
  const { worker, flag, file } = await startThread(t, 'a.cjs', source)
  const deadline = performance.now() + DEADLINE_MS
  while (!existsSync(`${file}.native`) && performance.now() < deadline) await nextTurn()

  const stack = await stackOf(worker, { timeoutMs: 100 })

  assert.equal(stack, undefined)
  await reached(flag, 10)
})

test('asks one thread and two threads at once', async (t) => {
  const loop = (name: string) => `${CJS}\nsetTimeout(function ${name}() { flag[0] = 1; for (;;) {} }, 1)`
  const first = await startThread(t, 'a.cjs', loop('first'))
  const second = await startThread(t, 'b.cjs', loop('second'))

  const stacks = await Promise.all([first, first, second, second].map(({ worker }) => stackOf(worker, options)))

  assert.deepEqual(
    stacks.map((stack) => stack?.frames[0]?.name),
    ['first', 'first', 'second', 'second'],
  )
})

test('leaves a thread running whenever the time is over', async (t) => {
  const { worker, flag } = await startThread(
    t,
    'a.cjs',
    `${CJS}\nsetTimeout(() => { for (;;) flag[0] = (flag[0] + 1) & 0xfffffff | 1 }, 1)`,
  )

  for (let i = 0; i < 40; i++) await stackOf(worker, { timeoutMs: i / 4 })

  assert.ok(await stackOf(worker, options))
  const before = Atomics.load(flag, 0)
  const deadline = performance.now() + DEADLINE_MS
  while (Atomics.load(flag, 0) === before && performance.now() < deadline) await nextTurn()
  assert.notEqual(Atomics.load(flag, 0), before)
})

test('answers for a thread that has ended, and for one without room on its stack', async (t) => {
  const { worker } = await startThread(t, 'a.cjs', `${CJS}\nsetTimeout(() => { flag[0] = 1; for (;;) {} }, 1)`)
  const deep = `${CJS}\nconst down = () => { flag[0] = 1; try { down() } catch {} for (;;) {} }; setTimeout(down, 1)`
  const { worker: full } = await startThread(t, 'b.cjs', deep)

  const answers = [await stackOf(full, options), await stackOf(worker, options)]
  await worker.terminate()

  assert.equal(answers[1]?.frames.length, 3)
  assert.ok(answers[0] === undefined || answers[0].frames[0]?.name === 'down')
  assert.equal(await stackOf(worker, options), undefined)
})

test("leaves a site's own inspector session alone", async (t) => {
  const source = `${CJS} const session = new (require('node:inspector').Session)(); session.connect(); session.post('Profiler.enable'); session.post('Profiler.start')
setTimeout(function burn() { flag[0] = 1; while (flag[1] === 0) Math.random()
  session.post('Profiler.stop', (error, { profile }) => { flag[0] = profile.nodes.length > 1 ? 2 : 3 }) }, 1)
setInterval(() => {}, 1e6)`
  const { worker, flag } = await startThread(t, 'a.cjs', source)

  const stack = await stackOf(worker, options)
  Atomics.store(flag, 1, 1)

  assert.equal(stack?.frames[0]?.name, 'burn')
  await reached(flag, 2)
  assert.equal(flag[0], 2)
})

test('50 stacks in a row leave no memory behind', async (t) => {
  const { worker } = await startThread(t, 'a.cjs', `${CJS}\nsetTimeout(() => { flag[0] = 1; for (;;) {} }, 1)`)
  const { setFlagsFromString } = await import('node:v8')
  const { runInNewContext } = await import('node:vm')
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const used = (): number => {
    collect()
    return process.memoryUsage().heapUsed
  }
  for (let i = 0; i < 10; i++) await stackOf(worker, options)

  const before = used()
  for (let i = 0; i < 50; i++) assert.ok(await stackOf(worker, options))

  assert.ok(used() - before < 1_000_000, `grew by ${used() - before} bytes`)
  assert.ok(worker.listenerCount('exit') <= 2)
})

test('a process that exits in the middle of a look does exit', async () => {
  const module = new URL('../../src/worker/thread-stack.ts', import.meta.url).href
  const script = (turns: number): string => `
    import { Worker } from 'node:worker_threads'
    import { stackOf } from ${JSON.stringify(module)}
    const worker = new Worker(${JSON.stringify(`${ESM} setTimeout(() => { for (;;) {} }, 1)`)}, { eval: true })
    await new Promise((resolve) => worker.once('online', resolve))
    await stackOf(worker, { timeoutMs: 5000 })
    stackOf(worker, { timeoutMs: 5000 })
    setTimeout(() => process.exit(7), ${turns})`
  for (const turns of [1, 3, 5, 6, 7, 8, 10]) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script(turns)], { stdio: 'inherit' })
    const guard = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)

    const [code] = await once(child, 'exit')

    clearTimeout(guard)
    assert.equal(code, 7, `with the exit after ${turns} ms`)
  }
})
