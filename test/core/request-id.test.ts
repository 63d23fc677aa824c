import assert from 'node:assert/strict'
import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { test } from 'node:test'
import { addRequestId, findRequestId, giveRequestId } from '../../src/core/request-id.ts'

const MADE = /^[0-9a-f]{16}-[0-9a-z]+$/

const giveTo = (rawHeaders: string[]): string => giveRequestId({ headers: {}, rawHeaders })

test('a request that came with an id keeps it', () => {
  const headers = ['Host', 'a.test', 'x-REQUEST-id', '7f/3:a+b=@_.-']

  assert.equal(giveTo(headers), '7f/3:a+b=@_.-')
  assert.deepEqual(headers, ['Host', 'a.test', 'x-REQUEST-id', '7f/3:a+b=@_.-'])
})

test('one that came without gets one of its own', () => {
  const [first, second] = [
    ['Host', 'a.test'],
    ['Host', 'a.test'],
  ]

  const id = giveTo(first)

  assert.match(id, MADE)
  assert.deepEqual(first, ['Host', 'a.test', 'X-Request-Id', id])
  assert.notEqual(giveTo(second), id)
})

for (const bad of ['', 'a b', 'a"b', 'a\tb', 'é', '<x>', 'x'.repeat(129)]) {
  test(`an id that cannot be used is replaced: ${JSON.stringify(bad.slice(0, 10))}`, () => {
    const headers = ['X-Request-Id', bad, 'Accept', '*/*']

    const id = giveTo(headers)

    assert.match(id, MADE)
    assert.deepEqual(headers, ['X-Request-Id', id, 'Accept', '*/*'])
  })
}

test('of several ids the first counts, and is the only one that is passed on', () => {
  const headers = ['X-Request-Id', 'one', 'X-Request-Id', 'two', 'Accept', '*/*', 'x-request-id', 'three']

  assert.equal(giveTo(headers), 'one')
  assert.deepEqual(headers, ['X-Request-Id', 'one', 'Accept', '*/*'])
  assert.equal(findRequestId(headers), 'one')
  assert.equal(findRequestId(['Request-Id', 'x']), undefined)
})

/** As the parser hands it over: its headers are made of the raw ones when they are first asked for. */
function lazyRequest(rawHeaders: string[]): IncomingMessage {
  const request = new IncomingMessage(new Socket())
  const lazily = request as unknown as { _addHeaderLines(rawHeaders: string[], count: number): void }
  lazily._addHeaderLines(rawHeaders, rawHeaders.length)
  request.rawHeaders = rawHeaders
  return request
}

test('what is sent on gets an id without the headers being made, and they are whole later', () => {
  const [fresh, bad] = [lazyRequest(['Accept', '*/*']), lazyRequest(['X-Request-Id', 'a b', 'x-request-id', 'c'])]

  addRequestId(fresh)
  addRequestId(bad)

  assert.match(findRequestId(fresh.rawHeaders) ?? '', MADE)
  assert.deepEqual({ ...fresh.headers }, { accept: '*/*' })
  assert.match(findRequestId(bad.rawHeaders) ?? '', MADE)
  assert.equal(bad.rawHeaders.length, 2)
})

test('the headers that Node makes of the raw ones later are whole', () => {
  const request = lazyRequest(['X-Request-Id', 'one', 'X-Request-Id', 'two', 'Accept', '*/*'])

  giveRequestId(request)

  assert.deepEqual([request.headers['x-request-id'], request.headers.accept], ['one', '*/*'])
})
