/** `vhostel cache purge` against a real server. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { purgeLine } from '../../src/cli/cache.ts'
import { startBox } from '../helpers/box.ts'
import { vhostel } from './command.ts'

const FILE = `let count = 0
export default (req, res) => {
  res.writeHead(200, { 'cache-control': 'max-age=60' })
  res.end(String(++count))
}`

test('it forgets what is stored of a site, or of a URL, and says how much', async (t) => {
  const more = 'cache = on'
  const box = await startBox(
    t,
    { shop: { files: { 'shop.mjs': FILE }, more }, plain: { files: { 'plain.mjs': FILE } } },
    { config: '[pool]\nprocesses = 1\nthreads = 1\n' },
  )
  const purge = async (...args: string[]) => vhostel(['cache', 'purge', ...args, '--config', box.dir])
  assert.deepEqual([(await box.ask('shop', '/a')).text, (await box.ask('shop', '/a')).text], ['1', '1'])
  await box.ask('shop', '/b')

  const one = await purge('shop', '/a')
  const second = await purge('shop', 'http://shop.test/none', '--json')

  assert.match(one.stdout, /^shop: 1 URL forgotten \(\d+KB\)\n$/)
  assert.deepEqual([one.code, second.code], [0, 0])
  assert.deepEqual(JSON.parse(second.stdout), { site: 'shop', urls: 0, bytes: 0 })
  assert.equal((await box.ask('shop', '/a')).text, '3')
  assert.equal((await box.ask('shop', '/b')).text, '2')

  assert.match((await purge('shop.ini')).stdout, /^shop: 2 URLs forgotten/)
  assert.equal((await purge('plain')).stdout, 'plain: nothing was stored for that\n')
  const unknown = await purge('shpo')
  assert.equal(unknown.code, 1)
  assert.match(unknown.stderr, /did you mean shop\?/)
  assert.equal((await vhostel(['cache', '--config', box.dir])).code, 2)
})

test('the line says how many URLs and how much', () => {
  assert.equal(purgeLine({ site: 'a', urls: 1, bytes: 1 }), 'a: 1 URL forgotten (1KB)')
  assert.equal(purgeLine({ site: 'a', urls: 1200, bytes: 2 * 1024 ** 2 }), 'a: 1,200 URLs forgotten (2MB)')
  assert.equal(purgeLine({ site: 'a', urls: 0, bytes: 0 }), 'a: nothing was stored for that')
})
