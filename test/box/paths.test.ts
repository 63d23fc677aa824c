/** A single-page application and its API under one host: some paths for other servers, files for all others. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { startBox } from '../helpers/box.ts'

async function api(t: TestContext): Promise<string> {
  const server = createServer((req, res) =>
    res.end(`api ${req.method} ${req.url} ${req.headers['x-forwarded-prefix'] ?? ''}`.trim()),
  ).listen(0, '127.0.0.1')
  new WebSocketServer({ server }).on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const PROGRAM = `require('node:http').createServer((req, res) => res.end('program ' + req.url)).listen(process.env.SOCKET)`

test('some paths go to an upstream or a program, and everything else is files', async (t) => {
  const files = {
    'dist/index.html': 'spa',
    'dist/assets/app.js': 'js',
    'dist/api/hidden.txt': 'never',
    'docs/a.txt': 'docs',
    'app.cjs': PROGRAM,
  }
  const rest = '[static]\n/ = dist\ntry = $uri, $uri/, /index.html\nimmutable = /assets\n'
  const url = await api(t)
  const ini = (name: string, what: string, more: string) =>
    `[site]\ndomains = ${name}.test\nroot = ../sites/${name}\n${what}\n[proxy]\npaths = /api, /ws\n${rest}${more}`
  const box = await startBox(t, {
    app: { files, ini: ini('app', `upstream = ${url}`, '/api/docs = docs\n') },
    strips: {
      files,
      ini: ini('strips', `upstream = ${url}`, '').replace('/ws\n', '/ws, /api/deep\nstrip_path = yes\n'),
    },
    program: { files, ini: ini('program', `command = ${process.execPath} app.cjs $SOCKET`, '') },
  })
  const told = async (site: string, path: string, method = 'GET'): Promise<string> => {
    const { status, text } = await box.ask(site, path, { method })
    return `${status} ${text}`
  }

  assert.equal(await told('app', '/'), '200 spa')
  assert.equal(await told('app', '/users/5?tab=1'), '200 spa')
  assert.equal(await told('app', '/assets/app.js'), '200 js')
  assert.equal((await box.ask('app', '/assets/app.js')).headers['cache-control'], 'public, max-age=31536000, immutable')
  assert.equal((await box.ask('app', '/users/5')).headers['cache-control'], 'public, max-age=0')
  assert.equal(await told('app', '/api'), '200 api GET /api')
  assert.equal(await told('app', '/api?x=1'), '200 api GET /api?x=1')
  assert.equal(await told('app', '/api/hidden.txt'), '200 api GET /api/hidden.txt')
  assert.equal(await told('app', '/api/users', 'DELETE'), '200 api DELETE /api/users')
  assert.equal(await told('app', '/apis'), '200 spa')
  assert.match(await told('app', '/users', 'POST'), /^405 /)
  assert.equal(await told('app', '/api/docs/a.txt'), '200 docs')
  assert.equal(await told('program', '/users'), '200 spa')
  assert.equal((await box.site('program'))?.program?.state, 'stopped')
  assert.equal(await told('program', '/api/x'), '200 program /api/x')

  // What leads out of these paths is not for the upstream, whatever that would make of it.
  for (const out of [
    '/api/../admin',
    '/api/%2e%2E/admin',
    '/api%2f..%2fadmin',
    '/api/.%2e\\admin',
    '/api/..',
    '/api/./x',
  ]) {
    assert.match(await told('strips', out), /^404 |^200 spa$/, out)
  }
  assert.match(await told('app', '/api/..;/admin'), /^404 /)
  assert.equal(await told('app', '/api/..x/a.b?c=/../d'), '200 api GET /api/..x/a.b?c=/../d')

  const forged = { headers: { 'x-forwarded-prefix': '/evil' } }
  assert.equal((await box.ask('app', '/api', forged)).text, 'api GET /api')
  assert.equal((await box.ask('strips', '/api/users?x=%2F', forged)).text, 'api GET /users?x=%2F /api')
  assert.equal(await told('strips', '/api'), '200 api GET / /api')
  assert.equal(await told('strips', '/api?x=1'), '200 api GET /?x=1 /api')
  assert.equal(await told('strips', '/api//x'), '200 api GET //x /api')
  assert.equal(await told('strips', '/api/deep/x'), '200 api GET /x /api/deep')

  const ws = new WebSocket(`ws://127.0.0.1:${box.port}/ws/chat`, { headers: { host: 'app.test' } })
  await once(ws, 'open')
  ws.send('through')
  const [echo] = (await once(ws, 'message')) as [Buffer]
  assert.equal(echo.toString(), 'through')
  ws.close()
})
