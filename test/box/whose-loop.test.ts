/** A loop that no request is to blame for takes one thread: its site is loaded nowhere else before it is known whose it is. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { startBox } from '../helpers/box.ts'

/** Where the site may be loaded elsewhere though nothing is known, in ms after its thread stood still: docs/isolation.md. */
const GIVES_UP_MS = 400
/** The clocks of two processes, and a thread that stood still some ms before the loop wrote its time. */
const INEXACT_MS = 40

const LOOPS = {
  timer: 'setTimeout(loop, 5); res.end()',
  promise: 'setImmediate(() => Promise.resolve().then(loop)); res.end()',
}

for (const [kind, code] of Object.entries(LOOPS)) {
  test(`a site that loops behind a ${kind} is not loaded in a second thread while it is sought`, async (t) => {
    const looper = `const { appendFileSync } = require('node:fs')
const note = (what) => appendFileSync(__dirname + '/journal', what + ' ' + Date.now() + '\\n')
note('loaded')
function loop() { note('looped'); while (true) {} }
module.exports = (req, res) => { if (req.url === '/') return res.end('here'); ${code} }`
    const sites = {
      looper: { files: { 'app.cjs': looper }, more: '[limits]\nslow = 1500ms\nhard_limit = 3s\n' },
      other: { files: { 'app.cjs': "module.exports = (req, res) => res.end('other')" } },
    }
    const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1\nthreads = 2' })
    assert.equal((await box.ask('looper')).text, 'here')

    assert.equal((await box.ask('looper', '/loop')).status, 200)
    const waiting = box.ask('looper').catch(() => undefined)
    await box.waitFor('the log to say whose loop it is', () => box.output.includes('site keeps its thread'))

    const lines = readFileSync(`${box.dir}/sites/looper/journal`, 'utf8').trim().split('\n')
    const times = lines.map((line) => line.split(' ')).map(([what, at]) => ({ what, at: Number(at) }))
    const loopedAt = times.find(({ what }) => what === 'looped')?.at ?? Number.NaN
    const after = times.filter(({ what, at }) => what === 'loaded' && at > loopedAt)
    const early = after.filter(({ at }) => at - loopedAt < GIVES_UP_MS - INEXACT_MS)
    assert.deepEqual(early, [], `loaded elsewhere: ${JSON.stringify(times)}`)
    assert.match(box.output, /"site":"looper".*at loop/)
    assert.equal((await box.ask('other')).text, 'other', box.output)
    await box.stop()
    await waiting
  })
}
