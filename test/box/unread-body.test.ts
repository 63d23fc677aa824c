/** Answers that are complete before the body of their request has been read: the connection is good for the next request. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import type { Box } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

/** More than all windows and buffers on the way take. */
const BODY = Buffer.alloc(4 * 1024 * 1024, 'x')
const MORE = '[limits]\nbody_wait = 100ms\n'

const HANDLER = `let begun
export default (req, res) => {
  if (req.method === 'GET') return res.end(req.url === '/begun' ? String(begun) : 'hello')
  if (req.url === '/ignored') return res.end('done')
  if (req.url === '/destroyed') return setTimeout(() => req.socket.destroy(), 50)
  if (req.url === '/in-part') return req.once('data', () => (req.pause(), setTimeout(() => res.end('done'), 50)))
  begun = req.url + ' ' + process.pid
}`
const FETCH = `export default async (request) => {
  if (request.method === 'GET') return new Response('hello')
  if (new URL(request.url).pathname === '/in-part') await request.body.getReader().read()
  return new Response('done')
}`

/** What came to a POST of `BODY`, and to a GET behind it on the same connection. */
async function statuses(box: Box, site: string, path: string, whileSent?: () => Promise<void>): Promise<string[]> {
  const socket = connect({ port: box.port, host: '127.0.0.1' })
  let text = ''
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part
  })
  const closed = once(socket, 'close')
  const host = `Host: ${site}.test\r\n`
  socket.write(`POST ${path} HTTP/1.1\r\n${host}Content-Length: ${BODY.byteLength}\r\n\r\n`)
  socket.write(BODY)
  await whileSent?.()
  await box.waitFor(`an answer of ${site}${path}`, () => text.includes('\r\n\r\n'))
  socket.write(`GET / HTTP/1.1\r\n${host}Connection: close\r\n\r\n`)
  const given = setTimeout(() => socket.destroy(), 10_000)
  await closed
  clearTimeout(given)
  return [...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => status ?? '')
}

test('a connection goes on behind an answer that came before the body of its request was read', async (t) => {
  const box = await startBox(
    t,
    {
      handler: { files: { 'app.mjs': HANDLER }, more: MORE },
      hasty: { files: { 'app.mjs': HANDLER }, more: `${MORE}timeout = 4s\n` },
      fetch: { files: { 'app.mjs': FETCH }, more: MORE },
    },
    { config: '[pool]\nprocesses = 1\nthreads = 1' },
  )
  for (const site of ['handler', 'fetch']) {
    for (const path of ['/ignored', '/in-part']) {
      assert.deepEqual(await statuses(box, site, path), ['200', '200'], `${site}${path}`)
    }
  }
  assert.deepEqual(await statuses(box, 'handler', '/destroyed'), ['502', '200'])
  assert.deepEqual(await statuses(box, 'hasty', '/never'), ['504', '200'])
  const kill = async (): Promise<void> => {
    const begun = async (): Promise<string> => (await box.ask('handler', '/begun')).text
    await box.waitFor('the request to begin', async () => (await begun()).startsWith('/lost '))
    process.kill(Number((await begun()).split(' ')[1]), 'SIGKILL')
  }
  assert.deepEqual(await statuses(box, 'handler', '/lost', kill), ['502', '200'])
})
