import assert from 'node:assert/strict'
import { test } from 'node:test'
import { knownResponseHead, parseHeaderLines, parseResponseHead } from '../../src/worker/response-head.ts'

test('a head is taken apart', () => {
  const head = parseResponseHead('HTTP/1.1 200 OK\r\nX-A: 1\r\nX-B: a: b\r\nX-Empty: \r\n\r\n', false)

  assert.deepEqual(head, { status: 200, reason: 'OK', headers: ['X-A', '1', 'X-B', 'a: b', 'X-Empty', ''] })
})

test('framing headers are left out, in any case of letters', () => {
  const framing = [
    'Connection: keep-alive',
    'connection: Keep-Alive',
    'Keep-Alive: timeout=5',
    'KEEP-ALIVE: x',
    'Transfer-Encoding: chunked',
  ]
  const { headers } = parseResponseHead(`HTTP/1.1 200 OK\r\n${framing.join('\r\n')}\r\nSet-Cookie: a\r\n\r\n`, false)

  assert.deepEqual(headers, ['Set-Cookie', 'a'])
})

test('a Connection header that says something stays', () => {
  const { headers } = parseResponseHead(
    'HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nconnection: close\r\n\r\n',
    false,
  )

  assert.deepEqual(headers, ['Connection', 'Upgrade', 'connection', 'close'])
})

test('a reason may be empty or long', () => {
  assert.equal(parseResponseHead('HTTP/1.1 404 \r\n\r\n', false).reason, '')
  assert.equal(parseResponseHead('HTTP/1.1 404 Nothing to see here\r\n\r\n', false).reason, 'Nothing to see here')
})

test('letters beyond ASCII are bytes, of latin1 or of UTF-8', () => {
  const text = 'HTTP/1.1 200 OK\r\nX: \u00fc\r\n\r\n'

  assert.deepEqual(parseResponseHead(text, false).headers, ['X', '\u00fc'])
  assert.deepEqual(parseResponseHead(text, true).headers, ['X', '\u00c3\u00bc'])
})

test('trailers are lines too', () => {
  assert.deepEqual(parseHeaderLines(''), [])
  assert.deepEqual(parseHeaderLines('X-A: 1\r\nX-A: 2\r\n'), ['X-A', '1', 'X-A', '2'])
})

test('a head that comes again is the same as one that is read anew, whatever came between', () => {
  const texts = ['é', 'e', 'ee'].map((value) => `HTTP/1.1 200 OK\r\nX-A: ${value}\r\nSet-Cookie: a\r\n\r\n`)
  for (let round = 0; round < 3; round++) {
    for (const text of texts) {
      for (const isUtf8 of [true, false]) {
        const { text: inFrame, ...head } = knownResponseHead(text, isUtf8)
        const expected = parseResponseHead(text, isUtf8)
        assert.deepEqual(head, expected)
        assert.equal(inFrame, [expected.reason, ...expected.headers].join('\n'))
      }
    }
  }
  assert.equal(knownResponseHead(texts[1] as string, false), knownResponseHead(texts[1] as string, false))
  assert.throws(() => knownResponseHead('HTTP/1.1 200 OK\nX: y\r\n\r\n', false), /line break/)
})
