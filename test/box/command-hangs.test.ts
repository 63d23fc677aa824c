/**
 * Programs that run on and serve nobody: they loop, are stopped, or close what they listened on. And those that are only slow,
 * which nobody may take for that.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

const PYTHON = '/usr/bin/python3'

const NODE = `const { createServer } = require('node:http')
const { existsSync } = require('node:fs')
const server = createServer((req, res) => {
  if (req.method === 'OPTIONS') console.log('asked for a sign: ' + req.headers.host + req.url)
  if (req.url === '/loop') while (true);
  if (req.url === '/loop-for-a-time') while (!existsSync('gate'));
  if (req.url === '/never') return
  res.setHeader('connection', 'close')
  if (req.url === '/close') server.close()
  res.end(String(process.pid))
})
setInterval(() => {}, 1000)
server.listen(process.env.SOCKET ?? Number(process.env.PORT), process.env.SOCKET ? undefined : '127.0.0.1')
`

/** Does one thing at a time, as many small programs do: nobody is answered while a body is read. */
const ONE_AT_A_TIME = `import os, http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(str(os.getpid()))
    def do_POST(self):
        self.answer(f"{os.getpid()} {len(self.rfile.read(int(self.headers['Content-Length'])))}")
    def answer(self, text):
        self.send_response(200)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
`

function site(line: string, files: Record<string, string>, limits: string): SiteFixture {
  return { files, ini: `[site]\ndomains = app.test\nroot = ../sites/app\ncommand = ${line}\n[limits]\n${limits}` }
}

function node(limits: string, place = '$SOCKET'): SiteFixture {
  return site(`${process.execPath} app.cjs ${place}`, { 'app.cjs': NODE }, limits)
}

async function pidOf(box: Box): Promise<number> {
  return Number((await box.ask('app', '/')).text)
}

async function programOf(box: Box) {
  return (await box.site('app'))?.program
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** How many unix sockets are there: those that listen, and the ends of connections to them. */
function socketsBelow(folder: string): number {
  return readFileSync('/proc/net/unix', 'utf8').split(folder).length - 1
}

const QUICK = 'timeout = 500ms\nhang_timeout = 300ms\nstop_timeout = 200ms\n'

test('a program that loops or is stopped is ended and started again', async (t) => {
  for (const fault of ['loop', 'stopped'])
    await t.test(fault, async (t) => {
      const box = await startBox(t, { app: node(`${QUICK}queue_timeout = 20s\n`) })
      const first = await pidOf(box)
      if (fault === 'stopped') process.kill(first, 'SIGSTOP')
      else assert.match(String((await box.ask('app', '/loop')).status), /^50[24]$/)

      // Each waits for half a second at most, and then the next comes.
      await box.waitFor('it to be served again', async () => (await box.ask('app', '/')).status === 200)

      assert.notEqual(await pidOf(box), first)
      const { state, starts, lastEnd } = (await programOf(box)) ?? {}
      assert.deepEqual([state, starts], ['running', 2])
      assert.match(lastEnd?.why ?? '', /^did nothing for 1 s while requests waited$/)
      assert.match(
        box.output,
        new RegExp(`"site":"app","pid":${first},"silentMs":\\d+.*"msg":"command hangs, and is ended"`),
      )
      await box.waitFor('it to be gone', () => !isAlive(first))
    })
})

test('a program that is slow with some, and gives a sign of life, is left alone', async (t) => {
  const box = await startBox(t, { app: node(`${QUICK}max_body = 1MB\n`) })
  const first = await pidOf(box)

  const late = await Promise.all(['/never', '/never', '/never'].map((path) => box.ask('app', path)))

  assert.deepEqual(
    late.map(({ status }) => status),
    [504, 504, 504],
  )
  await box.waitFor('the question', () => box.output.includes('asked for a sign: app.test/'))
  assert.equal(await pidOf(box), first)
  assert.equal((await programOf(box))?.lastEnd, undefined)
})

test('one that is busy for longer than hang_timeout and comes back in time is left alone', async (t) => {
  const box = await startBox(t, { app: node('timeout = 20s\nhang_timeout = 100ms\n') })
  const first = await pidOf(box)

  const busy = box.ask('app', '/loop-for-a-time')
  const next = box.ask('app', '/')
  await box.waitFor('them to be sent', async () => (await box.site('app'))?.inFlight === 2)
  // What it listens on, both of them, and the question.
  await box.waitFor('the question', () => socketsBelow(join(box.dir, 'run/commands')) === 4)
  box.write('sites/app/gate', '')

  assert.deepEqual([(await busy).text, (await next).text], [String(first), String(first)])
  assert.equal((await programOf(box))?.starts, 1)
})

test('one that has answered nobody yet may be loading, and has longer', async (t) => {
  const box = await startBox(t, { app: node(QUICK) })

  // By the time of the second any other would have been ended.
  for (let count = 0; count < 2; count++) assert.equal((await box.ask('app', '/loop-for-a-time')).status, 504)
  box.write('sites/app/gate', '')
  await box.waitFor('it to answer', async () => (await box.ask('app', '/')).status === 200)

  const { starts, lastEnd } = (await programOf(box)) ?? {}
  assert.deepEqual([starts, lastEnd], [1, undefined])
})

test('with hang_timeout = 0s nothing is done about it', async (t) => {
  const box = await startBox(t, { app: node('timeout = 300ms\nhang_timeout = 0s\n') })
  await pidOf(box)
  for (let count = 0; count < 3; count++) assert.equal((await box.ask('app', '/loop')).status, 504)
  assert.equal((await programOf(box))?.starts, 1)
})

/** @returns the text of the answer */
async function sendSlowly(port: number, part: Buffer, parts: number): Promise<string> {
  const headers = { host: 'app.test', 'content-length': String(part.byteLength * parts) }
  const upload = request({ port, host: '127.0.0.1', method: 'POST', headers })
  const answered = once(upload, 'response') as Promise<[IncomingMessage]>
  for (let count = 0; count < parts; count++) {
    upload.write(part)
    await delay(50)
  }
  upload.end()
  return text((await answered)[0])
}

test('who takes a long body and answers nobody else meanwhile does not hang', async (t) => {
  const app = site(`${PYTHON} app.py`, { 'app.py': ONE_AT_A_TIME }, `${QUICK}body_wait = 0s\n[proxy]\nbuffer = 0B\n`)
  const box = await startBox(t, { app })
  const first = await pidOf(box)
  const part = Buffer.alloc(128 * 1024)
  const parts = 40
  const upload = sendSlowly(box.port, part, parts)
  await box.waitFor('it to be on its way', async () => (await box.site('app'))?.inFlight === 1)
  const others = await Promise.all([box.ask('app', '/'), box.ask('app', '/')])

  assert.deepEqual(
    others.map(({ status }) => status),
    [504, 504],
  )
  assert.equal(await upload, `${first} ${part.byteLength * parts}`)
  assert.equal((await programOf(box))?.starts, 1)
})

test('a program that closes what it listened on is replaced, and who comes meanwhile waits', async (t) => {
  for (const place of ['$SOCKET', '$PORT'])
    await t.test(place, async (t) => {
      const box = await startBox(t, { app: node('stop_timeout = 200ms\n', place) })
      const first = await pidOf(box)
      await box.ask('app', '/close')

      const answers = await Promise.all(['/', '/', '/'].map((path) => box.ask('app', path)))

      assert.deepEqual(
        answers.map(({ status }) => status),
        [200, 200, 200],
        place,
      )
      assert.notEqual(await pidOf(box), first)
      assert.equal((await programOf(box))?.starts, 2)
    })
})
