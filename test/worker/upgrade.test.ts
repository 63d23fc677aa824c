/**
 * Connections that become the site's own: WebSocket with `ws`, upgrades by hand, CONNECT.
 */
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { BODY_WINDOW_BYTES } from '../../src/protocol/frames.ts'
import { siteLoader } from '../helpers/site-files.ts'
import type { DrivenRequest, DrivenThread } from '../helpers/thread-driver.ts'
import { shareThread } from '../helpers/thread-driver.ts'

// A package without types of its own.
const { Receiver, Sender } = createRequire(import.meta.url)('ws')

let thread: DrivenThread

shareThread((it) => {
  thread = it
})

const site = siteLoader(() => thread, 'main.cjs', true)

/** A server with an 'upgrade' listener `(req, socket, head) => { … }`. */
function upgrading(t: { after(end: () => unknown): void }, body: string): Promise<number> {
  return site(
    t,
    `const server = require('http').createServer((req, res) => res.end('plain'))
     server.on('upgrade', (req, socket, head) => { ${body} })
     server.listen(3000)`,
  )
}

const HANDSHAKE = [
  'Host',
  'a',
  'Upgrade',
  'websocket',
  'Connection',
  'Upgrade',
  'Sec-WebSocket-Version',
  '13',
  'Sec-WebSocket-Key',
  'dGhlIHNhbXBsZSBub25jZQ==',
]

/** The client's end of a WebSocket, over the frames of a request. */
class SocketClient {
  readonly request: DrivenRequest
  readonly messages: string[] = []
  closeCode: number | undefined
  readonly #sender
  #taken = 0
  readonly #receiver = new Receiver({ isServer: false })

  constructor(request: DrivenRequest) {
    this.request = request
    const out = new Duplex({ read() {}, write: (chunk: Buffer, _encoding, done) => done(void request.send(chunk)) })
    this.#sender = new Sender(out)
    this.#receiver.on('message', (data: Buffer) => this.messages.push(data.toString()))
    this.#receiver.on('conclude', (code: number) => {
      this.closeCode = code
    })
    request.news.subscribe(() => this.#take())
  }

  send(text: string): void {
    this.#sender.send(text, { mask: true, fin: true, opcode: 1, compress: false, rsv1: false, readOnly: false })
  }

  close(code: number): void {
    this.#sender.close(code, '', true)
  }

  /** Waits for the nth message. */
  async message(count: number): Promise<string> {
    await thread.wait(() => {
      this.#take()
      return this.messages.length >= count
    }, `message ${count}`)
    return this.messages[count - 1] as string
  }

  #take(): void {
    const { body } = this.request
    const from = Math.max(this.#taken, body.indexOf('\r\n\r\n') + 4)
    if (from <= 3 || from >= body.byteLength) return
    this.#taken = body.byteLength
    this.#receiver.write(body.subarray(from))
  }
}

test('a WebSocket of ws echoes, and closes in good order', async (t) => {
  const of = await site(
    t,
    `const server = require('http').createServer()
     const { WebSocketServer } = require('ws')
     new WebSocketServer({ server }).on('connection', (socket, req) => {
       socket.send('welcome ' + req.socket.remoteAddress)
       socket.on('message', (data) => socket.send('echo ' + data + ' ' + process.cwd().length))
       socket.on('close', (code) => console.log('closed', code))
     })
     server.listen(3000)`,
  )
  const request = thread.request(of, { upgrade: true, headers: HANDSHAKE })
  await request.frame('tunnel')
  const client = new SocketClient(request)

  assert.equal(await client.message(1), 'welcome 192.0.2.7')
  client.send('hello')
  assert.match(await client.message(2), /^echo hello \d+$/)
  client.send('x'.repeat(300_000))
  assert.equal((await client.message(3)).length, 'echo '.length + 300_000 + (await client.message(2)).slice(10).length)
  client.close(4001)
  await request.frame('end')
  request.end()
  await thread.log(of, /^closed 4001$/)

  assert.match(request.text, /^HTTP\/1.1 101 Switching Protocols\r\n/)
  assert.equal(request.types.includes('abort'), false, 'nothing is cut off')
})

test('a tunnel opens with its first use, and not before', async (t) => {
  const of = await site(
    t,
    `let answer
     const server = require('http').createServer((req, res) => { answer(); res.end() })
     server.on('upgrade', (req, socket) => { answer = () => socket.end('HTTP/1.1 101 Switching Protocols\\r\\n\\r\\n') })
     server.listen(3000)`,
  )
  const request = thread.request(of, { upgrade: true })
  await request.frame('started')
  assert.deepEqual(request.types, ['started'])

  await thread.get(of)
  await request.frame('end')

  assert.deepEqual(request.types, ['started', 'tunnel', 'body', 'end'])
  assert.equal(request.text, 'HTTP/1.1 101 Switching Protocols\r\n\r\n')
})

test('an upgrade that is turned down reaches the client', async (t) => {
  const of = await upgrading(t, "socket.write('HTTP/1.1 401 Unauthorized\\r\\n\\r\\n'); socket.destroy()")
  const request = thread.request(of, { upgrade: true })

  await request.frame('abort')

  assert.deepEqual(request.types, ['tunnel', 'body', 'abort'])
  assert.match(request.text, /401/)
})

test('bytes that came behind the request are handed over', async (t) => {
  const of = await upgrading(t, "socket.end('got ' + head)")

  const request = await thread.get(of, '/', { upgrade: true, body: 'early bytes' })

  assert.equal(request.text, 'got early bytes')
})

test('a socket of an upgrade is bounded in both directions', async (t) => {
  const of = await upgrading(
    t,
    `socket.write('go')
     if (req.url === '/down') return socket.write(Buffer.alloc(1000000), () => console.log('taken'))
     let bytes = 0
     setTimeout(() => { socket.on('data', (chunk) => (bytes += chunk.length)).on('end', () => socket.end('bytes ' + bytes)) }, 20)`,
  )
  const down = thread.request(of, { url: '/down', upgrade: true, credit: false })
  await down.bytes(BODY_WINDOW_BYTES)
  assert.equal(down.body.byteLength, BODY_WINDOW_BYTES)
  down.credit(1_000_000)
  await thread.log(of, /^taken$/)

  const up = thread.request(of, { url: '/up', upgrade: true })
  await up.frame('tunnel')
  await up.upload(3_000_000)
  up.end()
  await up.over()

  assert.equal(up.text, 'gobytes 3000000')
  down.abort()
})

test('a half that is closed leaves the other open', async (t) => {
  const of = await upgrading(
    t,
    "socket.write('go'); socket.on('end', () => setTimeout(() => socket.end('after the end'), 5)); socket.resume()",
  )
  const request = thread.request(of, { upgrade: true })
  await request.frame('tunnel')

  request.end()
  await request.frame('end')

  assert.equal(request.text, 'goafter the end')
})

test('the end of a socket that nobody reads is heard', async (t) => {
  const of = await upgrading(t, "socket.write('go'); socket.on('end', () => socket.end('heard'))")
  const request = thread.request(of, { upgrade: true })
  await request.frame('tunnel')

  request.end()
  await request.frame('end')

  assert.equal(request.text, 'goheard')
})

test('a client that goes away closes the socket', async (t) => {
  const of = await upgrading(
    t,
    "socket.write('go'); socket.on('close', () => console.log('closed', socket.destroyed)); socket.resume()",
  )
  const request = thread.request(of, { upgrade: true })
  await request.frame('tunnel')

  request.abort()

  await thread.log(of, /^closed true$/)
})

test('a timeout of an upgraded socket is the site’s own', async (t) => {
  const of = await upgrading(t, "socket.write('go'); socket.setTimeout(20, () => socket.end('timed out'))")

  const request = thread.request(of, { upgrade: true })
  await request.frame('end')

  assert.equal(request.text, 'gotimed out')
})

test('an error in an upgrade before its answer is a 500', async (t) => {
  const of = await upgrading(t, "throw new Error('in the upgrade')")

  const request = await thread.get(of, '/', { upgrade: true })

  assert.equal(request.status, 500)
  await thread.log(of, /in the upgrade/)
})

test('CONNECT is a tunnel for a server that takes it', async (t) => {
  const of = await site(
    t,
    `const server = require('http').createServer()
     server.on('connect', (req, socket) => {
       socket.write('HTTP/1.1 200 Connection Established\\r\\n\\r\\n' + req.url)
       socket.on('data', (data) => socket.end(String(data).toUpperCase()))
     })
     server.listen(3000)`,
  )
  const request = thread.request(of, { url: 'example.com:443', method: 'CONNECT', last: false })
  await request.frame('tunnel')

  request.send('hello')
  await request.frame('end')

  assert.match(request.text, /Established\r\n\r\nexample.com:443HELLO$/)
})

for (const [how, act] of [
  ['is destroyed', 'socket.destroy()'],
  ['is destroyed with an error', "socket.destroy(new Error('no'))"],
  ['is ended both ways', 'socket.resume(); socket.end()'],
] as const) {
  test(`a socket that ${how} closes with the events and the flag of plain Node`, async (t) => {
    const of = await upgrading(
      t,
      `const events = []
       socket.on('error', (error) => events.push('error', error.message))
       socket.on('close', (...args) => { console.log(JSON.stringify([...events, 'close', ...args])) })
       socket.write('go')
       ${act}
       events.push('returned')`,
    )

    const request = thread.request(of, { headers: HANDSHAKE, upgrade: true })
    if (how === 'is ended both ways') {
      await request.frame('end')
      request.end()
    }

    const expected =
      how === 'is destroyed with an error' ? ['returned', 'error', 'no', 'close', true] : ['returned', 'close', false]
    assert.deepEqual(JSON.parse((await thread.log(of, /close/)).text), expected)
  })
}

test('shouldUpgradeCallback says which upgrades are taken, and sees the request that its server gets', async (t) => {
  const of = await site(
    t,
    `const shouldUpgradeCallback = (req) => {
       console.log('asked', req.upgrade, req.socket.remoteAddress)
       req.known = 'known'
       if (req.url === '/error') throw new Error('in the callback')
       if (req.url === '/gone') req.socket.destroy()
       return req.url === '/taken'
     }
     const answer = (req, ...more) => [req.upgrade, req.known, req.socket.readyState, ...more].join(' ')
     const server = require('http').createServer({ shouldUpgradeCallback }, (req, res) => {
       req.resume().on('end', () => res.end(answer(req, 'plain')))
     })
     server.on('upgrade', (req, socket) => socket.end(answer(req, req.socket === socket)))
     server.listen(3000)`,
  )
  const ask = (url: string): Promise<DrivenRequest> => thread.get(of, url, { upgrade: true, headers: HANDSHAKE })

  const [taken, left, failed, gone] = [await ask('/taken'), await ask('/left'), await ask('/error'), await ask('/gone')]

  assert.deepEqual([taken.types.includes('tunnel'), taken.text], [true, 'true known open true'])
  assert.deepEqual([left.status, left.text], [200, 'false known open plain'])
  assert.equal(failed.status, 500)
  assert.deepEqual(gone.types.at(-1), 'abort')
  await thread.log(of, /^asked true 192\.0\.2\.7$/)
  await thread.log(of, /in the callback/)
})
