/** How many copies of a module there are: with `max_threads = 1` one at a time, whatever happens beside it. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Box } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

const TWO_THREADS = { config: '[pool]\nprocesses = 1\nthreads = 2' }
/** Keeps what it is asked for in memory, and a thread busy for a moment each time. */
const COUNTER = `
  const copy = crypto.randomUUID()
  let count = 0
  export default () => {
    const burn = performance.now() + 4
    while (performance.now() < burn);
    return Response.json({ copy, count: ++count })
  }`
const SINGLE = '[limits]\nmax_threads = 1\noffences = 20\nqueue_timeout = 20s'
const AT_ONCE = 12

interface Count {
  copy: string
  count: number
}

/** Asks a site by several clients at once, until `isEnough`. @returns what it answered, in the order of the answers */
async function askUntil(box: Box, name: string, isEnough: (counts: Count[]) => boolean): Promise<Count[]> {
  const counts: Count[] = []
  const deadline = performance.now() + 30_000
  const client = async (): Promise<void> => {
    while (!isEnough(counts)) {
      assert.ok(performance.now() < deadline, `${name}: ${copiesIn(counts).length} copies in ${counts.length} answers`)
      const reply = await box.ask(name)
      assert.equal(reply.status, 200, reply.text)
      counts.push(JSON.parse(reply.text) as Count)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, client))
  return counts
}

/** Each copy once, as often as another one answered in between. */
function copiesIn(counts: readonly Count[]): string[] {
  return counts.map(({ copy }) => copy).filter((copy, at, all) => copy !== all[at - 1])
}

/** A box in which `single` may have one copy, under load; `free` has several of the same by then. */
async function startPair(t: TestContext): Promise<{ box: Box; counts: Count[] }> {
  const box = await startBox(
    t,
    {
      free: { files: { 'app.mjs': COUNTER }, more: '[limits]\noffences = 20' },
      single: { files: { 'app.mjs': COUNTER }, more: SINGLE },
    },
    TWO_THREADS,
  )
  let isSpread = false
  const free = askUntil(box, 'free', (counts) => {
    isSpread ||= new Set(counts.map(({ copy }) => copy)).size > 1
    return isSpread
  })
  const [, counts] = await Promise.all([free, askUntil(box, 'single', (all) => isSpread && all.length >= 200)])
  return { box, counts }
}

test('a site that may be in one thread has one copy, under a load that spreads another to two', async (t) => {
  const { counts } = await startPair(t)

  assert.equal(copiesIn(counts).length, 1)
  assert.deepEqual(
    counts.map(({ count }) => count).sort((a, b) => a - b),
    counts.map((_, index) => index + 1),
  )
})

test('when its thread is replaced the next copy has all requests from the first on', async (t) => {
  const { box } = await startPair(t)
  const before = copiesIn(await askUntil(box, 'single', (counts) => counts.length > AT_ONCE))

  // Both are in each thread by now: what is edited takes these threads with it.
  box.write('sites/free/app.mjs', `${COUNTER}\n// edited`)
  const reload = box.reload('free')
  const counts = await askUntil(box, 'single', (all) => all.length > 100 && all.at(-1)?.copy !== before[0])
  await reload

  // Answers of the old copy may come last of all, those that it had begun.
  assert.equal(new Set(counts.map(({ copy }) => copy)).size, 2)
  const [old = '', fresh = ''] = copiesIn(counts)
  const begun = counts.slice(counts.findIndex(({ copy }) => copy === fresh)).filter(({ copy }) => copy === old)
  assert.ok(begun.length <= AT_ONCE, `${begun.length} answers of the old copy behind the first of the new one`)
})

test('a site that is limited while it runs leaves the threads that it has beyond that', async (t) => {
  const { box } = await startPair(t)

  box.write(
    'sites-available/free.ini',
    `[site]\ndomains = free.test\nroot = ../sites/free\nmodule = app.mjs\n${SINGLE}`,
  )
  await box.reload('free')
  const counts = await askUntil(box, 'free', (all) => all.length > 100)

  assert.equal(new Set(counts.map(({ copy }) => copy)).size, 1)
  assert.equal((await box.site('free'))?.state, 'live')
})

test('in a process of its own its state lives on while neighbours are edited and come and go', async (t) => {
  const box = await startBox(
    t,
    {
      neighbour: { files: { 'app.mjs': COUNTER } },
      single: { files: { 'app.mjs': COUNTER }, more: `isolation = process\npreload = yes\n${SINGLE}` },
    },
    TWO_THREADS,
  )
  const [first] = await askUntil(box, 'single', (all) => all.length >= 50)

  box.write('sites/neighbour/app.mjs', `${COUNTER}\n// edited`)
  await Promise.all([box.reload('neighbour'), askUntil(box, 'neighbour', (all) => all.length >= 50)])
  rmSync(join(box.dir, 'sites-enabled/neighbour.ini'))
  await box.waitFor('the neighbour to be gone', async () => (await box.site('neighbour')) === undefined)
  const counts = await askUntil(box, 'single', (all) => all.length >= 50)

  assert.deepEqual(copiesIn([...(first === undefined ? [] : [first]), ...counts]).length, 1)
  assert.ok((counts[0]?.count ?? 0) > 50)
})
