/** One site with far more to do than its share leaves the others theirs. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBox } from '../helpers/box.ts'

const ONE = '[pool]\nprocesses = 1\nthreads = 1'
/** Blocks its thread for 5 ms. */
const HOG = `module.exports = (req, res) => {
  const until = performance.now() + 5
  while (performance.now() < until);
  res.end('hog')
}`
const SMALL = { files: { 'app.cjs': "module.exports = (req, res) => res.end('small')" } }
const CROWD = 200

test('a site with hundreds of requests waiting does not keep a neighbour’s until all of them are done', async (t) => {
  const box = await startBox(
    t,
    { hog: { files: { 'app.cjs': HOG }, more: '[limits]\noffences = 20\n' }, small: SMALL },
    { config: ONE },
  )
  await Promise.all([box.ask('hog'), box.ask('small')])
  let answered = 0
  const first = Promise.withResolvers<void>()
  const crowd = Array.from({ length: CROWD }, async () => {
    const { status } = await box.ask('hog')
    answered++
    first.resolve()
    return status
  })
  await first.promise

  const reply = await box.ask('small')
  const before = answered

  assert.equal(reply.text, 'small')
  assert.ok(before < CROWD / 2, `${before} of ${CROWD} were answered before the neighbour's one`)
  assert.deepEqual(new Set(await Promise.all(crowd)), new Set([200]))
})

test('a site that keeps its thread for long in each turn has fewer turns than a neighbour with as much to do', async (t) => {
  const burning = (ms: number): string => `module.exports = (req, res) => {
    const until = performance.now() + ${ms}
    while (performance.now() < until);
    res.end('burnt')
  }`
  const more = '[limits]\nquarantine = 0s\n'
  const sites = {
    long: { files: { 'app.cjs': burning(80) }, more },
    short: { files: { 'app.cjs': burning(2) }, more },
  }
  const box = await startBox(t, sites, { config: ONE })
  let answered = 0
  const crowd = (site: string, size: number): Promise<number>[] =>
    Array.from({ length: size }, async () => {
      const { status } = await box.ask(site)
      if (site === 'long') answered++
      return status
    })
  // Until it has been measured what a request takes, and who keeps the thread.
  await Promise.all([...crowd('long', 20), ...crowd('short', 20)])
  answered = 0
  const long = crowd('long', 60)

  const short = await Promise.all(crowd('short', 75))
  const before = answered

  t.diagnostic(`before ${before}`)
  assert.ok(before > 0 && before < 40, `${before} long ones were answered before 75 short ones: by turns, all 60 are`)
  assert.deepEqual(new Set([...short, ...(await Promise.all(long))]), new Set([200]))
})

test('a site that takes all the places it can leaves some to a neighbour', async (t) => {
  const slow = "module.exports = (req, res) => { setTimeout(() => res.end('slow'), 1000) }"
  const config = `${ONE}\nconcurrency = 20`
  const box = await startBox(t, { slow: { files: { 'app.cjs': slow } }, small: SMALL }, { config })
  await Promise.all([box.ask('slow'), box.ask('small')])
  let answered = 0
  const crowd = Array.from({ length: 60 }, async () => {
    await box.ask('slow')
    answered++
  })
  await box.waitFor('the places to be taken', async () => (await box.site('slow'))?.inFlight === 15)

  const replies = await Promise.all(Array.from({ length: 5 }, () => box.ask('small')))
  const before = answered

  assert.deepEqual(
    replies.map(({ text }) => text),
    Array.from({ length: 5 }, () => 'small'),
  )
  assert.ok(before < 60, 'the neighbour waited for all of them')
  await Promise.all(crowd)
})
