/** The cache of a site before somebody who answers in its place, over a real socket. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { createServer } from '../../src/core/node-http.ts'
import { SiteCache } from '../../src/dispatcher/cache.ts'
import { ServerCache } from '../../src/dispatcher/cache-store.ts'
import { FrontResponse } from '../../src/dispatcher/front-response.ts'
import type { Visit } from '../../src/dispatcher/visit.ts'
import type { Reply } from '../helpers/box.ts'
import { send } from '../helpers/box.ts'

const MEGABYTE = 1024 * 1024
const SETTINGS = { memoryBytes: MEGABYTE, largestBytes: MEGABYTE, clientControl: true, keep: false }

type Ask = (headers?: Record<string, string>, method?: string) => Promise<Reply>

/** @param answer in the place of the site @returns asks for one and the same page */
async function serve(t: TestContext, answer: (visit: Visit) => void): Promise<Ask> {
  const caches = new ServerCache(MEGABYTE)
  const cache = new SiteCache(caches, caches.open('a', SETTINGS), false)
  const server = createServer({ ServerResponse: FrontResponse }, (req, res) => {
    const asked = { host: 'a.test', target: req.url, authority: undefined }
    cache.handle({ req, res, asked, upgrade: undefined } as unknown as Visit, answer)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  return (headers = {}, method = 'GET') =>
    send({ host: '127.0.0.1', port, method, agent: false, headers: { host: 'a.test', ...headers } })
}

test('a range is for GET alone: HEAD shows the whole', async (t) => {
  const ask = await serve(t, ({ res }) => res.writeHead(200, { 'cache-control': 'max-age=60' }).end('0123456789'))
  await ask()

  const head = await ask({ range: 'bytes=0-3' }, 'HEAD')
  const part = await ask({ range: 'bytes=0-3' })

  assert.deepEqual([head.status, head.headers['content-length']], [200, '10'])
  assert.deepEqual([part.status, part.text, part.headers['content-range']], [206, '0123', 'bytes 0-3/10'])
})

test('what an answer varies by is told apart by name, also where it was another name before', async (t) => {
  const ask = await serve(t, ({ req, res }) => {
    const by = req.headers['x-mode'] === 'theme' ? 'x-theme' : 'x-tongue'
    res.writeHead(200, { 'cache-control': 'max-age=60', vary: by }).end(`${by}: ${req.headers[by]}`)
  })

  assert.equal((await ask({ 'x-tongue': 'one' })).text, 'x-tongue: one')
  assert.equal((await ask({ 'x-tongue': 'two', 'x-theme': 'two', 'x-mode': 'theme' })).text, 'x-theme: two')
  const other = await ask({ 'x-theme': 'one', 'x-mode': 'theme' })

  assert.equal(other.text, 'x-theme: one')
})

test('a client that wants a part of what is stale has all of it fetched anew', async (t) => {
  let count = 0
  const ask = await serve(t, ({ res }) => {
    res.writeHead(200, { 'cache-control': 'max-age=1, stale-while-revalidate=60', age: '2' }).end(`page ${++count}`)
  })
  assert.equal((await ask()).text, 'page 1')

  const part = await ask({ range: 'bytes=0-3' })
  assert.deepEqual([part.status, part.text], [206, 'page'])
  // Each of these asks for the next one; what it is given is what the one before has fetched.
  assert.equal((await ask()).text, 'page 2')
  assert.equal((await ask()).text, 'page 3')
})
