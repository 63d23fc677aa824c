/**
 * What sites throw may be anything at all, also what throws when it is looked at: it ends its own request or load, with a
 * word in the log, and neither the thread nor a neighbour.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { shareThread } from '../helpers/thread-driver.ts'

type Context = Parameters<typeof writeSite>[0]

let thread: DrivenThread
let generation = 0

shareThread((it) => {
  thread = it
})

function write(t: Context, text: string): { generation: number; module: string } {
  return { generation: ++generation, module: join(writeSite(t, { 'main.cjs': text }), 'main.cjs') }
}

async function site(t: Context, text: string): Promise<number> {
  const order = write(t, text)
  await thread.loadWell(order)
  return order.generation
}

const ODD: Record<string, string> = {
  'an object that throws when it is shown':
    "({ [Symbol.for('nodejs.util.inspect.custom')]() { throw new Error('no') } })",
  'an error whose stack throws when it is read':
    "Object.defineProperty(new Error('odd'), 'stack', { get() { throw new Error('no') } })",
  'an error with a list for a message': "Object.assign(new Error('odd'), { message: ['a', 'b'] })",
  'what looks like an error and is none': '({ message: 5, stack: 7, name: null })',
  'an object without a prototype': 'Object.create(null)',
  'a revoked proxy': '(() => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy })()',
  'a symbol': "Symbol('odd')",
  nothing: 'undefined',
  'an error of a script with a bad name':
    "require('vm').runInThisContext('new Error(1)\\n//# sourceURL=file:///%ff%2f/x.js')",
  'an error whose stack cannot be made':
    "(() => { Error.prepareStackTrace = () => { throw new TypeError('no') }; return new Error('odd') })()",
}

for (const [what, odd] of Object.entries(ODD)) {
  test(`${what} ends the request that throws it, and nothing else`, async (t) => {
    const calm = await site(t, "module.exports = (req, res) => res.end('calm')")
    const of = await site(
      t,
      `module.exports = (req, res) => {
         const odd = () => (${odd})
         if (req.url === '/handler') throw odd()
         if (req.url === '/timer') setTimeout(() => { throw odd() })
         if (req.url === '/rejection') Promise.reject(odd())
         if (req.url === '/promise') return Promise.reject(odd())
         if (req.url === '/body') req.on('data', () => { throw odd() })
       }`,
    )

    for (const url of ['/handler', '/timer', '/rejection', '/promise', '/body']) {
      const reply = await thread.get(of, url, { method: 'POST', body: 'x' })
      assert.equal(reply.status, 500, url)
    }

    assert.equal((await thread.get(calm)).text, 'calm')
    const told = thread.logs.filter((line) => line.generation === of && line.level === 'fatal')
    assert.ok(told.length >= 5, JSON.stringify(told))
    assert.ok(told.every(({ text }) => text !== ''))
  })

  test(`${what} is told where a module throws it`, async (t) => {
    const report = await thread.load(write(t, `throw (${odd})`))

    assert.ok(report.failure)
    assert.notEqual(report.failure.message, '')
  })

  test(`${what} keeps no site from its end`, async (t) => {
    const of = await site(
      t,
      `process.on('SIGTERM', () => { throw (${odd}) })
       module.exports = async (fastify) => { fastify.addHook('onClose', async () => { throw (${odd}) }) }`,
    )

    await thread.unload(of)

    assert.match(
      thread.logs
        .filter((line) => line.generation === of)
        .map(({ text }) => text)
        .join(),
      /a handler failed/,
    )
  })
}

test('a change of the globals by a script with a bad name is undone, and its load is told', async (t) => {
  const calm = await site(t, "module.exports = (req, res) => res.end('calm')")

  const of = await site(
    t,
    `require('vm').runInThisContext('Array.prototype.fill = function () {}\\n//# sourceURL=file:///%ff%2f/x.js')
     module.exports = (req, res) => res.end(String(Array.prototype.fill))`,
  )

  await thread.wait(() => thread.offences.some(({ generation: by }) => by === of), 'an offence')
  assert.match((await thread.get(of)).text, /native code/)
  assert.equal((await thread.get(calm)).text, 'calm')
})
