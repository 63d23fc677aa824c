import assert from 'node:assert/strict'
import { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { test } from 'node:test'
import type { RequestInternals, ResponseInternals } from '../../src/worker/node-internals.ts'
import { getInternal, internalSymbols } from '../../src/worker/node-internals.ts'

test('this version of Node has the members that the adapter needs', () => {
  const request = new IncomingMessage(new Socket()) as RequestInternals
  const response = new ServerResponse(request as IncomingMessage) as ResponseInternals

  for (const name of ['_dump', '_dumpAndCloseReadable', '_addHeaderLines'] as const) {
    assert.equal(typeof request[name], 'function', name)
  }
  for (const name of ['_storeHeader', '_finish'] as const) assert.equal(typeof response[name], 'function', name)
  assert.equal(request._consuming, false)
  assert.equal(request._dumped, false)
  assert.equal(request._readableState.resumeScheduled, false)
  assert.equal(response._header, null)
  assert.equal(response._headerSent, false)
  assert.equal(response._trailer, '')
  assert.equal(response._closed, false)
  assert.equal(response.chunkedEncoding, false)
})

test('this version of Node has the symbols that the adapter needs', () => {
  const server = new Server()

  assert.equal(getInternal(server, internalSymbols.requestClass), IncomingMessage)
  assert.equal(getInternal(server, internalSymbols.responseClass), ServerResponse)
  assert.ok(internalSymbols.needDrain)
  assert.ok(internalSymbols.uniqueHeaders)
})
