import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeFrame } from '../../src/protocol/codec.ts'
import { FrameDecoder } from '../../src/protocol/frame-decoder.ts'
import type { Frame, RequestHead } from '../../src/protocol/frames.ts'
import { LARGE_READ_BYTES, ownMemory, readMemory } from '../../src/protocol/read-memory.ts'

type Body = Frame & { type: 'body' }
type Answer = Frame & { type: 'response' }

const HEAD = { status: 200, reason: 'OK', headers: ['a', 'b'] }
const REQUEST: RequestHead = {
  generation: 1,
  method: 'POST',
  url: '/',
  httpMinor: 1,
  headers: [],
  remoteAddress: '',
  remotePort: 0,
  localAddress: '',
  localPort: 0,
  encrypted: false,
  keepAlive: true,
  upgrade: false,
}

function bodyFrame(id: number, bytes: number): Frame {
  return { type: 'body', id, chunk: Buffer.alloc(bytes, id) }
}

function answerFrame(id: number, bytes: number): Frame {
  return { type: 'response', id, head: HEAD, body: Buffer.alloc(bytes, id), last: false }
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

test('the first part of an answer gives its memory back like any other, that of a request is kept', () => {
  const first = readOf(answerFrame(1, 20_000), bodyFrame(2, 20_000))
  const { frames, bodies } = decode(first)
  bodies[0]?.memory?.release()
  assert.equal(isGivenBack(first), false)
  for (const frame of frames) if (frame.type === 'response') frame.memory?.release()
  assert.equal(isGivenBack(first), true)

  const request = readOf({ type: 'request', id: 1, head: REQUEST, body: Buffer.alloc(20_000), last: true })
  decode(request)
  assert.equal(isGivenBack(request), false)
})

test('half a frame is kept until the rest comes, and given back once it is joined; so is what it was joined to', () => {
  const whole = readOf(bodyFrame(3, 20_000), answerFrame(4, 20_000))
  // The last is a small read, which nothing is given back of by itself.
  const [cut, rest] = [Buffer.allocUnsafeSlow(30_000), Buffer.allocUnsafeSlow(whole.byteLength - 30_000)]
  whole.copy(cut)
  whole.copy(rest, 0, 30_000)
  const frames: Frame[] = []
  const decoder = new FrameDecoder((frame) => frames.push(frame))

  decoder.push(cut, true)
  assert.equal(frames[0]?.type, 'body')
  if (frames[0]?.type === 'body') frames[0].memory?.release()
  assert.equal(isGivenBack(cut), false)
  decoder.push(rest, true)

  const [, answer] = frames
  assert.ok(answer?.type === 'response' && answer.memory !== undefined)
  assert.equal(isGivenBack(cut), true)
  const { buffer } = answer.body
  assert.deepEqual(answer.body, Buffer.alloc(20_000, 4))
  answer.memory.release()
  assert.equal((buffer as ArrayBuffer).detached, true)
})

test('bodies are whole until they are given back, however the bytes are cut and whoever is done first', () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 70_000 }), { minLength: 1, maxLength: 12 })
  const lengths = fc.array(fc.integer({ min: 1, max: 65_536 }), { minLength: 1, maxLength: 8 })
  const order = fc.array(fc.boolean(), { minLength: 1, maxLength: 16 })
  fc.assert(
    fc.property(sizes, lengths, order, (bodySizes, readLengths, isDone) => {
      const frames = bodySizes.map((size, at) => (at % 3 === 1 ? answerFrame : bodyFrame)(at + 1, size))
      const bytes = Buffer.concat(frames.map(encodeFrame))
      const received = new Map<number, number>()
      let held: (Body | Answer)[] = []
      const passOn = (frame: Body | Answer): void => {
        const part = frame.type === 'body' ? frame.chunk : frame.body
        assert.ok(part.every((byte) => byte === frame.id))
        received.set(frame.id, (received.get(frame.id) ?? 0) + part.byteLength)
        frame.memory?.release()
      }
      const decoder = new FrameDecoder((frame) => held.push(frame as Body | Answer))
      for (let at = 0, turn = 0; at < bytes.byteLength; turn++) {
        const read = Buffer.allocUnsafeSlow(readLengths[turn % readLengths.length] as number)
        const length = bytes.copy(read, 0, at)
        at += length
        decoder.push(read.subarray(0, length), true)
        const isNow = (_: Body | Answer, index: number): boolean => isDone[(turn + index) % isDone.length] === true
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
