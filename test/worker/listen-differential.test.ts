/**
 * What `listen` and `close` do, told by the same script in plain Node and in a site: results, errors and the order of
 * events have to be equal. Ports that were given for 0 are written as `PORT`.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { shareThread } from '../helpers/thread-driver.ts'

const run = promisify(execFile)
const DEADLINE_MS = 30_000

let thread: DrivenThread
let generation = 0

shareThread((it) => {
  thread = it
})

/** Each has `http`, `net`, `once`, and `say(...)`; what was said is compared. */
const scenarios: Record<string, string> = {
  'without a host': `
    const server = http.createServer()
    for (const event of ['listening', 'close', 'error']) server.on(event, (e) => say(event, e?.code, server.listening))
    say(server.listening, server.address())
    say(server.listen(0, () => say('called back', server.address())) === server, server.listening)
    try { server.listen(0) } catch (error) { say(error.code, error.message) }
    await once(server, 'listening')
    await new Promise((done) => { server.close((e) => { say('closed', e?.code); done() }); say('closing', server.listening, server.address()) })
    server.close((e) => say('again', e.code))
    await turn()`,
  'with a host': `
    const server = http.createServer()
    server.on('listening', () => say('listening'))
    server.listen(0, '127.0.0.1', () => say('called back', server.address()))
    say(server.listening, server.address())
    process.nextTick(() => say('a tick later', server.listening))
    await once(server, 'listening')
    say(server.listening)
    server.close(() => say('closed'))
    process.nextTick(() => say('tick after close'))
    await once(server, 'close')`,
  'closed before it listens': `
    for (const args of [[0], [0, '127.0.0.1']]) {
      const server = http.createServer().on('listening', () => say('listening')).on('close', () => say('close'))
      server.listen(...args)
      server.close((error) => say('closed', error?.code))
      await turn()
    }`,
  'a port that was given for 0': `
    const one = http.createServer().listen(0)
    await once(one, 'listening')
    const { port } = one.address()
    for (const two of [http.createServer(), net.createServer()]) {
      two.on('listening', () => say('listening')).listen(port, () => say('never'))
      const [error] = await once(two, 'error')
      say(error.message, Object.entries(error), error.name, two.listening, two.address())
    }
    const three = http.createServer().listen(port, '127.0.0.1')
    say((await once(three, 'error'))[0].message)
    one.close()
    await once(one, 'close')
    const four = http.createServer().listen(port)
    await once(four, 'listening')
    say(four.address())
    four.close()`,
  'arguments that are wrong': `
    for (const args of [['port'], [{ port: 'text' }], [{ port: -1 }], [{ port: 65536 }], [{ port: 1.5 }], [{}], [{ host: 'a' }],
      [{ port: true }], [-1], [NaN], [true], [{ path: 5 }], [{ fd: -1 }], [{ port: 0, signal: 5 }]]) {
      const server = http.createServer()
      if (typeof args[0] === 'string') continue
      try { server.listen(...args); say('no error', args); server.close() } catch (error) { say(error.name, error.code, error.message) }
    }`,
  'arguments that are right': `
    for (const args of [[], [null], [undefined], [{ port: null }], [{ port: undefined }], [{ port: '0' }], ['0'], [0, 5], [0, undefined, 5], [{ port: 0, exclusive: true }]]) {
      const server = http.createServer()
      server.listen(...args)
      await once(server, 'listening')
      say(server.address())
      server.close()
      await once(server, 'close')
    }`,
  'a probe for a free port': `
    for (const make of [() => net.createServer(), () => net.createServer(() => {})]) {
      const server = make().unref().on('close', () => say('close'))
      await new Promise((done) => server.listen({ port: 0, host: '127.0.0.1' }, done))
      const { port } = server.address()
      say(server.listening, server.address())
      await new Promise((done) => server.getConnections((...counts) => { say(counts); done() }))
      await new Promise((done) => server.close((error) => { say(error); done() }))
      say(server.listening)
      const real = http.createServer().listen(port)
      await once(real, 'listening')
      say(real.address())
      real.close()
      await once(real, 'close')
    }`,
  'signals and disposal': `
    const stop = new AbortController()
    const server = http.createServer().on('close', () => say('close'))
    server.listen({ port: 0, signal: stop.signal })
    await once(server, 'listening')
    stop.abort()
    say(server.listening)
    await turn()
    const other = http.createServer().listen(0)
    await once(other, 'listening')
    await other[Symbol.asyncDispose]()
    say(other.listening)
    http.createServer().on('close', () => say('aborted')).on('listening', () => say('listening')).listen({ port: 0, signal: AbortSignal.abort() })
    await turn()`,
  'closed in its own listener': `
    const server = http.createServer()
    server.on('listening', () => { say('first'); server.close(() => say('closed')) })
    server.on('listening', () => say('second', server.listening))
    server.listen(0)
    await once(server, 'close')
    server.listen(0, () => say('again', server.listening))
    await once(server, 'listening')
    server.closeAllConnections()
    server.closeIdleConnections()
    server.close()
    await once(server, 'close')`,
}

const HELPERS = `const http = require('node:http'), net = require('node:net'), { once } = require('node:events')
const turn = () => new Promise((done) => setTimeout(done, 20))
async function scenario(body) {
  const lines = []
  const say = (...words) => lines.push(JSON.stringify(words).replace(/"port":\\d+/g, '"port":"PORT"').replace(/:\\d{4,5}\\b/g, ':PORT').replace(/"port",\\d+/g, '"port","PORT"'))
  await new (async () => {}).constructor('http', 'net', 'once', 'turn', 'say', body)(http, net, once, turn, say)
  return JSON.stringify(lines)
}`

for (const [name, body] of Object.entries(scenarios)) {
  test(`a server listens and closes as in plain Node: ${name}`, async (t) => {
    const folder = writeSite(t, {
      'plain.cjs': `${HELPERS}\nscenario(${JSON.stringify(body)}).then((lines) => console.log(lines))`,
      'main.cjs': `${HELPERS}\nmodule.exports = (req, res) => scenario(${JSON.stringify(body)}).then((lines) => res.end(lines))`,
    })
    await thread.loadWell({ generation: ++generation, module: join(folder, 'main.cjs') })

    const plain = await run(process.execPath, [join(folder, 'plain.cjs')], { timeout: DEADLINE_MS })
    const hosted = await thread.get(generation)

    const expected = JSON.parse(plain.stdout) as string[]
    assert.ok(expected.length > 1)
    assert.deepEqual(hosted.json, expected)
  })
}
