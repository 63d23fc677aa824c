import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { LoadOrder, LoadReport } from '../../src/protocol/frames.ts'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenRequest, DrivenThread } from '../helpers/thread-driver.ts'
import { fixture, shareThread } from '../helpers/thread-driver.ts'

const require = createRequire(import.meta.url)
let thread: DrivenThread
let generation = 0

shareThread((it) => {
  thread = it
})

/** Loads a fixture that must load. */
async function load(name: string, order: Partial<LoadOrder> = {}): Promise<{ site: number; report: LoadReport }> {
  const site = ++generation
  const report = await thread.loadWell({ generation: site, module: fixture(`shapes/${name}`), ...order })
  return { site, report }
}

const answers: [string, string, RegExp][] = [
  ['handler.mjs', 'handler', /^handler \/$/],
  ['handler.cjs', 'handler', /^commonjs true true$/],
  ['handler.ts', 'handler', /^typescript \/$/],
  ['listen.cjs', 'listen', /^listening on 3000 \/$/],
  ['listen.mjs', 'listen', /^\["listening",true,"called back","IPv4",true\]$/],
  ['listen-later.ts', 'listen', /^https, later$/],
  ['two-servers.cjs', 'listen', /^metrics$/],
  ['exported-server.mjs', 'listen', /^exported server$/],
  ['export-then-listen.cjs', 'handler', /^app$/],
  ['fetch.mjs', 'fetch', /^fetch GET http:\/\/test.example\/ undefined$/],
  ['fetch-named.ts', 'fetch', /^{"path":"\/"}$/],
  ['fastify-instance.ts', 'fastify', /^{"instance":true}$/],
  ['fastify-listen.mjs', 'listen', /^{"listening":true,"addresses":true}$/],
  ['express5.mjs', 'listen', /^{"ip":"192.0.2.7","secure":false,"hostname":"test.example","protocol":"http"}$/],
  ['express4.cjs', 'handler', /^{"ip":"192.0.2.7","secure":false,"hostname":"test.example","protocol":"http"}$/],
  ['koa.mjs', 'handler', /^{"path":"\/","ip":"192.0.2.7","cwd":".+shapes"}$/],
  ['koa-listen.cjs', 'listen', /^koa listens$/],
  ['hono.ts', 'fetch', /^{"host":"test.example"}$/],
  ['hono-server.mjs', 'listen', /^served by @hono\/node-server$/],
]

for (const [name, shape, answer] of answers) {
  test(`${name} is taken for ${shape} and answers`, async () => {
    const { site, report } = await load(name)
    const reply = await thread.get(site)

    assert.equal(report.shape, shape)
    assert.match(reply.text, answer)
    assert.ok(report.files.includes(fixture(`shapes/${name}`)), String(report.files))
  })
}

test('a fetch handler gets the environment of its site', async () => {
  const { site } = await load('fetch.mjs', { env: { NAME: 'value' } })

  const reply = await thread.get(site)

  assert.match(reply.text, / value$/)
})

test('a function of a request gets its body', async () => {
  const { site, report } = await load('fetch-function.cjs')

  const reply = await thread.get(site, '/', { method: 'POST', body: 'body' })

  assert.equal(report.shape, 'fetch')
  assert.equal(reply.text, 'function body')
})

test('a Fastify plugin gets its options and the settings it exports', async () => {
  const { site, report } = await load('plugin.mjs', { options: { greeting: 'hi' } })

  const reply = await thread.get(site, '/HELLO')
  const echo = await thread.get(site, '/echo', {
    method: 'POST',
    headers: ['Host', 'x', 'Content-Type', 'application/json', 'Content-Length', '7'],
    body: '{"a":1}',
  })
  const listened = await thread.get(site, '/listened')

  assert.equal(report.shape, 'fastify')
  assert.deepEqual(reply.json, { greeting: 'hi', address: true, ip: '192.0.2.7' })
  assert.deepEqual(echo.json, { a: 1 })
  assert.deepEqual(listened.json, { listened: true })
})

/** A site with a `fastify` of its own: vhostel's, marked, and said to be of this version. */
const withOwnFastify = (t: TestContext, version: string): string =>
  writeSite(t, {
    'site.mjs': `export default async function (fastify) {
      let listened = false
      fastify.addHook('onListen', async () => { listened = true })
      fastify.get('/', async () => ({ whose: fastify.whose, listened }))
    }`,
    'node_modules/fastify/package.json': JSON.stringify({ name: 'fastify', version, main: 'fastify.js' }),
    'node_modules/fastify/fastify.js': `const fastify = require(${JSON.stringify(require.resolve('fastify'))})
      module.exports = (settings) => fastify(settings).decorate('whose', 'of fastify ${version}')`,
  })

for (const [version, listened] of [
  ['5.0.1', true],
  // Before 4 nothing can hear of it, and a plugin never had a port.
  ['3.29.5', false],
] as const) {
  test(`a Fastify plugin is registered in an instance of the site's own fastify ${version}`, async (t) => {
    const module = join(withOwnFastify(t, version), 'site.mjs')
    const { shape } = await thread.loadWell({ generation: ++generation, module })

    const reply = await thread.get(generation)

    assert.equal(shape, 'fastify')
    assert.deepEqual(reply.json, { whose: `of fastify ${version}`, listened })
  })
}

test('an error in a Fastify route is a 500 and has its reason in the log', async () => {
  const { site } = await load('plugin.mjs')

  const reply = await thread.get(site, '/fail')

  assert.equal(reply.status, 500)
  const line = await thread.log(site, /a route that fails/)
  assert.equal(line.level, 'err')
  assert.match(line.text, /plugin\.mjs:\d+/)
})

test('a module that awaits the end of its server is live, and an error at its end is in its log', async () => {
  const { site, report } = await load('listen-to-the-end.mjs', { startTimeoutMs: 200 })

  assert.equal(report.shape, 'listen')
  assert.equal((await thread.get(site)).text, 'until it is closed')
  assert.equal((await thread.get(site, '/close')).text, 'until it is closed')
  await thread.log(site, /the end of the server/)
})

test('http_port says which of several servers is the site', async () => {
  const { site } = await load('two-servers.cjs', { httpPort: 8080 })

  assert.equal((await thread.get(site)).text, 'the site')
})

test('without it the first is the site, and its log says that nobody comes to the others', async () => {
  const { site } = await load('two-servers.cjs')

  const line = await thread.log(site, /no visitor comes/)

  assert.match(
    line.text,
    /^listens on port \d+ too, .* what listens on port \d+; http_port = \d+ would make it this one$/,
  )
})

test('an app that is exported and listens later gets its upgrades too', async () => {
  const { site } = await load('export-then-listen.cjs')

  const first = await thread.get(site)
  const upgraded = await upgradeWhenListening(site)

  assert.equal(first.text, 'app')
  assert.match(upgraded.text, /upgraded$/)
})

/** Asks for an upgrade until there is a server that takes it. */
async function upgradeWhenListening(site: number): Promise<DrivenRequest> {
  const deadline = performance.now() + 5000
  for (;;) {
    const request = await thread.get(site, '/', { upgrade: true })
    if (request.types.includes('tunnel')) return request
    assert.ok(performance.now() < deadline, 'no server took the upgrade')
  }
}

test('a server that logs by file descriptor logs for its site', async () => {
  const { site } = await load('fastify-listen.mjs')

  await thread.get(site)

  const line = await thread.log(site, /pino writes by file descriptor/)
  assert.equal(JSON.parse(line.text).level, 30)
})

test('a said type wins over what the file looks like', async () => {
  const { report } = await load('express4.cjs', { type: 'handler' })
  const failed = await thread.load({ generation: ++generation, module: fixture('shapes/fetch.mjs'), type: 'fastify' })

  assert.equal(report.shape, 'handler')
  assert.match(failed.failure?.message ?? '', /type = fastify is set/)
})

test('a command of a package is the program that it is, whatever it exports', async (t) => {
  const folder = writeSite(t, {
    'node_modules/tool/cli.cjs': `
      module.exports = (files, options) => { throw new Error('called as a plugin') }
      const server = require('node:http').createServer((req, res) => res.end('served'))
      setTimeout(() => server.listen(3000), 50)`,
  })
  mkdirSync(join(folder, 'node_modules/.bin'))
  symlinkSync('../tool/cli.cjs', join(folder, 'node_modules/.bin/tool'))

  const { shape } = await thread.loadWell({ generation: ++generation, module: join(folder, 'node_modules/.bin/tool') })

  assert.equal(shape, 'listen')
  assert.equal((await thread.get(generation)).text, 'served')
})
