/** Many sites that take long to load, all to be loaded at once while they are visited: at a reload, and after a start. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Box } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

const SITES = 10
/** Of a processor, in ms: as a site of some size takes. */
const LOAD_MS = 400
/** Between two visitors. */
const EVERY_MS = 40

const HEAVY = `const until = process.threadCpuUsage().user + ${LOAD_MS * 1000}
let sum = 0
while (process.threadCpuUsage().user < until) for (let n = 0; n < 1_000_000; n++) sum += n
export default () => new Response('here')`

const names = Array.from({ length: SITES }, (_, index) => `site${index}`)

function start(t: TestContext): Promise<Box> {
  return startBox(t, Object.fromEntries(names.map((name) => [name, { files: { 'app.mjs': HEAVY } }])))
}

/** Visits one site after the other until it is told to end. @returns to be called for what all visitors got, and how often */
function visitors(t: TestContext, box: Box): () => Promise<Record<string, number>> {
  const visits: Promise<string>[] = []
  const timer = setInterval(() => {
    const name = names[visits.length % SITES] as string
    const visit = box.ask(name).then(
      ({ status, text }) => `${status} ${status === 200 ? text : ''}`,
      (error: Error) => error.message,
    )
    visits.push(visit)
  }, EVERY_MS)
  t.after(() => clearInterval(timer))
  return async () => {
    clearInterval(timer)
    const outcomes = await Promise.all(visits)
    return Object.fromEntries([...Map.groupBy(outcomes, (one) => one)].map(([what, all]) => [what, all.length]))
  }
}

async function assertNoneBlamed(box: Box): Promise<void> {
  const { sites } = await box.status()
  const blamed = sites.filter(({ state }) => state !== 'live').map(({ name, state }) => `${name}: ${state}`)
  assert.deepEqual(blamed, [], box.output)
}

test('all sites are loaded anew while they are visited: nobody fails, and none is blamed for the others', async (t) => {
  const box = await start(t)
  for (const name of names) assert.equal((await box.ask(name)).status, 200)
  const stop = visitors(t, box)

  await box.reload()
  const got = await stop()

  assert.deepEqual(Object.keys(got), ['200 here'], `${JSON.stringify(got)}\n${box.output}`)
  await assertNoneBlamed(box)
})

test('all sites are visited at once after a start: everybody waits for a load or two, and nobody fails', async (t) => {
  const box = await start(t)
  const stop = visitors(t, box)

  await box.waitFor('every site to be loaded', async () =>
    (await box.status()).sites.every(({ state }) => state === 'live' || state === 'quarantined'),
  )
  const got = await stop()

  assert.deepEqual(Object.keys(got), ['200 here'], `${JSON.stringify(got)}\n${box.output}`)
  await assertNoneBlamed(box)
})
