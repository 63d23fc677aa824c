/**
 * What is larger than a frame may be: nobody waits for it for ever, and nobody but its own site or request is hit.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { MAX_FRAME_BYTES } from '../../src/protocol/frames.ts'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { shareThread } from '../helpers/thread-driver.ts'

type Context = Parameters<typeof writeSite>[0]

let thread: DrivenThread
let generation = 0

shareThread((it) => {
  thread = it
})

function write(t: Context, text: string, name = 'main.mjs'): { generation: number; module: string } {
  return { generation: ++generation, module: join(writeSite(t, { [name]: text }), name) }
}

const HUGE = `'x'.repeat(${MAX_FRAME_BYTES + 1})`

for (const [what, text] of [
  ['a handler of Node', `export default (req, res) => { res.setHeader('X', ${HUGE}); res.end('text') }`],
  [
    'a handler of Node, later',
    `export default (req, res) => { res.setHeader('X', ${HUGE}); setImmediate(() => res.write('text')) }`,
  ],
  [
    'a handler of Node, as trailers',
    `export default (req, res) => { res.write('a'); res.addTrailers({ X: ${HUGE} }); res.end() }`,
  ],
  [
    'a handler of Node, before its answer',
    `export default (req, res) => { res.writeEarlyHints({ link: '</a>; rel=preload', x: ${HUGE} }) }`,
  ],
  ['a fetch handler', `export default () => new Response('text', { headers: { x: ${HUGE} } })`],
  [
    'a fetch handler, with a stream',
    `export default () => new Response(new Blob(['text']).stream(), { headers: { x: ${HUGE} } })`,
  ],
] as const) {
  test(`a head that is too large ends its request at once: ${what}`, async (t) => {
    const order = write(t, text)
    await thread.loadWell(order)

    const reply = await thread.get(order.generation)

    const last = reply.frames.at(-1)
    assert.ok(last?.type === 'abort' || last?.type === 'failed', JSON.stringify(last))
  })
}

for (const [what, text, name] of [
  ['a message', `throw new Error(${HUGE})`, 'main.mjs'],
  ['a value', `throw Array.from({ length: 100 }, () => 'x'.repeat(100_000))`, 'main.mjs'],
  ['a stack', `throw Object.assign(new Error('short'), { stack: ${HUGE} })`, 'main.mjs'],
  ['a line of a minified file', `const a = "${'x'.repeat(MAX_FRAME_BYTES)}"; const b = ;`, 'main.cjs'],
] as const) {
  test(`a load that fails with ${what} beyond a frame is told all the same`, async (t) => {
    const report = await thread.load(write(t, text, name))

    assert.ok(report.failure)
    assert.ok(JSON.stringify(report.failure).length < 1024 * 1024)
  })
}

test('a change of what all share is undone and told, however long its name', async (t) => {
  const order = write(t, `export default (req, res) => { Object.prototype[${HUGE}] = () => {}; res.end('done') }`)
  await thread.loadWell(order)

  assert.equal((await thread.get(order.generation)).text, 'done')

  const offence = await thread.wait(() => thread.offences[0], 'an offence')
  assert.ok(offence.text.length < 10_000)
  assert.equal(thread.isClosed, false)
})
