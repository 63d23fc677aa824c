/**
 * What a site sees as its own (environment, working directory, arguments, log) in every callback, with other sites in the
 * same thread; and that an error is put on the site and the request it belongs to.
 */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { LoadOrder } from '../../src/protocol/frames.ts'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { fixture, shareThread, startThread } from '../helpers/thread-driver.ts'

let thread: DrivenThread
let generation = 0

shareThread((it) => {
  thread = it
})

interface Seen {
  env: string
  kept: string
  imported: string
  cwd: string
  argv: string
}

const CALLBACKS = [
  'atLoad',
  'request',
  'data',
  'end',
  'nextTick',
  'immediate',
  'timeout',
  'promise',
  'fsCallback',
  'fromTimer',
]

/** Loads a site of one file that is written for the test. @returns its generation */
async function site(
  t: { after(end: () => unknown): void },
  text: string,
  order: Partial<LoadOrder> = {},
): Promise<number> {
  const folder = writeSite(t, { 'main.cjs': text })
  await thread.loadWell({ generation: ++generation, module: join(folder, 'main.cjs'), ...order })
  return generation
}

test('twenty sites of one file in one thread each see their own, in every callback', async (t) => {
  const module = fixture('context/where.cjs')
  const sites = Array.from({ length: 20 }, (_, n) => ({
    generation: ++generation,
    root: writeSite(t, {}),
    env: { SITE: `site ${n}` },
  }))
  for (const one of sites) await thread.loadWell({ module, ...one })

  const replies = await Promise.all(
    sites.map(({ generation: of }) => thread.get(of, '/', { method: 'POST', body: 'a body' })),
  )

  for (const [n, reply] of replies.entries()) {
    const { root } = sites[n] as { root: string }
    const { importedCwd, ...callbacks } = reply.json as Record<string, Seen> & { importedCwd: string }
    const own = { env: `site ${n}`, kept: `site ${n}`, imported: `site ${n}`, cwd: root, argv: module }
    assert.deepEqual(callbacks, Object.fromEntries(CALLBACKS.map((name) => [name, own])))
    assert.equal(importedCwd, root)
  }
  for (const [n, one] of sites.entries()) {
    for (const what of ['listening', 'request to', 'written by', 'request closed', 'finished', 'closed']) {
      await thread.log(one.generation, new RegExp(`^${what}.* site ${n}$`))
    }
  }
})

test('an upgraded socket stays in the context of its site', async (t) => {
  const root = writeSite(t, {})
  const of = ++generation
  await thread.loadWell({ generation: of, module: fixture('context/where.cjs'), root, env: { SITE: 'tunnel' } })
  const request = thread.request(of, { upgrade: true })
  await request.frame('tunnel')

  request.send('hello')
  await request.bytes(`HTTP/1.1 101 Switching Protocols\r\n\r\nhello tunnel ${root}`.length)
  request.end()
  await thread.log(of, /^socket ended for tunnel$/)
  await thread.log(of, /^socket closed for tunnel$/)

  assert.match(request.text, new RegExp(`hello tunnel ${root}$`))
})

test('ES modules that import env, argv and cwd by name see their own, whoever came first', async (t) => {
  const own = await startThread(t)
  const text = `
    import { argv, cwd, env } from 'node:process'
    import { syncBuiltinESMExports } from 'node:module'
    syncBuiltinESMExports()
    const look = () => [env.NAME, cwd(), process.env.NAME, 'NAME' in env, Object.keys(env), argv[1], argv.length, [...argv].length, Array.isArray(argv)]
    export default (req, res) => res.end(JSON.stringify(look()))`
  const folders = ['one', 'two'].map(() => writeSite(t, { 'main.mjs': text }))
  for (const [n, folder] of folders.entries()) {
    await own.loadWell({ generation: n, module: join(folder, 'main.mjs'), env: { NAME: `site ${n}` } })
  }

  for (const [n, folder] of folders.entries()) {
    const name = `site ${n}`
    assert.deepEqual((await own.get(n)).json, [
      name,
      folder,
      name,
      true,
      ['NAME'],
      join(folder, 'main.mjs'),
      2,
      2,
      true,
    ])
  }
})

test('what a site sets in its environment is its own', async (t) => {
  const text =
    "process.env.SET = 'here'; delete process.env.GONE; Object.create(require('process').env).SET = 'for a program'; module.exports = (req, res) => res.end(JSON.stringify(process.env))"
  const one = await site(t, text, { env: { GONE: '1' } })
  const other = await site(t, 'module.exports = (req, res) => res.end(JSON.stringify(process.env))')

  assert.deepEqual((await thread.get(one)).json, { SET: 'here' })
  assert.deepEqual((await thread.get(other)).json, {})
})

test('chdir moves one site and checks where to', async (t) => {
  const text = `
    const path = require('path')
    const attempt = (to) => { try { process.chdir(to) } catch (error) { return error.code } return process.cwd() }
    module.exports = (req, res) => res.end([attempt('nowhere'), attempt(__filename), attempt('sub'), path.resolve('x')].join('\\n'))`
  const folder = writeSite(t, { 'main.cjs': text })
  mkdirSync(join(folder, 'sub'))
  await thread.loadWell({ generation: ++generation, module: join(folder, 'main.cjs') })
  const other = await site(t, 'module.exports = (req, res) => res.end(process.cwd())')

  const reply = await thread.get(generation - 1)

  assert.equal(reply.text, ['ENOENT', 'ENOTDIR', join(folder, 'sub'), join(folder, 'sub', 'x')].join('\n'))
  assert.notEqual((await thread.get(other)).text, join(folder, 'sub'))
})

test('every way of writing goes to the log, at its level', async (t) => {
  const text = `
    const fs = require('fs')
    console.log('logged %s', 'out'); console.info('info'); console.error('error'); console.warn('warning')
    process.stdout.write('written\\n'); process.stderr.write(Buffer.from('bytes\\n'))
    fs.writeSync(1, 'by descriptor\\n'); fs.writeSync(2, Buffer.from('xxto stderryy\\n'), 2, 9)
    fs.write(1, 'called back\\n', (error, n) => console.log('wrote', error, n))
    process.stdout.write('no line feed')
    console.log(' in two\\nlines of one text')
    module.exports = (req, res) => res.end()`

  const of = await site(t, text)

  await thread.log(of, /^wrote null 12$/)
  const lines = thread.logs.filter((line) => line.generation === of).map(({ level, text: line }) => `${level}: ${line}`)
  const expected = [
    'out: logged out',
    'out: info',
    'err: error',
    'warn: warning',
    'out: written',
    'err: bytes',
    'out: by descriptor',
  ]
  assert.deepEqual(lines.slice(0, 7), expected)
  assert.ok(lines.includes('out: called back'))
  assert.ok(lines.includes('out: no line feed in two\nlines of one text'))
  // Without a line feed it waits a little for one.
  assert.equal((await thread.log(of, /^to stderr$/)).level, 'err')
})

test('a line that was written before an endless loop is not lost', async (t) => {
  const stuck = await startThread(t)
  const folder = writeSite(t, {
    'main.cjs': "module.exports = (req, res) => { console.log('before the loop'); for (;;); }",
  })
  await stuck.loadWell({ generation: 1, module: join(folder, 'main.cjs') })

  const request = stuck.request(1, { method: 'POST' })

  await stuck.log(1, /^before the loop$/)
  await request.frame('started')
})

test('a request that may not be repeated is acknowledged before its code runs', async (t) => {
  const stuck = await startThread(t)
  const folder = writeSite(t, { 'main.cjs': 'module.exports = (req, res) => { for (;;); }' })
  await stuck.loadWell({ generation: 1, module: join(folder, 'main.cjs') })

  const request = stuck.request(1, { method: 'PATCH' })

  await request.frame('started')
})

// ---- errors ----------------------------------------------------------------------------------------------------------

const FAILING = `
  const { setTimeout: wait } = require('timers/promises')
  const { EventEmitter } = require('events')
  const ways = {
    thrown() { throw new Error('in thrown') },
    async rejected() { await wait(1); throw new Error('in rejected') },
    timer() { setTimeout(() => { throw new Error('in timer') }, 1) },
    immediate() { setImmediate(() => { throw new Error('in immediate') }) },
    tick() { process.nextTick(() => { throw new Error('in tick') }) },
    microtask() { queueMicrotask(() => { throw new Error('in microtask') }) },
    promise() { Promise.reject(new Error('in promise')) },
    emitter() { setTimeout(() => new EventEmitter().emit('error', new Error('in emitter')), 1) },
    body(req) { req.on('data', () => { throw new Error('in body') }) },
    exit() { process.exit(7) },
    exitLater() { setTimeout(() => process.exit(8), 1) },
    string() { throw 'in string' },
  }
  module.exports = (req, res) => ways[req.url.slice(1)](req, res)`

test('an error that nobody caught ends its own request, is logged with its stack, and the thread goes on', async (t) => {
  const failing = await site(t, FAILING)
  const calm = await site(t, "module.exports = (req, res) => setTimeout(() => res.end('calm'), 20)")

  for (const way of ['thrown', 'rejected', 'timer', 'immediate', 'tick', 'microtask', 'promise', 'emitter', 'body']) {
    const neighbour = thread.get(calm)
    const reply = await thread.get(failing, `/${way}`, { method: 'POST', body: 'x' })

    assert.equal(reply.status, 500, way)
    assert.deepEqual(reply.types.at(-1), 'failed')
    const line = await thread.log(failing, new RegExp(`in ${way}`))
    assert.equal(line.level, 'fatal')
    assert.match(line.text, /main\.cjs:\d+/)
    assert.equal((await neighbour).text, 'calm')
  }
})

test('an error in a listener for a body that comes later ends its request alone', async (t) => {
  const of = await site(
    t,
    "module.exports = (req, res) => { req.on('data', () => { throw new Error('in a late chunk') }) }",
  )
  const request = thread.request(of, { method: 'POST', last: false })
  await request.frame('started')

  request.send('first')
  request.send('second')
  await request.over()

  assert.equal(request.status, 500)
  assert.equal((await thread.log(of, /in a late chunk/)).level, 'fatal')
  assert.equal(thread.isClosed, false)
})

test('process.exit ends the request and nothing else', async (t) => {
  const of = await site(t, FAILING)

  const first = await thread.get(of, '/exit')
  const second = await thread.get(of, '/exitLater')

  assert.deepEqual([first.status, second.status], [500, 500])
  await thread.log(of, /^site called process\.exit\(7\)$/)
  await thread.log(of, /^site called process\.exit\(8\)$/)
  assert.equal(thread.isClosed, false)
})

test('process.exit is told even where a framework catches what it throws', async (t) => {
  const of = await site(t, "module.exports = (req, res) => { try { process.exit(9) } catch { res.end('caught') } }")

  const reply = await thread.get(of)

  assert.equal(reply.text, 'caught')
  await thread.log(of, /^site called process\.exit\(9\)$/)
})

test('an error after the answer has begun cuts it off', async (t) => {
  const text = `module.exports = (req, res) => {
    res.write('a beginning')
    setTimeout(() => { throw new Error('too late for a page') }, 5)
  }`
  const of = await site(t, text)

  const reply = await thread.get(of)

  assert.equal(reply.text, 'a beginning')
  assert.equal(reply.types.at(-1), 'abort')
  await thread.log(of, /too late for a page/)
})

test('an error after the answer is complete is only logged', async (t) => {
  const of = await site(t, "module.exports = (req, res) => { res.end('fine'); throw new Error('afterwards') }")

  const reply = await thread.get(of)

  assert.equal(reply.status, 200)
  await thread.log(of, /afterwards/)
})

test('an error of a timer that the site started by itself is put on the site', async (t) => {
  const of = await site(
    t,
    "module.exports = (req, res) => res.end('ok'); setTimeout(() => { throw new Error('on its own') }, 10)",
  )

  await thread.log(of, /on its own/)

  assert.equal((await thread.get(of)).text, 'ok')
})

test("a site's own handlers hear of its own errors, and of no other site's", async (t) => {
  const text = `
    process.on('uncaughtException', (error, origin) => console.log('heard', error.message, origin))
    process.on('unhandledRejection', (reason) => console.log('rejected', reason.message))
    module.exports = (req, res) => { setTimeout(() => { if (req.url === '/reject') Promise.reject(new Error('b')); else throw new Error('a') }) }`
  const listening = await site(t, text)
  const other = await site(t, 'module.exports = () => { throw new Error("not for you") }')

  const replies = await Promise.all([thread.get(listening), thread.get(listening, '/reject'), thread.get(other)])

  assert.deepEqual(
    replies.map(({ status }) => status),
    [500, 500, 500],
  )
  await thread.log(listening, /^heard a uncaughtException$/)
  await thread.log(listening, /^rejected b$/)
  const heard = thread.logs.filter((line) => line.generation === listening && line.text.includes('not for you'))
  assert.deepEqual(heard, [])
})

test('a request goes on after an error of which the site hears, and is ended if nobody answers it', async (t) => {
  const text = `
    process.on('unhandledRejection', (reason) => console.log('rejected', reason.message))
    process.on('uncaughtException', (error) => console.log('heard', error.message))
    module.exports = (req, res) => {
      if (req.url === '/stream') res.write('begun, ')
      Promise.reject(new Error('aside ' + req.url))
      setTimeout(() => { if (req.url !== '/never') res.end('answered') }, 50)
      setTimeout(() => { throw new Error('late ' + req.url) }, 10)
    }`
  const of = await site(t, text)

  const replies = await Promise.all(['/', '/stream', '/never'].map((path) => thread.get(of, path)))

  assert.deepEqual(
    replies.map(({ status, text: got }) => [status, got.trim()]),
    [
      [200, 'answered'],
      [200, 'begun, answered'],
      [500, ''],
    ],
  )
  await thread.log(of, /^rejected aside \/$/)
  await thread.log(of, /^heard late \/$/)
})

test('what watches uncaught errors hears of each, and handles none', async (t) => {
  const text = `
    process.on('uncaughtExceptionMonitor', (error, origin) => console.log('seen', error.message, origin))
    module.exports = (req, res) => {
      if (req.url === '/heard') process.on('uncaughtException', () => res.end('handled'))
      if (req.url === '/reject') Promise.reject(new Error(req.url))
      else setTimeout(() => { throw new Error(req.url) })
    }`
  const of = await site(t, text)

  const replies = [await thread.get(of, '/throw'), await thread.get(of, '/reject'), await thread.get(of, '/heard')]

  assert.deepEqual(
    replies.map(({ status }) => status),
    [500, 500, 200],
  )
  await thread.log(of, /^seen \/heard uncaughtException$/)
  const lines = thread.logs.filter((line) => line.generation === of && /^seen/.test(line.text)).map((line) => line.text)
  assert.deepEqual(lines, [
    'seen /throw uncaughtException',
    'seen /reject unhandledRejection',
    'seen /heard uncaughtException',
  ])
})

test('what captures uncaught errors has them in place of the listeners, and is none of them', async (t) => {
  const text = `
    process.on('newListener', (name) => console.log('listener', name))
    process.on('uncaughtException', (error) => console.log('heard', error.message))
    process.setUncaughtExceptionCaptureCallback((error) => { error.response.end('captured ' + error.message) })
    module.exports = (req, response) => {
      if (req.url === '/later') process.setUncaughtExceptionCaptureCallback(null)
      setTimeout(() => { throw Object.assign(new Error(req.url), { response }) })
    }`
  const of = await site(t, text)

  const texts = [await thread.get(of, '/first'), await thread.get(of, '/later')].map(({ text: got }) => got)

  assert.equal(texts[0], 'captured /first')
  await thread.log(of, /^heard \/later$/)
  const lines = thread.logs.filter(({ generation: from }) => from === of).map(({ text: line }) => line)
  assert.deepEqual(lines, ['listener uncaughtException', 'heard /later'])
})

test('domains of Node catch what they are there for', async (t) => {
  const text = `
    const domain = require('node:domain')
    module.exports = (req, res) => {
      const one = domain.create()
      one.on('error', (error) => res.end('caught ' + error.message))
      one.run(() => setTimeout(() => { throw new Error(req.url) }))
    }`
  const of = await site(t, text)

  assert.equal((await thread.get(of, '/a')).text, 'caught /a')
  assert.equal((await thread.get(of, '/b')).text, 'caught /b')
})

test('a warning of Node in a site does not end the thread', async (t) => {
  const of = await site(
    t,
    "process.on('warning', (w) => console.log('warned', w.message)); process.emitWarning('careful'); module.exports = (req, res) => res.end()",
  )

  await thread.log(of, /^warned careful$/)

  assert.equal((await thread.get(of)).status, 200)
})

test('a site that would start a process for each core listens at once', async (t) => {
  const text = `
    const cluster = require('cluster')
    if (cluster.isPrimary) for (let n = 0; n < 2; n++) cluster.fork()
    else require('http').createServer((req, res) => res.end('worker ' + cluster.worker.id)).listen(3000)`

  const of = await site(t, text)

  assert.equal((await thread.get(of)).text, 'worker 1')
})

test('a worker of a cluster may send to its primary process, which is nowhere', async (t) => {
  const text = `
    const cluster = require('cluster')
    if (cluster.isMaster) cluster.fork()
    else require('http').createServer((req, res) => {
      const isSent = process.send({ cmd: 'notify' }, () => res.end(String(isSent)))
    }).listen(3000)`
  const of = await site(t, text)

  assert.equal((await thread.get(of)).text, 'true')
})

test('what would only send to the primary process does it by itself, and has nothing to send by', async (t) => {
  const folder = writeSite(t, {
    'main.cjs': `const log = require('logger')
      module.exports = (req, res) => res.end(JSON.stringify([log(), typeof process['send'], require('cluster').isPrimary]))`,
    'node_modules/logger/index.js': `const cluster = require('cluster')
      module.exports = () => (cluster.isMaster && !cluster.isWorker ? 'written' : process.send('to be written'))`,
  })
  await thread.loadWell({ generation: ++generation, module: join(folder, 'main.cjs') })

  assert.deepEqual((await thread.get(generation)).json, ['written', 'undefined', false])
})

test('a signal that a site sends to its process reaches the site alone', async (t) => {
  const text = `
    process.on('SIGUSR2', () => console.log('reopened'))
    module.exports = (req, res) => { process.kill(process.pid, 'SIGUSR2'); res.end('alive') }`
  const of = await site(t, text)

  const reply = await thread.get(of)

  assert.equal(reply.text, 'alive')
  await thread.log(of, /^reopened$/)
})

test('text that is written as bytes keeps its characters, wherever the bytes are cut', async (t) => {
  const text = `
    const euro = Buffer.from('\u20ac')
    module.exports = (req, res) => {
      process.stdout.write(euro.subarray(0, 1)); process.stderr.write('aside\\n')
      process.stdout.write(euro.subarray(1)); process.stdout.write('0a', 'hex')
      res.end()
    }`
  const of = await site(t, text)

  await thread.get(of)

  await thread.log(of, /^\u20ac$/)
})
