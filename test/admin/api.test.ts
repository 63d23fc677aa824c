import assert from 'node:assert/strict'
import { renameSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createNetServer } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { startAdmin } from '../../src/admin/api.ts'
import { ADMIN_SOCKET, adminClient, ifRunning } from '../../src/admin/client.ts'
import type { AdminActions, SiteStatus, StatusReport } from '../../src/admin/reports.ts'
import { listenUnix } from '../../src/core/listen-unix.ts'
import { send } from '../helpers/box.ts'
import { makeFolder } from '../helpers/folder.ts'

const BLOG: SiteStatus = {
  name: 'blog',
  kind: 'module',
  file: '/x/sites-enabled/blog.ini',
  domains: ['blog.test'],
  urls: [],
  state: 'live',
  problems: [],
  shape: 'fetch',
  generation: 1,
  threads: 1,
  inFlight: 0,
  waiting: 0,
  requests: 7,
  residency: undefined,
  throttledUntil: undefined,
}

const STATUS: StatusReport = {
  version: '0.0.0',
  pid: 1,
  startedAt: 0,
  configFile: '/x/vhostel.ini',
  listen: [],
  defaultSite: undefined,
  pool: { processes: 1, threadsPerProcess: 1, concurrency: 1, reason: '', ready: 1, groups: [] },
  sites: [BLOG],
  problems: [],
  awaitsRestart: [],
  logs: [],
}

const ACTIONS: AdminActions = {
  status: () => STATUS,
  reload: async (site) => ({
    sites: STATUS.sites.filter(({ name }) => site === undefined || name === site),
    problems: [],
    awaitsRestart: [],
  }),
  match: (url) => ({ url, host: undefined, site: undefined, captures: {}, rules: [] }),
  advice: (windowMs) => ({
    source: 'server',
    fromMs: 0,
    toMs: windowMs,
    machine: { cores: 1, memoryBytes: 1 },
    processes: [],
    pools: [],
    sites: [],
    arrivals: [],
  }),
  purge: (site, url) => ({ site, urls: url === undefined ? 2 : 1, bytes: 10 }),
  stack: async (site) => ({ site, threads: [{ thread: 1, pid: 7, stack: '' }] }),
}

/** As it is after a way through JSON. */
function plain<T>(value: T): unknown {
  return JSON.parse(JSON.stringify(value))
}

async function open(t: TestContext, actions = ACTIONS): Promise<string> {
  const dir = makeFolder(t)
  const admin = await startAdmin(actions, join(dir, ADMIN_SOCKET))
  t.after(() => admin[Symbol.asyncDispose]())
  return dir
}

test('what the server says of itself arrives at the client as it is', async (t) => {
  const dir = await open(t)
  const client = adminClient(dir)

  const [status, all, one, match, stack] = [
    await client.status(),
    await client.reload(),
    await client.reload('blog'),
    await client.match('http://a.test/?x=1&y=ü'),
    await client.stack('blog'),
  ]

  // What is undefined is left out on the way.
  assert.deepEqual(status, plain(STATUS))
  assert.deepEqual([all.sites, one.sites], [plain([BLOG]), plain([BLOG])])
  assert.equal(match.url, 'http://a.test/?x=1&y=ü')
  assert.deepEqual(stack, { site: 'blog', threads: [{ thread: 1, pid: 7, stack: '' }] })
})

test('only the owner may use the socket', async (t) => {
  const dir = await open(t)

  assert.equal(statSync(join(dir, ADMIN_SOCKET)).mode & 0o777, 0o600)
})

test('an error arrives with its code and its words, whatever it is', async (t) => {
  const failing: AdminActions = {
    ...ACTIONS,
    advice: () => {
      throw Object.assign(new Error('not today'), { code: 'VHOSTEL_TEST' })
    },
  }
  const dir = await open(t, failing)
  const client = adminClient(dir)

  await assert.rejects(client.advice(1), { code: 'VHOSTEL_TEST', message: 'not today' })
  for (const ask of [client.reload, client.stack]) {
    await assert.rejects(ask('bolg'), {
      code: 'VHOSTEL_SITE_UNKNOWN',
      message: "there is no site 'bolg' in the sites folder; did you mean blog?",
    })
  }
})

test('a question that is not known, or badly asked, is answered with code and message', async (t) => {
  const dir = await open(t)
  const socketPath = join(dir, ADMIN_SOCKET)
  const headers = { 'content-type': 'application/json' }

  const unknown = await send({ socketPath, path: '/nothing' })
  const bad = await send({ socketPath, path: '/reload', method: 'POST', headers }, '{"site":{}}')
  const noJson = await send({ socketPath, path: '/reload', method: 'POST', headers }, 'site=blog')
  const large = await send({ socketPath, path: '/reload', method: 'POST', headers }, ' '.repeat(2 * 1024 ** 2))
  const noUrl = await send({ socketPath, path: '/match' })
  const noSite = await send({ socketPath, path: '/stack' })
  const noTime = await send({ socketPath, path: '/advice?windowMs=soon' })
  const noTarget = await send({ socketPath, path: '//' })

  assert.deepEqual([unknown.status, noTarget.status], [404, 404])
  assert.deepEqual(
    [bad, noJson, large, noUrl, noSite, noTime].map(({ status }) => status),
    [400, 400, 400, 400, 400, 400],
  )
  assert.match(large.text, /POST \/reload: more than 1048576 bytes/)
  for (const reply of [unknown, bad, noJson, large, noUrl, noSite, noTime, noTarget]) {
    assert.deepEqual(Object.keys(JSON.parse(reply.text)), ['code', 'message'])
  }
})

test('a socket that an ended server left behind is replaced; one on which somebody answers is not', async (t) => {
  const dir = makeFolder(t)
  const path = join(dir, ADMIN_SOCKET)
  await leaveStale(path)

  const admin = await startAdmin(ACTIONS, path)
  t.after(() => admin[Symbol.asyncDispose]())

  assert.equal((await adminClient(dir).status()).pid, 1)
  await assert.rejects(startAdmin(ACTIONS, path), { code: 'VHOSTEL_ADDRESS_IN_USE' })
})

test('a path that is too long for a socket is refused with the limit', async (t) => {
  const path = join(makeFolder(t), 'x'.repeat(100), ADMIN_SOCKET)

  await assert.rejects(startAdmin(ACTIONS, path), { code: 'VHOSTEL_SOCKET_PATH_TOO_LONG', message: /107/ })
})

test('after it is closed nobody answers, and a question that is open then is not left waiting', async (t) => {
  const { promise: asked, resolve } = Promise.withResolvers<void>()
  const stuck: AdminActions = {
    ...ACTIONS,
    reload: () => {
      resolve()
      return new Promise(() => {})
    },
  }
  const dir = makeFolder(t)
  const admin = await startAdmin(stuck, join(dir, ADMIN_SOCKET))
  const question = adminClient(dir).reload()
  question.catch(() => {})
  await asked

  await admin[Symbol.asyncDispose]()

  await assert.rejects(question, { code: 'VHOSTEL_NOT_RUNNING' })
  await assert.rejects(adminClient(dir).status(), { code: 'VHOSTEL_NOT_RUNNING' })
})

test('that no server runs is one code, whether its socket is missing, stale, or its folder is', async (t) => {
  const dir = makeFolder(t)
  const client = adminClient(dir)

  await assert.rejects(client.status(), { code: 'VHOSTEL_NOT_RUNNING' })
  await leaveStale(join(dir, ADMIN_SOCKET))
  await assert.rejects(client.status(), { code: 'VHOSTEL_NOT_RUNNING' })
  await assert.rejects(adminClient(join(dir, 'missing')).status(), { code: 'VHOSTEL_NOT_RUNNING' })
  assert.equal(await ifRunning(client.status()), undefined)
})

test('a server that does not answer in time is told from one that is not there', async (t) => {
  const dir = await open(t, { ...ACTIONS, reload: () => new Promise(() => {}) })

  const question = adminClient(dir, { statusMs: 10_000, reloadMs: 50 }).reload()

  await assert.rejects(question, { code: 'VHOSTEL_ADMIN_TIMEOUT', message: /POST \/reload within 50 ms/ })
})

test('a server that stands still is told before the time of a reload is over', async (t) => {
  const dir = makeFolder(t)
  const still = createNetServer()
  await new Promise<void>((resolve) => still.listen(join(dir, ADMIN_SOCKET), resolve))
  t.after(() => still.close())

  const question = adminClient(dir, { statusMs: 50, reloadMs: 5_000 }).reload('blog')

  await assert.rejects(question, { code: 'VHOSTEL_ADMIN_TIMEOUT', message: /within 50 ms; it is busy or stands still/ })
})

test('an answer that is none of ours is told as such', async (t) => {
  const dir = makeFolder(t)
  const other = createServer((_req, res) => res.end('<html>'))
  await listenUnix(other, join(dir, ADMIN_SOCKET))
  t.after(() => other.close())

  await assert.rejects(adminClient(dir).status(), { code: 'VHOSTEL_ADMIN_ANSWER_INVALID', message: /"<html>"/ })
})

test('what does not speak HTTP is told as such', async (t) => {
  const dir = makeFolder(t)
  const other = createNetServer((socket) => socket.end('220 ready\r\n'))
  await new Promise<void>((resolve) => other.listen(join(dir, ADMIN_SOCKET), resolve))
  t.after(() => other.close())

  await assert.rejects(adminClient(dir).status(), {
    code: 'VHOSTEL_ADMIN_ANSWER_INVALID',
    message: /GET \/status .*: it does not speak HTTP;/,
  })
})

/** What a process that was killed leaves: the file of a socket that nobody listens on. */
async function leaveStale(path: string): Promise<void> {
  const server = createNetServer()
  await new Promise<void>((resolve) => server.listen(`${path}.x`, resolve))
  renameSync(`${path}.x`, path)
  await new Promise((resolve) => server.close(resolve))
}
