/**
 * Sites that change what all sites of their thread share: it is undone at once, the neighbours go on, and the
 * dispatcher hears which site it was.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { fixture, startThread, WorkerDriver } from '../helpers/thread-driver.ts'

type Context = Parameters<typeof writeSite>[0]

/** Answers with what it finds of what is shared. */
const NEIGHBOUR = `
  const http = require('http')
  module.exports = (req, res) => {
    const shown = []
    for (const key in []) shown.push(key)
    for (const key in {}) shown.push(key)
    const list = [3, 1].map((n) => n + 1)
    list.push(new Map([['a', 7]]).get('a'))
    Promise.resolve().then(() => setTimeout(() => {
      res.end(JSON.stringify({ list, shown, own: Object.hasOwn(http.Server.prototype, 'emit'), fetch: fetch.name }))
    }, 1))
  }`
const WELL = { list: [4, 2, 7], shown: [], own: false, fetch: 'fetch' }

/** Loads a site of one file. */
async function site(t: Context, thread: DrivenThread, generation: number, text: string): Promise<void> {
  const folder = writeSite(t, { 'main.cjs': text })
  await thread.loadWell({ generation, module: join(folder, 'main.cjs') })
}

function offence(thread: DrivenThread, generation: number, pattern: RegExp): Promise<unknown> {
  const find = () => thread.offences.find((one) => one.generation === generation && pattern.test(one.text))
  return thread.wait(find, `an offence like ${pattern}; got ${JSON.stringify([thread.offences, thread.logs])}`)
}

const FRAMEWORKS = ['express.cjs', 'fastify5.mjs', 'hono4.mjs', 'koa3.mjs', 'plain.mjs']

/** Each at a request, at once: code and what is told of it. */
const PATCHES: [code: string, told: RegExp][] = [
  ['Array.prototype.push = () => { throw new Error("patched") }', /^patched Array\.prototype\.push$/],
  [
    'for (const n of ["push", "map", "shift", "slice", "splice"]) Array.prototype[n] = null',
    /^patched Array\.prototype\.push, .*\.shift, .*\.splice/,
  ],
  ['Array.prototype[Symbol.iterator] = null', /^patched Array\.prototype\[Symbol\(Symbol\.iterator\)\]$/],
  ['Array.prototype.last = function () {}', /^added Array\.prototype\.last$/],
  ['Object.prototype.polluted = true', /^added Object\.prototype\.polluted$/],
  ['delete Map.prototype.get', /^patched Map\.prototype\.get$/],
  ['require("http").Server.prototype.emit = () => {}', /^patched http\.Server\.prototype\.emit$/],
  ['require("events").prototype.emit = () => false', /^patched EventEmitter\.prototype\.emit$/],
  ['JSON.stringify = () => "{}"', /^patched JSON\.stringify$/],
  ['Promise.prototype.then = () => {}', /^patched Promise\.prototype\.then$/],
  ['Function.prototype.call = null', /^patched Function\.prototype\.call$/],
  ['String.prototype.split = () => []', /^patched String\.prototype\.split$/],
  ['globalThis.setTimeout = () => {}', /^patched globalThis\.setTimeout$/],
  ['globalThis.Promise = class {}', /^patched globalThis\.Promise$/],
]

test('a change made while a request is answered is undone at once, and told of by site', async (t) => {
  const thread = await startThread(t)
  await site(t, thread, 1, NEIGHBOUR)
  let generation = 1
  for (const [code, told] of PATCHES) {
    generation++
    await site(t, thread, generation, `module.exports = (req, res) => { res.end('done'); ${code} }`)

    thread.request(generation)
    const reply = await thread.get(1)

    assert.deepEqual(reply.json, WELL, code)
    await offence(thread, generation, told)
  }
  assert.deepEqual(
    thread.offences.map((one) => one.generation),
    PATCHES.map((_, at) => at + 2),
  )
  assert.equal(thread.isClosed, false)
})

/** Found by the look at everything. */
const RARE: [code: string, told: RegExp][] = [
  ['Object.defineProperty(globalThis, "fetch", { value() {}, configurable: true })', /^patched globalThis\.fetch$/],
  ['Set.prototype.has = () => true', /^patched Set\.prototype\.has$/],
  ['Object.defineProperty(Map.prototype, "size", { get: () => 0 })', /^patched Map\.prototype\.size$/],
  ['require("http").request = () => {}', /^patched http\.request$/],
  ['require("fs").readFile = () => {}', /^patched fs\.readFile$/],
  ['require("net").Server.prototype.once = () => {}', /^patched net\.Server\.prototype\.once$/],
  ['require("module").prototype.require = () => ({})', /^patched Module\.prototype\.require$/],
  ['console.log = () => {}', /^patched console\.log$/],
  ['require("crypto").createHash = () => {}', /^patched crypto\.createHash$/],
  ['require("tls").createSecureContext = () => {}', /^patched tls\.createSecureContext$/],
  ['require("util").promisify = () => {}', /^patched util\.promisify$/],
  ['globalThis.FormData = class {}', /^patched globalThis\.FormData$/],
  ['globalThis.TypeError = class {}', /^patched globalThis\.TypeError$/],
  ['process.stdout.write = () => {}', /^patched process\.stdout\.write$/],
  ['globalThis.process = {}', /^patched globalThis\.process$/],
  [
    'globalThis[Symbol.for("undici.globalDispatcher.1")] = { dispatch() {} }',
    /^patched globalThis\[Symbol\(undici\.globalDispatcher\.1\)\]$/,
  ],
  [
    'Object.defineProperty(Object.prototype, "hidden", { value: 1, configurable: true })',
    /^added Object\.prototype\.hidden$/,
  ],
]

test('a change made at load is undone before the site serves, and told of', async (t) => {
  const thread = await startThread(t)
  await site(t, thread, 1, NEIGHBOUR)
  let generation = 1
  for (const [code, told] of RARE) {
    generation++

    await site(t, thread, generation, `${code}; module.exports = (req, res) => res.end('done')`)

    await offence(thread, generation, told)
    assert.deepEqual((await thread.get(1)).json, WELL, code)
  }
  assert.equal(thread.offences.length, RARE.length)
})

test('a site that patches the storage of contexts takes nothing from its neighbours', async (t) => {
  const thread = await startThread(t)
  await site(t, thread, 1, NEIGHBOUR)
  const text = `module.exports = (req, res) => {
    const { AsyncLocalStorage } = require('async_hooks')
    for (const name of ['run', 'exit', 'getStore', 'enterWith']) AsyncLocalStorage.prototype[name] = () => { throw new Error('patched') }
    res.end()
  }`
  await site(t, thread, 2, text)

  thread.request(2)

  assert.deepEqual((await thread.get(1)).json, WELL)
  await offence(thread, 2, /patched AsyncLocalStorage\.prototype\.run/)
})

test('a change from a timer is put on the site that has the function, not on the one that was called next', async (t) => {
  const thread = await startThread(t)
  await site(t, thread, 1, NEIGHBOUR)
  const text = `module.exports = (req, res) => {
    res.end()
    setTimeout(() => { Set.prototype.has = () => true; Array.prototype.map = () => [] }, 5)
  }`
  await site(t, thread, 2, text)
  await site(t, thread, 3, NEIGHBOUR)

  await thread.get(2)
  await offence(thread, 2, /Set\.prototype\.has/)

  assert.deepEqual((await thread.get(1)).json, WELL)
  assert.deepEqual([...new Set(thread.offences.map((one) => one.generation))], [2])
})

test('a fetch that a site sets is its own, and is not told of', async (t) => {
  const thread = await startThread(t)
  await site(t, thread, 1, NEIGHBOUR)
  const text = `
    const before = globalThis.fetch
    globalThis.fetch = async function wrapped(url) { return url === '/own' ? new Response('own') : before(url) }
    module.exports = async (req, res) => {
      await new Promise((done) => setTimeout(done, 1))
      const seen = [before.name, fetch.name, globalThis.fetch === fetch, await (await fetch('/own')).text()]
      res.end(JSON.stringify([...seen, await (await fetch('data:,native')).text()]))
    }`
  await site(t, thread, 2, text)
  await site(t, thread, 3, NEIGHBOUR)

  const [own, ...neighbours] = [await thread.get(2), await thread.get(1), await thread.get(3)]

  assert.deepEqual(own.json, ['fetch', 'wrapped', true, 'own', 'native'])
  for (const neighbour of neighbours) assert.deepEqual(neighbour.json, WELL)
  assert.deepEqual(thread.offences, [])
})

test('what harms nobody stays, and is not told of', async (t) => {
  const thread = await startThread(t)
  const text = `
    Object.defineProperty(Array.prototype, 'own', { value: () => 'own', configurable: true })
    Reflect.getMetadata = () => 'metadata'
    Promise.later = () => 'polyfill'
    require('http').IncomingMessage.prototype.logIn = () => 'added'
    require('events').EventEmitter.defaultMaxListeners = 50
    Error.stackTraceLimit = 30
    globalThis.ownName = 'own name'
    const fs = require('fs'); const { closeSync } = fs
    fs.closeSync = (fd) => closeSync(fd)
    process.cwd = () => '/elsewhere'
    process.emit = () => false
    module.exports = (req, res) => res.end([[].own(), Reflect.getMetadata(), Promise.later(), req.logIn(), ownName].join())`
  await site(t, thread, 1, text)
  await site(t, thread, 2, 'module.exports = (req, res) => res.end(process.cwd())')

  assert.equal((await thread.get(1)).text, 'own,metadata,polyfill,added,own name')
  assert.notEqual((await thread.get(2)).text, '/elsewhere')
  assert.deepEqual(thread.offences, [])
})

test('what well-known packages put in the place of shared things is undone, and nobody is blamed', async (t) => {
  const thread = await startThread(t)
  // As @hono/node-server and core-js do it.
  const text = `
    for (const name of ['Request', 'Response']) Object.defineProperty(globalThis, name, { value: class Lighter {} })
    Function.prototype.toString = function toString() { return 'other' }
    module.exports = (req, res) => res.end()`
  await site(t, thread, 1, text)
  await site(
    t,
    thread,
    2,
    'module.exports = (req, res) => res.end([Request.name, Response.name, String(() => 1)].join())',
  )

  assert.equal((await thread.get(2)).text, 'Request,Response,() => 1')
  assert.deepEqual(thread.offences, [])
})

/** Answers with the stack of an error of its own, and what it finds to make one. */
const STACK = `module.exports = (req, res) => {
    let stack
    try { stack = new Error('own').stack } catch (error) { stack = 'threw ' + error }
    setTimeout(() => res.end(JSON.stringify({ stack, later: new Error('later').stack, prepares: typeof Error.prepareStackTrace })), 1)
  }`

test('what a site sets as Error.prepareStackTrace makes its own stacks, and nobody else’s', async (t) => {
  const thread = await startThread(t)
  await site(t, thread, 1, STACK)
  await site(
    t,
    thread,
    2,
    `Error.prepareStackTrace = (error, sites) => error.message + ':' + sites[0].getLineNumber()\n${STACK}`,
  )
  await site(t, thread, 3, `${STACK}\nError.prepareStackTrace = () => { throw new Error('no stack') }`)

  const [neighbour, own, broken] = [await thread.get(1), await thread.get(2), await thread.get(3)]

  assert.match((neighbour.json as { stack: string }).stack, /^Error: own\n {4}at .*main\.cjs/)
  assert.match((neighbour.json as { later: string }).later, /^Error: later\n {4}at /)
  assert.deepEqual(own.json, { stack: 'own:4', later: 'later:5', prepares: 'function' })
  assert.equal(broken.status, 500)
  assert.equal((await thread.get(1)).status, 200)
})

for (const code of ['Error.stackTraceLimit = 0', 'delete Error.stackTraceLimit', "Error.stackTraceLimit = 'many'"]) {
  test(`a site cannot take the stacks of its neighbours: ${code}`, async (t) => {
    const thread = await startThread(t)
    const deep = 'const down = (n) => (n === 0 ? new Error().stack : down(n - 1))'
    await site(t, thread, 1, `${deep}; module.exports = (req, res) => res.end(String(down(20).split('\\n').length))`)
    await site(t, thread, 2, `module.exports = (req, res) => { ${code}; res.end(String(Error.stackTraceLimit)) }`)
    const before = (await thread.get(1)).text

    const set = (await thread.get(2)).text
    const deadline = performance.now() + 5_000
    let after: string
    do after = (await thread.get(1)).text
    while (after !== before && performance.now() < deadline)

    assert.notEqual(set, '10')
    assert.deepEqual([before, after], ['11', '11'])
    assert.deepEqual(thread.offences, [])
  })
}

test('a site that takes Error.prepareStackTrace away, or defines it, changes it for a moment only', async (t) => {
  const thread = await startThread(t)
  await site(t, thread, 1, STACK)
  await site(t, thread, 2, `delete Error.prepareStackTrace\n${STACK}`)
  await site(
    t,
    thread,
    3,
    `Object.defineProperty(Error, 'prepareStackTrace', { value: () => 'all', configurable: true })\n${STACK}`,
  )

  for (const generation of [1, 2, 3]) {
    const { stack } = (await thread.get(generation)).json as { stack: string }
    assert.match(stack, /^Error: own\n {4}at .*main\.cjs/)
  }
  assert.deepEqual(thread.offences, [])
})

test('a frozen prototype is told of once', async (t) => {
  const thread = await startThread(t)
  await site(t, thread, 1, 'Object.freeze(Set.prototype); module.exports = (req, res) => res.end()')

  await offence(thread, 1, /^froze Set\.prototype, which cannot be undone$/)
  await site(t, thread, 2, 'module.exports = (req, res) => res.end()')

  assert.deepEqual(
    thread.offences.map((one) => one.generation),
    [1],
  )
})

test('in a process of its own a site may change what it likes', async (t) => {
  const worker = await WorkerDriver.start(t)
  const thread = await worker.startThread({ alone: true })
  const text = "Array.prototype.last = () => 'last'; module.exports = (req, res) => res.end([].last())"
  await site(t, thread, 1, text)

  assert.equal((await thread.get(1)).text, 'last')
  assert.equal((await thread.get(1)).text, 'last')
  assert.deepEqual(thread.offences, [])
})

// `domain`, and `repl` which loads it, change every emitter of the thread.
test('frameworks and well-known packages are nothing to tell of', async (t) => {
  const thread = await startThread(t)
  let generation = 0
  for (const name of FRAMEWORKS)
    await thread.loadWell({
      generation: ++generation,
      module: fixture(`frameworks/${name}`),
      env: { EXPRESS: 'express' },
    })
  const text = `
    const from = require('module').createRequire(${JSON.stringify(import.meta.url)})
    for (const name of ['ws', 'pino', 'body-parser', 'chokidar', 'zod', 'ajv', 'debug', 'depd', 'side-channel', 'send']) from(name)
    for (const name of require('module').builtinModules)
      if (!/^(_|sys$|punycode$|domain$|repl$|trace_events$|wasi$)/.test(name)) require(name)
    for (const name of Object.getOwnPropertyNames(globalThis)) globalThis[name]
    for (const name of ['crypto', 'tls', 'zlib', 'util', 'url', 'querystring', 'async_hooks', 'http', 'https', 'net', 'stream', 'fs'])
      for (const member of Object.getOwnPropertyNames(require(name))) { try { require(name)[member] } catch {} }
    module.exports = (req, res) => res.end()`
  await site(t, thread, ++generation, text)
  for (let of = 1; of <= generation; of++) await thread.get(of)

  await site(t, thread, ++generation, "module.exports = (req, res) => res.end('looked at everything')")

  assert.deepEqual(thread.offences, [])
  const undone = thread.logs.filter((line) => line.generation === 0)
  assert.deepEqual(undone, [])
})
