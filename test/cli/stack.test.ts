import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stackLines } from '../../src/cli/stack.ts'
import { threadsOf } from '../../src/cli/troubles.ts'
import { startBox } from '../helpers/box.ts'
import { makeConfig, vhostel } from './command.ts'
import { LOOP, loopUntil } from './looping-site.ts'

const HELLO = { files: { 'app.mjs': "export default () => new Response('hello')" } }
const POOL = { config: '[pool]\nprocesses = 1\nthreads = 2\n' }

test('of a site that loops it shows the stack, thread and process; the JSON has the same', async (t) => {
  const box = await startBox(t, { shop: LOOP }, POOL)
  await loopUntil(box, 'shop', 'the thread to be kept', async () => {
    const { pool } = await box.status()
    return threadsOf(pool.groups).some(({ keptBy }) => keptBy === 'shop')
  })

  const { dir } = box
  const frames = `    at spin \\(${dir}/sites/shop/app\\.mjs:6:\\d+\\)\n    at answer \\(${dir}/sites/shop/app\\.mjs:2:\\d+\\)`

  // On a machine that has no processor for it the thread may not tell in time.
  await box.waitFor('the stack as text', async () => {
    const { code, stdout, stderr } = await vhostel(['stack', 'shop', '--config', dir])
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
    return new RegExp(`^thread \\d+, process \\d+:\n${frames}$`, 'm').test(stdout)
  })
  await box.waitFor('the stack as JSON', async () => {
    const { site, threads } = JSON.parse((await vhostel(['stack', 'shop', '--json', '--config', dir])).stdout)
    assert.equal(site, 'shop')
    return threads.some(({ stack = '' }: { stack?: string }) => new RegExp(`^${frames}$`).test(stack))
  })
})

test('a site that does nothing is idle, and one that nobody asked for yet is loaded in no thread', async (t) => {
  const box = await startBox(t, { calm: HELLO, cold: HELLO }, POOL)
  await box.ask('calm')

  const cold = await vhostel(['stack', 'cold', '--config', box.dir])

  await box.waitFor('the thread to be told as idle', async () => {
    const { code, stdout } = await vhostel(['stack', 'calm', '--config', box.dir])
    assert.equal(code, 0)
    return /^thread \d+, process \d+: idle\n$/.test(stdout)
  })
  assert.equal(cold.code, 0)
  assert.equal(cold.stdout, 'cold: not loaded in any thread\n')
})

test('a thread in native code does not tell, and control characters of a site do not reach the terminal', () => {
  const lines = stackLines({
    site: 'shop',
    threads: [
      { thread: 1, pid: 7, stack: undefined },
      { thread: 2, pid: undefined, stack: '    at a\u001b[2J (x.mjs:1:1)\n    at b (x.mjs:2:1)' },
    ],
  })

  assert.deepEqual(lines, [
    'thread 1, process 7: in native code: the thread does not tell',
    'thread 2, process ?:',
    '    at a [2J (x.mjs:1:1)',
    '    at b (x.mjs:2:1)',
  ])
})

test('a name that no site has is refused with the one that was meant', async (t) => {
  const box = await startBox(t, { blog: HELLO }, POOL)

  const { code, stdout, stderr } = await vhostel(['stack', 'bolg', '--config', box.dir])

  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' })
  assert.equal(stderr, "vhostel: there is no site 'bolg' in the sites folder; did you mean blog?\n")
})

test('with no server running that is said in one line, exit code 1', async (t) => {
  const dir = makeConfig(t, {})

  const { code, stdout, stderr } = await vhostel(['stack', 'blog', '--config', dir])

  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' })
  assert.match(stderr, /^vhostel: no server is running /)
})
