import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AnswerReads } from '../../src/dispatcher/proxy/answer-reads.ts'

/** As a read from a socket: bytes in memory of their own. */
const read = (): Buffer => Buffer.allocUnsafeSlow(64 * 1024)
const isGivenBack = ({ buffer }: Buffer): boolean => (buffer as ArrayBuffer).detached

test('a read of an answer is given back when all of its parts are passed on, and a part of the next one has come', () => {
  const reads = new AnswerReads()
  const [first, second, third] = [read(), read(), read()]
  reads.memoryOf(first.subarray(100))?.release()

  const parts = [reads.memoryOf(second.subarray(10, 2000)), reads.memoryOf(second.subarray(2010))]
  parts[1]?.release()
  parts[0]?.release()
  assert.equal(isGivenBack(second), false)
  const last = reads.memoryOf(third.subarray(0, 60_000))
  assert.equal(isGivenBack(second), true)

  // The head may be in the first, trailers in the last.
  last?.release()
  assert.deepEqual([isGivenBack(first), isGivenBack(third)], [false, false])
})

test('what is not passed on yet is not given back, and what is small never', () => {
  const reads = new AnswerReads()
  const [second, small] = [read(), Buffer.allocUnsafeSlow(1000)]
  reads.memoryOf(read())
  const waiting = reads.memoryOf(second)
  assert.equal(reads.memoryOf(small), undefined)
  reads.memoryOf(read())
  assert.equal(isGivenBack(second), false)

  waiting?.onWritten(null)

  assert.deepEqual([isGivenBack(second), isGivenBack(small)], [true, false])
})
