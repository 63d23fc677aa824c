/** The example sites of this repository do what they are there to show. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { request } from 'node:http'
import { join, resolve } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import type { Box } from '../helpers/box.ts'
import { DEADLINE_MS, makeBox } from '../helpers/box.ts'

const REPOSITORY = resolve(import.meta.dirname, '../..')
const ENABLED = join(REPOSITORY, 'sites-enabled')

/** What `npm start` serves, on a free port and a run folder of its own. */
async function startExamples(t: TestContext): Promise<Box> {
  const box = makeBox(t, {})
  const ini = readFileSync(join(REPOSITORY, 'vhostel.ini'), 'utf8')
  box.write('vhostel.ini', ini.replace('listen = 127.0.0.1:8080', `listen = 127.0.0.1:0\nsites = ${ENABLED}`))
  await box.start()
  return box
}

test('every example answers on its own name', async (t) => {
  const box = await startExamples(t)
  const expected: Record<string, RegExp> = {
    localhost: /Many sites, one pool/,
    '127.0.0.1': /Many sites, one pool/,
    'home.localhost': /http:\/\/blog\.localhost:8080\//,
    'blog.localhost': /A blog in one file/,
    'shop.localhost': /Darjeeling/,
    'wiki.localhost': /Welcome/,
    'any.wiki.localhost': /Welcome/,
    'api.localhost': /"greeting":"hello"/,
    'chat.localhost': /new WebSocket/,
    'old.localhost': /Still here/,
  }

  for (const [host, text] of Object.entries(expected)) {
    const reply = await box.ask(host, '/', { headers: { host } })

    assert.equal(reply.status, 200, host)
    assert.match(reply.text, text, host)
  }
  assert.equal((await box.ask('nobody.localhost')).status, 421)
  const unwell = (await box.status()).sites.filter((site) => site.state !== 'live')
  assert.deepEqual(unwell, [])
})

test('the examples do what they are there to show', async (t) => {
  const box = await startExamples(t)

  const post = await box.ask('blog.localhost', '/2026-11-14-edit-me')
  const noPost = await box.ask('blog.localhost', '/no-such-post')
  const cart = await box.ask('shop.localhost', '/cart', { method: 'POST', ...form('id=tea') })
  const filled = await box.ask('shop.localhost', '/cart', {
    headers: { cookie: cart.headers['set-cookie']?.[0] ?? '' },
  })
  const saved = await box.ask('wiki.localhost', '/home', { method: 'POST', ...form('text=Hi [[there]]') })
  const wiki = await box.ask('wiki.localhost')
  const echo = await box.ask('api.localhost', '/echo', { method: 'POST', body: 'ping' })
  const sum = await box.ask('old.localhost', '/add/20/22')
  const style = await box.ask('home.localhost', '/style.css')

  assert.match(post.text, /<h1>Edit me<\/h1>/)
  assert.equal(noPost.status, 404)
  assert.equal(cart.status, 303)
  assert.match(filled.text, /Total: € 12\.90/)
  assert.equal(saved.headers.location, '/home')
  assert.match(wiki.text, /<a href="\/there">there<\/a>/)
  assert.equal(JSON.parse(echo.text).sent, 'ping')
  assert.deepEqual(JSON.parse(sum.text), { sum: 42 })
  assert.match(String(style.headers['content-type']), /text\/css/)
})

test('the chat example speaks WebSocket, and the api example streams events as they happen', async (t) => {
  const box = await startExamples(t)
  const signal = AbortSignal.timeout(DEADLINE_MS)

  const socket = new WebSocket(`ws://127.0.0.1:${box.port}/socket`, { headers: { host: 'chat.localhost' } })
  const [welcome] = await once(socket, 'message', { signal })
  socket.send('anybody?')
  const [said] = await once(socket, 'message', { signal })
  socket.terminate()
  const firstTick = await firstChunk(box, 'api.localhost', '/ticks')

  assert.match(String(welcome), /somebody came/)
  assert.equal(String(said), 'anybody?')
  assert.match(firstTick, /^event: tick\ndata: 1\n/)
})

test('every link in sites-enabled is relative and leads to the file of its name in sites-available', () => {
  const files = readdirSync(ENABLED)

  for (const file of files) assert.equal(readlinkSync(join(ENABLED, file)), `../sites-available/${file}`)
  assert.deepEqual(files.sort(), readdirSync(join(REPOSITORY, 'sites-available')).sort())
})

function form(body: string) {
  return { body, headers: { 'content-type': 'application/x-www-form-urlencoded' } }
}

/** The first bytes of an answer; then the client goes away. */
async function firstChunk(box: Box, host: string, path: string): Promise<string> {
  const req = request({ host: '127.0.0.1', port: box.port, path, agent: false, headers: { host } }).end()
  const signal = AbortSignal.timeout(DEADLINE_MS)
  const [res] = await once(req, 'response', { signal })
  const [chunk] = await once(res, 'data', { signal })
  req.destroy()
  return String(chunk)
}
