/**
 * Threads that stand still for a moment and come round.
 */
import assert from 'node:assert/strict'
import { existsSync, rmSync } from 'node:fs'
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

test('what a site had begun when it was taken away is finished, though another keeps its thread', async (t) => {
  const keeps = `const { existsSync, writeFileSync } = require('node:fs')
module.exports = (req, res) => {
  writeFileSync('kept', '')
  while (!existsSync('go'));
  res.end('here')
}`
  const waits = `const { existsSync, writeFileSync } = require('node:fs')
module.exports = (req, res) => {
  writeFileSync('begun', '')
  const look = setInterval(() => {
    if (!existsSync('go')) return
    clearInterval(look)
    res.end('done')
  }, 10)
}`
  const more = '[limits]\nslow = 200ms\nsoft_limit = 300ms\nhard_limit = 60s\nquarantine = 0s\n'
  const sites = { a: { files: { 'app.cjs': keeps }, more }, b: { files: { 'app.cjs': waits } } }
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1\nthreads = 1' })
  const path = (file: string): string => `${box.dir}/sites/${file}`
  const begun = box.ask('b')
  await box.waitFor('the request to begin', () => existsSync(path('b/begun')))
  const keeping = box.ask('a')
  await box.waitFor('the thread to be kept', () => existsSync(path('a/kept')))

  rmSync(`${box.dir}/sites-enabled/b.ini`)
  await box.waitFor('the site to be gone', async () => (await box.site('b')) === undefined)
  await box.waitFor('the thread to retire', () => box.output.includes('thread retires'))
  for (const file of ['a/go', 'b/go']) box.write(`sites/${file}`, '')

  assert.equal((await begun).text, 'done')
  assert.equal((await keeping).text, 'here')
})

test('whoever enables a module that loops while it is loaded is told when it was ended for that once', async (t) => {
  const box = await startBox(t, { calm: { files: { 'app.cjs': `module.exports = (req, res) => res.end('here')` } } })
  const more = '[limits]\nslow = 100ms\nsoft_limit = 200ms\nhard_limit = 1s\n'
  box.addSite('loop', { files: { 'app.cjs': 'for (;;);' }, more })

  const { sites } = await box.reload('loop')

  assert.match(sites[0]?.problems.join() ?? '', /kept its thread for longer than 1000 ms \(\[limits\] hard_limit\)/)
  assert.equal(box.output.match(/thread is terminated/g)?.length, 1)
  assert.equal((await box.ask('calm')).text, 'here')
})
