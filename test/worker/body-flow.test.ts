import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Channel } from '../../src/protocol/channel.ts'
import type { Frame } from '../../src/protocol/frames.ts'
import { BODY_WINDOW_BYTES, MAX_CHUNK_BYTES } from '../../src/protocol/frames.ts'
import { ReceiveFlow, SendFlow } from '../../src/worker/body-flow.ts'

/** @returns `taken` has the kernel take what was flushed */
function recording(): { channel: Channel; frames: Frame[]; taken(): void } {
  const frames: Frame[] = []
  const waiting: (() => void)[] = []
  const flush = (taken?: () => void): void => void (taken === undefined || waiting.push(taken))
  const channel = { send: (frame: Frame) => frames.push(frame), flush, unsentBytes: 0, destroy: () => {} }
  return { channel, frames, taken: () => waiting.splice(0).forEach((call) => void call()) }
}

const sizes = (frames: Frame[]) => frames.map((frame) => (frame.type === 'body' ? frame.chunk.byteLength : frame.type))

test('bytes leave at once while there is room, in chunks', () => {
  const { channel, frames, taken } = recording()
  const calls: unknown[] = []

  new SendFlow(channel, 1).send(Buffer.alloc(MAX_CHUNK_BYTES + 10), (error) => calls.push(error))
  taken()

  assert.deepEqual(sizes(frames), [MAX_CHUNK_BYTES, 10])
  assert.deepEqual(calls, [undefined])
})

test('bytes beyond the window wait for credit, and so does their callback', () => {
  const { channel, frames, taken } = recording()
  const flow = new SendFlow(channel, 1)
  let calls = 0

  flow.send(Buffer.alloc(BODY_WINDOW_BYTES + 100), () => calls++)
  assert.equal(flow.isHeld, true)
  flow.credit(60)
  taken()
  assert.equal(calls, 0)
  flow.credit(60)
  taken()

  assert.deepEqual(sizes(frames), [MAX_CHUNK_BYTES, MAX_CHUNK_BYTES, 60, 40])
  assert.equal(calls, 1)
  assert.equal(flow.isHeld, false)
  assert.equal(flow.window, 20)
})

test('a flow that is stopped tells who waits, and sends nothing more', () => {
  const { channel, frames } = recording()
  const flow = new SendFlow(channel, 1)
  const calls: unknown[] = []
  flow.send(Buffer.alloc(BODY_WINDOW_BYTES + 1), (error) => calls.push(error))
  const before = frames.length
  const error = new Error('gone')

  flow.stop(error)
  flow.credit(100)

  assert.deepEqual(calls, [error])
  assert.equal(frames.length, before)
})

test('a large buffer is not copied, and called back when the kernel has it', () => {
  const { channel, frames, taken } = recording()
  const flow = new SendFlow(channel, 1)
  const bytes = Buffer.alloc(2 * BODY_WINDOW_BYTES, 'a')
  let calls = 0

  flow.send(bytes, () => calls++)
  flow.credit(BODY_WINDOW_BYTES)
  assert.equal(calls, 0)
  taken()

  const parts = frames.map((frame) => frame.type === 'body' && frame.chunk.buffer)
  assert.deepEqual(parts, [bytes.buffer, bytes.buffer, bytes.buffer, bytes.buffer])
  assert.equal(calls, 1)
})

test('a buffer of some size may be written to again after its callback', () => {
  const { channel, frames } = recording()
  const bytes = Buffer.alloc(20_000, 'a')

  new SendFlow(channel, 1).send(bytes, () => bytes.fill('b'))

  const [frame] = frames
  assert.equal(frame?.type === 'body' && frame.chunk.at(0), 'a'.charCodeAt(0))
})

test('credit is granted in portions', () => {
  const { channel, frames } = recording()
  const flow = new ReceiveFlow(channel, 9)

  flow.received(10_000)
  flow.grant()
  assert.deepEqual(frames, [])
  flow.received(30_000)
  flow.grant()
  flow.grant()

  assert.deepEqual(frames, [{ type: 'credit', id: 9, bytes: 40_000 }])
})
