/** Helper threads of a process (libuv's pool) with more to do than they can, as the supervisor tells it. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { SupervisorReport } from '../../src/core/worker-orders.ts'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { until, WorkerDriver } from '../helpers/thread-driver.ts'

type HelpersReport = Extract<SupervisorReport, { type: 'helpers' }>

/** Jobs of Node's own that are slow and do not begin in turn (slow-jobs.ts): so many at once that they take seconds, again and again. */
const KEYS = `import { generateKeyPair } from 'node:crypto'
const make = () => generateKeyPair('dsa', { modulusLength: 1024, divisorLength: 160 }, make)
export default (req, res) => {
  for (let i = 0; i < 40; i++) make()
  res.end()
}`
/** As many in one go, before anybody counts. */
const MADE = `import { generateKeyPair } from 'node:crypto'
export default (req, res) => {
  for (let i = 0; i < 100; i++) generateKeyPair('dsa', { modulusLength: 1024, divisorLength: 160 }, () => {})
  res.end()
}`
const READS = `import { readFile } from 'node:fs/promises'
const read = async () => { await readFile(import.meta.filename); setTimeout(read, 20) }
export default (req, res) => { void read(); res.end() }`

async function load(t: Parameters<typeof writeSite>[0], thread: DrivenThread, generation: number, text: string) {
  await thread.loadWell({ generation, module: join(writeSite(t, { 'main.mjs': text }), 'main.mjs') })
  await thread.get(generation)
}

/** Has the process measured so often, or until its helper threads are late. */
async function measure(worker: WorkerDriver, times: number): Promise<HelpersReport | undefined> {
  const count = (): number => worker.reports.filter(({ type }) => type === 'sample').length
  const late = (): HelpersReport | undefined => worker.reports.find((report) => report.type === 'helpers')
  for (let turn = 0; turn < times && late() === undefined; turn++) {
    const before = count()
    worker.order({ type: 'sample' })
    await until(worker.news.subscribe, () => count() > before || undefined, 'a sample')
    // What the pool does is to have passed some time in between.
    await delay(20)
  }
  return late()
}

for (const [what, text] of [
  ['that are begun', KEYS],
  ['that were begun before', MADE],
] as const) {
  test(`the slow jobs of a site ${what} are told as its own, in whichever thread it is`, async (t) => {
    const worker = await WorkerDriver.start(t)
    const [one, two] = [await worker.startThread(), await worker.startThread()]
    await load(t, one, 1, READS)
    await load(t, two, 2, READS)
    await load(t, two, 3, text)

    const report = await measure(worker, 400)

    assert.ok(report !== undefined, 'the helper threads were never late')
    const { lateMs, ranMs, countedMs, uses } = report
    const costOf = (generation: number): number => {
      return uses.filter((use) => use.generation === generation).reduce((sum, { costMs }) => sum + costMs, 0)
    }
    assert.ok(lateMs >= 250, `${lateMs}`)
    assert.ok(ranMs > countedMs * 0.3, `ran for ${ranMs} of ${countedMs} ms`)
    assert.ok(costOf(3) > ranMs / 4, JSON.stringify({ ranMs, uses }))
    assert.ok(costOf(3) > 10 * (costOf(1) + costOf(2)), JSON.stringify(uses))
    assert.ok(uses.some((use) => use.generation === 3 && use.thread === two.number))
  })
}

test('helper threads that are idle are never told of', async (t) => {
  const worker = await WorkerDriver.start(t)
  const thread = await worker.startThread()
  await load(t, thread, 1, READS)

  assert.equal(await measure(worker, 10), undefined)
})
