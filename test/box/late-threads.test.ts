/**
 * Threads that stand still for a moment and come round.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { startBox } from '../helpers/box.ts'

const KEPT_MS = 200

test('a thread that a timer kept has requests again as soon as it comes round', async (t) => {
  const timer = `const { writeFileSync } = require('node:fs')
const keep = () => {
  const until = performance.now() + ${KEPT_MS}
  writeFileSync('kept', '')
  while (performance.now() < until);
}
module.exports = (req, res) => {
  if (req.url === '/keep') setTimeout(keep, 20)
  res.end('here')
}`
  const plain = `module.exports = (req, res) => res.end('here')`
  const sites = { a: { files: { 'app.cjs': timer } }, b: { files: { 'app.cjs': plain } } }
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1\nthreads = 1' })
  await Promise.all([box.ask('a'), box.ask('b')])

  await box.ask('a', '/keep')
  await box.waitFor('the thread to be kept', () => existsSync(`${box.dir}/sites/a/kept`))
  const reply = await box.ask('b')

  assert.equal(reply.text, 'here')
  // What is told of a thread that has not come back within `slow`.
  assert.doesNotMatch(box.output, /thread goes on/)
})
