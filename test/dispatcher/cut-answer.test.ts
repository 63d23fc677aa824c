/** Answers that end in the middle: how a client knows, over a real socket. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { createServer } from '../../src/core/node-http.ts'
import { cut } from '../../src/dispatcher/client-exchange.ts'
import { FrontResponse } from '../../src/dispatcher/front-response.ts'

/** @returns what a client gets, and the code of the error with which its connection ends */
async function ask(
  t: TestContext,
  version: string,
  answer: (res: FrontResponse) => void,
): Promise<{ text: string; code: string | undefined }> {
  const server = createServer({ ServerResponse: FrontResponse }, (_, res) => answer(res))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').setEncoding('latin1')
  let text = ''
  let code: string | undefined
  socket.on('data', (part: string) => {
    text += part
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code
  })
  socket.write(`GET / HTTP/${version}\r\nHost: a.test\r\n\r\n`)
  await once(socket, 'close').catch(() => {})
  return { text, code }
}

for (const [how, end] of [
  ['cut', cut],
  ['destroyed', (res: FrontResponse) => void res.destroy()],
] as const) {
  test(`a client of HTTP/1.0 hears by a reset that an answer without a length was ${how}`, async (t) => {
    const { text, code } = await ask(t, '1.0', (res) => {
      res.write('half')
      // Once it has left: what is destroyed takes with it what has not.
      setImmediate(() => end(res))
    })

    assert.match(text, /^HTTP\/1\.1 200 OK[\s\S]*\r\n\r\nhalf$/)
    assert.equal(code, 'ECONNRESET')
  })
}

test('what was written before an answer is cut leaves, also in the same turn', async (t) => {
  const { text, code } = await ask(t, '1.0', (res) => {
    res.write('half')
    cut(res)
  })

  assert.match(text, /\r\n\r\nhalf$/)
  assert.equal(code, 'ECONNRESET')
})

test('a client of HTTP/1.1 hears by the missing end, and a whole answer ends no connection with a reset', async (t) => {
  const half = await ask(t, '1.1', (res) => {
    res.write('half')
    cut(res)
  })
  const whole = await ask(t, '1.0', (res) => {
    res.write('whole')
    res.end()
  })

  assert.match(half.text, /\r\n4\r\nhalf\r\n$/)
  assert.match(whole.text, /\r\n\r\nwhole$/)
  assert.deepEqual([half.code, whole.code], [undefined, undefined])
})
