import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeFrame, FrameDecoder } from '../../src/protocol/codec.ts'
import type { Frame } from '../../src/protocol/frames.ts'
import { LARGE_READ_BYTES, ownMemory, readMemory } from '../../src/protocol/read-memory.ts'

type Body = Frame & { type: 'body' }

const HEAD = { status: 200, reason: 'OK', headers: ['a', 'b'] }

function bodyFrame(id: number, bytes: number): Frame {
  return { type: 'body', id, chunk: Buffer.alloc(bytes, id) }
}

/** As a read from a socket: bytes in memory of their own. */
function readOf(...frames: Frame[]): Buffer {
  const bytes = Buffer.concat(frames.map(encodeFrame))
  const read = Buffer.allocUnsafeSlow(bytes.byteLength)
  read.set(bytes)
  return read
}

function decode(...reads: Buffer[]): { bodies: Body[]; frames: Frame[] } {
  const frames: Frame[] = []
  const decoder = new FrameDecoder((frame) => frames.push(frame))
  for (const read of reads) decoder.push(read, true)
  return { frames, bodies: frames.filter((frame) => frame.type === 'body') }
}

const isGivenBack = (read: Buffer): boolean => (read.buffer as ArrayBuffer).detached

test('memory is given back when the last body in it was passed on', () => {
  const read = readOf(bodyFrame(1, 20_000), bodyFrame(2, 20), bodyFrame(3, 20_000))
  const { bodies } = decode(read)

  bodies[0]?.memory?.release()
  bodies[2]?.memory?.release()
  assert.equal(isGivenBack(read), false)
  assert.deepEqual(bodies[1]?.chunk, Buffer.alloc(20, 2))
  bodies[1]?.memory?.onWritten(null)

  assert.equal(isGivenBack(read), true)
})

test('what could not be written may still be on its way, and is left to the garbage collector', () => {
  const read = readOf(bodyFrame(1, 20_000))
  const { bodies } = decode(read)

  bodies[0]?.memory?.onWritten(new Error('the client is gone'))

  assert.equal(isGivenBack(read), false)
})

test('memory without a body is given back at once', () => {
  const read = readOf(...Array.from({ length: 2_000 }, (_, id): Frame => ({ type: 'credit', id, bytes: id })))
  const { frames } = decode(read)

  assert.equal(frames.length, 2_000)
  assert.equal(isGivenBack(read), true)
})

test('a small read, or one whose memory is not its own, is never given back', () => {
  const small = readOf(bodyFrame(1, 100))
  const { bodies } = decode(small)
  assert.equal(bodies[0]?.memory, undefined)

  const shared: Body[] = []
  new FrameDecoder((frame) => shared.push(frame as Body)).push(readOf(bodyFrame(1, LARGE_READ_BYTES)))
  assert.equal(shared[0]?.memory, undefined)
})

test('the first part of an answer, and half a frame, keep their memory', () => {
  const answer: Frame = { type: 'response', id: 1, head: HEAD, body: Buffer.alloc(20_000, 7), last: false }
  const first = readOf(answer, bodyFrame(2, 20_000))
  decode(first).bodies[0]?.memory?.release()
  assert.equal(isGivenBack(first), false)

  const whole = readOf(bodyFrame(3, 20_000), bodyFrame(4, 4_000))
  const cut = Buffer.allocUnsafeSlow(22_000)
  whole.copy(cut)
  decode(cut).bodies[0]?.memory?.release()
  assert.equal(isGivenBack(cut), false)
})

test('bodies are whole until they are given back, however the bytes are cut and whoever is done first', () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 70_000 }), { minLength: 1, maxLength: 12 })
  const lengths = fc.array(fc.integer({ min: 1, max: 65_536 }), { minLength: 1, maxLength: 8 })
  const order = fc.array(fc.boolean(), { minLength: 1, maxLength: 16 })
  fc.assert(
    fc.property(sizes, lengths, order, (bodySizes, readLengths, isDone) => {
      const frames = bodySizes.map((size, at) => bodyFrame(at + 1, size))
      const bytes = Buffer.concat(frames.map(encodeFrame))
      const received = new Map<number, number>()
      let held: Body[] = []
      const passOn = (body: Body): void => {
        assert.ok(body.chunk.every((byte) => byte === body.id))
        received.set(body.id, (received.get(body.id) ?? 0) + body.chunk.byteLength)
        body.memory?.release()
      }
      const decoder = new FrameDecoder((frame) => held.push(frame as Body))
      for (let at = 0, turn = 0; at < bytes.byteLength; turn++) {
        const read = Buffer.allocUnsafeSlow(readLengths[turn % readLengths.length] as number)
        const length = bytes.copy(read, 0, at)
        at += length
        decoder.push(read.subarray(0, length), true)
        const isNow = (_: Body, index: number): boolean => isDone[(turn + index) % isDone.length] === true
        const now = held.filter(isNow)
        held = held.filter((body) => !now.includes(body))
        for (const body of now) passOn(body)
      }
      for (const body of held) passOn(body)
      for (const [at, size] of bodySizes.entries()) assert.equal(received.get(at + 1) ?? 0, size)
    }),
    { numRuns: 200 },
  )
})

test('a part is given back by itself only where nobody can have anything else of its memory', () => {
  const own = Buffer.allocUnsafeSlow(LARGE_READ_BYTES)
  ownMemory(own)?.release()
  assert.equal(isGivenBack(own), true)

  const large = Buffer.allocUnsafeSlow(2 * LARGE_READ_BYTES)
  for (const part of [large.subarray(1), large.subarray(0, -1)]) assert.equal(ownMemory(part), undefined)
  assert.equal(ownMemory(Buffer.allocUnsafeSlow(LARGE_READ_BYTES - 1)), undefined)
  // Of Node's pool, however large that is.
  const pool = new Uint8Array(Buffer.allocUnsafe(1).buffer)
  assert.deepEqual([ownMemory(pool), readMemory(pool)], [undefined, undefined])
})
