/** A site that freezes what all sites of its thread share: nothing undoes that, so the neighbours get another thread. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBox } from '../helpers/box.ts'

const NEIGHBOUR = `export default () => new Response(String([Array.prototype, Object.prototype, JSON, globalThis].every(Object.isExtensible)))`
const FREEZER = `Object.freeze(Array.prototype)
  Object.freeze(Object.prototype)
  Object.seal(JSON)
  Object.preventExtensions(globalThis)
  export default () => new Response(String(Object.isFrozen(Array.prototype)))`

test('a site that freezes prototypes is quarantined, and its neighbours get a thread without', async (t) => {
  const sites = { calm: { files: { 'app.mjs': NEIGHBOUR } }, freezer: { files: { 'app.mjs': FREEZER } } }
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1\nthreads = 1' })
  assert.equal((await box.ask('calm')).text, 'true')

  assert.equal((await box.ask('freezer')).text, 'true')
  const asked: number[] = []
  await box.waitFor('the neighbour to have another thread', async () => {
    const { status, text } = await box.ask('calm')
    asked.push(status)
    return text === 'true' && box.output.includes('froze Array.prototype, which cannot be undone')
  })

  assert.deepEqual([...new Set(asked)], [200])
  assert.match(box.output, /site is quarantined: it gets a process of its own/)
  assert.equal((await box.ask('freezer')).text, 'true')
  assert.equal((await box.ask('calm')).text, 'true')
})
