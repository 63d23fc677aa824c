/** What a server does once nobody asks it for anything. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBox } from '../helpers/box.ts'
import { anonymousOf } from '../helpers/memory.ts'

const MEGABYTE = 1024 ** 2

/** Makes and drops garbage enough for the heap to grow. */
const WASTEFUL = `export default (req, res) => {
  let kept = []
  for (let i = 0; i < 300_000; i++) kept.push({ i, text: 'text ' + i })
  res.end(String(kept.length))
}`

test('memory that only the last visitors needed goes back to the system, and the next is answered', async (t) => {
  const box = await startBox(t, { app: { files: { 'app.mjs': WASTEFUL } } })
  for (let visit = 0; visit < 20; visit++) assert.equal((await box.ask('app')).text, '300000')
  const busy = anonymousOf(box.pid)

  await box.waitFor('a smaller server', () => anonymousOf(box.pid) < busy - 20 * MEGABYTE, 60_000)

  assert.equal((await box.ask('app')).text, '300000')
})
