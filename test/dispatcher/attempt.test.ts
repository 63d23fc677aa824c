/** Faults of our own in what goes on with a request later, over real sockets. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { hashSync } from '@node-rs/bcrypt'
import { pino } from 'pino'
import { SiteCache } from '../../src/dispatcher/cache.ts'
import { ServerCache } from '../../src/dispatcher/cache-store.ts'
import { DoorKeeper, doorSteps } from '../../src/dispatcher/doors.ts'
import { HeldBodies } from '../../src/dispatcher/held-bodies.ts'
import { PLAIN_FOLDER } from '../../src/dispatcher/static-folder.ts'
import { mountStep } from '../../src/dispatcher/static-mounts.ts'
import type { Answerer, Step, Visit } from '../../src/dispatcher/visit.ts'
import { through } from '../../src/dispatcher/visit.ts'
import type { Reply } from '../helpers/box.ts'
import { send } from '../helpers/box.ts'
import { makeFolder } from '../helpers/folder.ts'
import { startFront } from '../helpers/tls-front.ts'

type Ask = (options?: { method?: string; headers?: Record<string, string>; body?: string }) => Promise<Reply>

/** @returns asks what has this step before it, and the lines of the log */
async function serve(t: TestContext, step: Step, last: Answerer = fail): Promise<{ ask: Ask; lines: string[] }> {
  const lines: string[] = []
  const log = pino({}, { write: (line: string) => void lines.push(line) })
  const sites = { one: { domains: 'one.test', answer: through([step], last) } }
  const { port } = await startFront(t, sites, undefined, { log })
  const ask: Ask = ({ body, method = 'GET', headers = {} } = {}) =>
    send({ host: '127.0.0.1', port, method, agent: false, headers: { host: 'one.test', ...headers } }, body)
  return { ask, lines }
}

function newCache(): SiteCache {
  const bytes = 1024 * 1024
  const caches = new ServerCache(bytes)
  const settings = { memoryBytes: bytes, largestBytes: bytes, clientControl: true, keep: false }
  return new SiteCache(caches, caches.open('one', settings), false)
}

function fail(): never {
  throw new Error('a fault of ours')
}

function assertTold(lines: string[]): void {
  assert.equal(lines.length, 1)
  assert.match(lines[0] as string, /a fault of ours[\s\S]*"msg":"handling a request failed"/)
}

test('a fault behind a password that had to be checked is answered and logged', async (t) => {
  const nothing = { allow: undefined, deny: undefined, rate: undefined, headers: undefined, errors: undefined }
  const auth = { realm: 'r', users: { ann: hashSync('sesame', { cost: 4 }) } }
  const [step] = doorSteps('one', { ...nothing, auth }, new DoorKeeper())
  const { ask, lines } = await serve(t, step as Step)

  const reply = await ask({ headers: { authorization: `Basic ${btoa('ann:sesame')}` } })

  assert.equal(reply.status, 500)
  assertTold(lines)
})

test('a fault behind a body that was held is answered and logged', async (t) => {
  const bodies = new HeldBodies()
  const { ask, lines } = await serve(t, ({ req, res }) => {
    bodies.take({ req, res, waitMs: 20_000, mostBytes: 100_000, mayBeSlow: () => false, onReady: fail })
  })

  const reply = await ask({ method: 'POST', body: 'text' })

  assert.equal(reply.status, 500)
  assertTold(lines)
})

test('a fault behind a flight that was waited for costs neither who flew nor the others who waited', async (t) => {
  const cache = newCache()
  const asked: Visit[] = []
  const allCame = Promise.withResolvers<void>()
  let came = 0
  const step: Step = (visit, next) => {
    cache.handle(visit, next)
    if (++came === 3) allCame.resolve()
  }
  const { ask, lines } = await serve(t, step, (visit) => {
    if (asked.push(visit) === 2) fail()
    else if (asked.length > 2) visit.res.end('third')
  })
  const replies = [ask(), ask(), ask()]
  await allCame.promise

  asked[0]?.res.writeHead(200, { 'cache-control': 'no-store' }).end('first')

  const statuses = (await Promise.all(replies)).map(({ status }) => status)
  assert.deepEqual(statuses.sort(), [200, 200, 500])
  assertTold(lines)
})

test('a fault behind a folder that has no such file is answered and logged', async (t) => {
  const { ask, lines } = await serve(t, mountStep('', { ...PLAIN_FOLDER, root: makeFolder(t) }))

  const reply = await ask()

  assert.equal(reply.status, 500)
  assertTold(lines)
})

test('what is sent in the place of a fault says that the connection ends, as it does', async (t) => {
  let isWell = true
  const { ask, lines } = await serve(t, newCache().handle, ({ res }) => {
    if (!isWell) fail()
    res.writeHead(200, { 'cache-control': 'max-age=1, stale-if-error=60', age: '2' }).end('page')
  })
  await ask()
  isWell = false

  const { status, text, headers } = await ask({ headers: { connection: 'keep-alive' } })

  assert.deepEqual([status, text, headers.connection], [200, 'page', 'close'])
  assertTold(lines)
})
