import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AnswerInvalid, answerFraming } from '../../src/dispatcher/answer-framing.ts'

function framing(method: string, status: number, ...headers: string[]) {
  return answerFraming(method, { status, reason: '', headers })
}

test('the length that a site announces is held to, where a body goes out', () => {
  assert.equal(framing('GET', 200, 'content-length', '12').length, 12)
  assert.equal(framing('GET', 200, 'Content-Length', '0').length, 0)
  assert.equal(framing('GET', 200, 'content-type', 'text/plain').length, undefined)
})

test('answers without a body may announce any length', () => {
  for (const [method, status] of [
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ] as const) {
    assert.equal(framing(method, status, 'content-length', '12').length, undefined)
  }
})

test('a 204 says nothing of a length, which some client would wait for', () => {
  assert.deepEqual(framing('GET', 204, 'A', 'b', 'Content-Length', '12').headers, ['A', 'b'])
  assert.deepEqual(framing('GET', 304, 'Content-Length', '12').headers, ['Content-Length', '12'])
  assert.deepEqual(framing('HEAD', 200, 'Content-Length', '12').headers, ['Content-Length', '12'])
})

test('a head that two readers could take for two lengths is refused', () => {
  for (const value of ['x', '-1', '1.5', '', '5, 5', '0x10', ' 5', '1e3', '99999999999999999999']) {
    assert.throws(() => framing('GET', 200, 'Content-Length', value), AnswerInvalid, value)
  }
  assert.throws(() => framing('GET', 200, 'Content-Length', '5', 'content-length', '5'), /two Content-Length/)
  assert.throws(() => framing('HEAD', 200, 'Content-Length', '5', 'content-length', '6'), /two Content-Length/)
})

test('transfer codings are left to the front, and unknown ones refused', () => {
  const { headers, length } = framing('GET', 200, 'A', 'b', 'Transfer-Encoding', 'Chunked', 'Content-Length', '3')

  assert.deepEqual([headers, length], [['A', 'b', 'Content-Length', '3'], 3])
  assert.throws(() => framing('GET', 200, 'transfer-encoding', 'gzip, chunked'), /Transfer-Encoding/)
})

test('a status that is not final is no answer', () => {
  for (const status of [100, 101, 103, 199]) assert.throws(() => framing('GET', status), /not final/)
})
