import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AnswerHead } from '../../src/dispatcher/front-response.ts'
import type { SwitchListener } from '../../src/dispatcher/switch-head.ts'
import { SwitchHead, writtenHead } from '../../src/dispatcher/switch-head.ts'

const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n'

interface Passed {
  /** All that came out, also at the end. */
  text: string
  /** What came out behind the head. */
  rest: string
  heads: AnswerHead[]
}

/** Sends bytes through in parts of this size. */
function pass(text: string, size = text.length, change?: (head: AnswerHead) => AnswerHead): Passed {
  const passed: Passed = { text: '', rest: '', heads: [] }
  const listener: SwitchListener = (head) => {
    passed.heads.push(head)
    return change?.(head)
  }
  const reader = new SwitchHead(listener)
  for (let at = 0; at < text.length; at += size) {
    const part = Buffer.from(text.slice(at, at + size), 'latin1')
    if (reader.isOver) {
      passed.text += part.toString('latin1')
      passed.rest += part.toString('latin1')
      continue
    }
    const { head, rest } = reader.take(part)
    passed.text += head.toString('latin1') + rest.toString('latin1')
    passed.rest += rest.toString('latin1')
  }
  passed.text += reader.rest().toString('latin1')
  return passed
}

test('the head of an answer to an upgrade is read, in whatever parts it comes, and nothing of it is changed', () => {
  const text = `${SWITCH}hello, \xff\r\n\r\nHTTP/1.1 200 OK\r\n\r\n`
  const headers = ['Upgrade', 'echo', 'Connection', 'Upgrade']
  for (const size of [1, 2, 3, 7, 20, text.length]) {
    const { heads, rest, ...passed } = pass(text, size)
    assert.equal(passed.text, text, String(size))
    assert.equal(rest, text.slice(SWITCH.length), String(size))
    assert.deepEqual(heads, [{ status: 101, reason: 'Switching Protocols', headers }], String(size))
  }
})

test('a head is sent as it was changed, and what comes behind it as it is', () => {
  const add = (head: AnswerHead): AnswerHead => ({ ...head, headers: [...head.headers, 'X-Own', '1'] })
  for (const size of [1, 5, 1000]) {
    const { text } = pass(`${SWITCH}hello`, size, add)
    assert.equal(text, `${SWITCH.slice(0, -2)}X-Own: 1\r\n\r\nhello`)
  }
  // Only the last of several is the answer.
  const early = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'
  assert.equal(
    pass(`${early}HTTP/1.1 401\r\n\r\n`, 9, add).text,
    `${early}${writtenHead({ status: 401, reason: '', headers: ['X-Own', '1'] })}`,
  )
  // Lines that only LF ends are what clients take them for.
  assert.equal(pass('HTTP/1.0 403 No\nA:b \n\nno', 4, add).text, 'HTTP/1.1 403 No\r\nA: b\r\nX-Own: 1\r\n\r\nno')
})

test('what is no head of HTTP, or a very long one, goes through as it is and at once', () => {
  const change = (): never => assert.fail('it is no head')
  const long = `HTTP/1.1 101 Yes\r\nA: ${'a'.repeat(16 * 1024)}`
  for (const text of ['\0\x01\x02', 'GET / HTTP/1.1\r\n\r\n', 'HTTP/2 101\r\n\r\nx', 'HTTP/1.1 99 x\r\n\r\n', long]) {
    const { rest } = pass(text, undefined, change)
    assert.equal(rest, text)
  }
  for (const line of ['no colon', ' folded: a', 'a b: c', ': d']) {
    const text = `HTTP/1.1 101 Yes\r\nA: b\r\n${line}\r\n\r\nmore`
    assert.equal(pass(text, undefined, change).rest, text)
  }
  // The site ends its half in the middle of a head.
  assert.deepEqual(pass('HTTP/1.1 101 Yes\r\nA: b'), { text: 'HTTP/1.1 101 Yes\r\nA: b', rest: '', heads: [] })
})
