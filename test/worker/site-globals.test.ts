/** Globals that sites of one thread make: each has its own, as in a process of its own. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeFolder } from '../helpers/folder.ts'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { startThread, WorkerDriver } from '../helpers/thread-driver.ts'

type Context = Parameters<typeof writeSite>[0]

async function site(t: Context, thread: DrivenThread, generation: number, text: string, name?: string): Promise<void> {
  const module = join(writeSite(t, { 'main.cjs': text }), 'main.cjs')
  await thread.loadWell({ generation, module, ...(name !== undefined && { site: name }) })
}

/** What programs keep in globals: their folder, one connection for all modules, a browser that is none. */
const PROGRAM = `
  global.__basedir = __dirname
  globalThis.db ??= { of: process.env.NAME }
  undeclared = process.env.NAME
  globalThis[Symbol.for('singleton')] ||= process.env.NAME
  module.exports = (req, res) => {
    globalThis.count = (globalThis.count ?? 0) + 1
    setTimeout(() => {
      undeclared += '!'
      res.end(JSON.stringify({
        right: __basedir === __dirname, db: db.of, undeclared, symbol: globalThis[Symbol.for('singleton')], count,
        isThere: 'db' in globalThis && typeof db === 'object',
      }))
    }, 1)
  }`
const STRANGER = `module.exports = (req, res) => res.end(JSON.stringify([
    typeof db, typeof __basedir, typeof undeclared, 'db' in globalThis, globalThis[Symbol.for('singleton')], typeof window,
    typeof document, navigator.userAgent?.slice(0, 5), typeof Array, globalThis instanceof Object,
  ]))`

test('a global that a site makes is its own', async (t) => {
  const thread = await startThread(t)
  for (const [generation, NAME] of [
    [1, 'one'],
    [2, 'two'],
  ] as const) {
    const module = join(writeSite(t, { 'main.cjs': PROGRAM }), 'main.cjs')
    await thread.loadWell({ generation, module, env: { NAME } })
  }
  await site(
    t,
    thread,
    3,
    "global.window = { document: {} }; document = window.document; navigator = { userAgent: 'own' }; module.exports = (req, res) => res.end([typeof window, typeof document, navigator.userAgent].join())",
  )
  await site(t, thread, 4, STRANGER)

  const answers = [await thread.get(1), await thread.get(2), await thread.get(1)].map(({ json }) => json)

  const own = { right: true, isThere: true }
  assert.deepEqual(answers, [
    { ...own, db: 'one', undeclared: 'one!', symbol: 'one', count: 1 },
    { ...own, db: 'two', undeclared: 'two!', symbol: 'two', count: 1 },
    { ...own, db: 'one', undeclared: 'one!!', symbol: 'one', count: 2 },
  ])
  assert.equal((await thread.get(3)).text, 'object,object,own')
  const none = 'undefined'
  assert.deepEqual((await thread.get(4)).json, [none, none, none, false, null, none, none, 'Node.', 'function', true])
  assert.deepEqual(thread.offences, [])
})

test('generations of one site have their globals in common', async (t) => {
  const thread = await startThread(t)
  const text = 'globalThis.made = (globalThis.made ?? 0) + 1; module.exports = (req, res) => res.end(String(made))'
  await site(t, thread, 1, text, 'edited')
  await site(t, thread, 2, text, 'edited')

  assert.deepEqual([(await thread.get(1)).text, (await thread.get(2)).text], ['2', '2'])
})

test('a global that a shared package makes is for all sites that share it, and for nobody twice', async (t) => {
  const thread = await startThread(t)
  const folder = makeFolder(t)
  const add = (file: string, text: string): void => {
    mkdirSync(join(folder, file, '..'), { recursive: true })
    writeFileSync(join(folder, file), text)
  }
  add('node_modules/shared/index.js', 'globalThis.registry ??= new Set(); exports.add = (name) => registry.add(name)')
  const text = `const { add } = require('shared')
    module.exports = (req, res) => res.end([...add(process.env.NAME)].join())`
  for (const [generation, NAME] of [
    [1, 'one'],
    [2, 'two'],
  ] as const) {
    add(`sites/${NAME}/main.cjs`, text)
    await thread.loadWell({ generation, module: join(folder, `sites/${NAME}/main.cjs`), env: { NAME } })
  }

  assert.deepEqual([(await thread.get(1)).text, (await thread.get(2)).text], ['one', 'one,two'])
})

test('code whose site is not known has the globals that only one site has', async (t) => {
  const thread = await startThread(t)
  // What is called back when something was collected has no context, as with some native code.
  const lost = `
    require('v8').setFlagsFromString('--expose-gc')
    const gc = require('vm').runInNewContext('gc')
    global.only = 'only'
    global.both = 'first'
    module.exports = (req, res) => {
      const answer = () => {
        only += ' set'
        res.end([only, typeof both].join())
      }
      const registry = new FinalizationRegistry(answer)
      registry.register({}, 'gone')
      setTimeout(() => gc(), 1)
      res.on('close', () => registry)
    }`
  await site(t, thread, 1, lost)
  await site(t, thread, 2, "global.both = 'second'; module.exports = (req, res) => res.end(typeof only)")

  assert.equal((await thread.get(1)).text, 'only set,undefined')
  assert.equal((await thread.get(2)).text, 'undefined')
})

test('in a process of its own globals are the real ones', async (t) => {
  const worker = await WorkerDriver.start(t)
  const thread = await worker.startThread({ alone: true })
  await site(
    t,
    thread,
    1,
    "global.db = 'db'; module.exports = (req, res) => res.end([Object.hasOwn(globalThis, 'db'), Object.hasOwn(globalThis, 'navigator'), delete globalThis.db, typeof db].join())",
  )

  assert.equal((await thread.get(1)).text, 'true,true,true,undefined')
})
