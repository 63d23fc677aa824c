import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeFrame, FrameBatch } from '../../src/protocol/codec.ts'
import { FrameDecoder } from '../../src/protocol/frame-decoder.ts'
import type { Frame } from '../../src/protocol/frames.ts'
import { FRAME_CODES, MAX_FRAME_BYTES } from '../../src/protocol/frames.ts'

/** Plain objects: a null prototype does not survive JSON. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(model, { noNullPrototype: true })
const id = fc.integer({ min: 0, max: 0xffffffff })
const port = fc.integer({ min: 0, max: 65535 })
/** What a field of a head may hold: any latin1 character but a line feed. */
const field = fc
  .array(fc.integer({ min: 0, max: 255 }), { maxLength: 30 })
  .map((codes) => String.fromCharCode(...codes.map((code) => (code === 10 ? 32 : code))))
const headers = fc.array(fc.tuple(field, field), { maxLength: 8 }).map((pairs) => pairs.flat())
const small = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes))
/** Crosses the size from which bodies are borrowed instead of copied. */
const large = fc.integer({ min: 8_000, max: 8_400 }).map((size) => Buffer.alloc(size, size & 255))
const body = fc.oneof(small, large)
const text = fc.string({ unit: 'binary', maxLength: 40 })
const status = fc.integer({ min: 100, max: 999 })
const responseHead = record({ status, reason: field, headers })
const requestHead = record({
  generation: id,
  method: field,
  url: field,
  httpMinor: fc.constantFrom(0, 1),
  headers,
  remoteAddress: field,
  remotePort: port,
  localAddress: field,
  localPort: port,
  encrypted: fc.boolean(),
  keepAlive: fc.boolean(),
  upgrade: fc.boolean(),
})

const order = record({
  generation: id,
  site: text,
  root: text,
  module: text,
  type: fc.constantFrom('auto' as const, 'fetch' as const),
  args: fc.constant(['start', '--port=1']),
  httpPort: fc.constant(8080),
  env: fc.dictionary(text, text, { noNullPrototype: true }),
  options: fc.constant({ nested: [1, 'two', null] }),
  startTimeoutMs: id,
  stopTimeoutMs: id,
})
const report = record({ shape: fc.constant('fastify' as const), files: fc.array(text), tookMs: id })

const frame: fc.Arbitrary<Frame> = fc.oneof(
  record({ type: fc.constant('hello' as const), id: fc.constant(0 as const), thread: id, token: text }),
  record({ type: fc.constant('request' as const), id, head: requestHead, body, last: fc.boolean() }),
  record({ type: fc.constantFrom('started' as const, 'tunnel' as const, 'unload' as const, 'outdate' as const), id }),
  record({ type: fc.constant('unloaded' as const), id }),
  record({ type: fc.constant('informational' as const), id, head: responseHead }),
  record({ type: fc.constant('response' as const), id, head: responseHead, body, last: fc.boolean() }),
  record({ type: fc.constant('body' as const), id, chunk: body }),
  record({ type: fc.constant('end' as const), id, trailers: headers }),
  record({ type: fc.constant('credit' as const), id, bytes: id }),
  record({ type: fc.constant('abort' as const), id, reason: text }),
  record({ type: fc.constant('offence' as const), id, text }),
  record({ type: fc.constantFrom('native' as const, 'failed' as const), id }),
  record({ type: fc.constant('load' as const), id, order }),
  record({ type: fc.constant('loaded' as const), id, report }),
  record({ type: fc.constant('files' as const), id, files: fc.array(text) }),
  record({ type: fc.constant('log' as const), id, level: fc.constantFrom('out' as const, 'fatal' as const), text }),
  record({
    type: fc.constant('log' as const),
    id,
    level: fc.constantFrom('out' as const, 'fatal' as const),
    text,
    request: fc.stringMatching(/^[A-Za-z0-9._-]{1,128}$/),
  }),
)

function decodeAll(chunks: Iterable<Uint8Array>): Frame[] {
  const frames: Frame[] = []
  const decoder = new FrameDecoder((one) => frames.push(one))
  for (const chunk of chunks) decoder.push(chunk)
  return frames
}

function* cut(bytes: Uint8Array, sizes: number[]): Iterable<Uint8Array> {
  let at = 0
  for (let turn = 0; at < bytes.byteLength; turn++) {
    const size = Math.max(1, sizes[turn % sizes.length] ?? 1)
    yield bytes.subarray(at, at + size)
    at += size
  }
}

test('any sequence of frames, cut anywhere, decodes to itself', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 9 })

  fc.assert(
    fc.property(fc.array(frame, { maxLength: 12 }), sizes, (frames, pieces) => {
      const batch = new FrameBatch()
      for (const one of frames) batch.add(one)
      const bytes = Buffer.concat(batch.take())

      assert.deepEqual(decodeAll(cut(bytes, pieces)), frames)
    }),
    { numRuns: 400 },
  )
})

test('a frame of each type decodes to itself when it comes byte by byte', () => {
  const seen = new Set<string>()

  fc.assert(
    fc.property(frame, (one) => {
      seen.add(one.type)

      assert.deepEqual(decodeAll(cut(encodeFrame(one), [1])), [one])
    }),
    { numRuns: 500 },
  )

  assert.deepEqual([...seen].sort(), Object.keys(FRAME_CODES).sort(), 'every type was tried')
})

test('a large body is handed on as it comes, and nothing of it is lost', () => {
  const pieces = fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 5 })
  const lengths = fc.array(fc.integer({ min: 0, max: 150_000 }), { minLength: 1, maxLength: 4 })

  fc.assert(
    fc.property(lengths, pieces, (bodies, sizes) => {
      const bytes = Buffer.concat(
        bodies.flatMap((length, id) => [
          encodeFrame({ type: 'body', id, chunk: Buffer.alloc(length, id + 1) }),
          encodeFrame({ type: 'end', id, trailers: [] }),
        ]),
      )
      const got = bodies.map(() => 0)
      let last: Frame | undefined
      for (const one of decodeAll(cut(bytes, sizes))) {
        last = one
        if (one.type !== 'body') continue
        got[one.id] = (got[one.id] ?? 0) + one.chunk.byteLength
        assert.deepEqual(one.chunk, Buffer.alloc(one.chunk.byteLength, one.id + 1))
      }

      assert.deepEqual(got, bodies)
      assert.deepEqual(last, { type: 'end', id: bodies.length - 1, trailers: [] })
    }),
    { numRuns: 100 },
  )
})

test('what a batch handed out is not written to again', () => {
  const batch = new FrameBatch()
  batch.add({ type: 'body', id: 1, chunk: Buffer.from('first') })
  const first = batch.take()
  const before = Buffer.concat(first).toString('hex')

  batch.add({ type: 'body', id: 2, chunk: Buffer.from('other') })
  batch.take()

  assert.equal(Buffer.concat(first).toString('hex'), before)
})

test('garbage ends in an error or in waiting for a bounded rest, never in another kind of failure', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (chunks) => {
      const decoder = new FrameDecoder(() => {})
      try {
        for (const chunk of chunks) decoder.push(chunk)
      } catch (error) {
        const code = (error as { code?: string }).code
        assert.ok(code === 'VHOSTEL_FRAME_INVALID' || code === 'VHOSTEL_FRAME_TOO_LARGE', String(error))
      }
      assert.ok(decoder.heldBytes <= MAX_FRAME_BYTES + 9)
    }),
    { numRuns: 2000 },
  )
})

test('garbage behind a valid header of each type is refused with a code', () => {
  const payload = fc.uint8Array({ maxLength: 60 })

  fc.assert(
    fc.property(fc.constantFrom(...Object.values(FRAME_CODES)), payload, (code, bytes) => {
      const header = Buffer.alloc(9)
      header.writeUInt32LE(bytes.byteLength, 0)
      header[4] = code
      try {
        decodeAll([Buffer.concat([header, bytes])])
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'VHOSTEL_FRAME_INVALID', String(error))
      }
    }),
    { numRuns: 3000 },
  )
})

test('a length above the limit is refused before its bytes are awaited', () => {
  const header = Buffer.alloc(9)
  header.writeUInt32LE(MAX_FRAME_BYTES + 1, 0)
  header[4] = FRAME_CODES.body

  assert.throws(() => decodeAll([header]), { code: 'VHOSTEL_FRAME_TOO_LARGE' })
})

test('a frame above the limit is not sent, and what was gathered before it stays whole', () => {
  const batch = new FrameBatch()
  batch.add({ type: 'started', id: 7 })

  assert.throws(() => batch.add({ type: 'body', id: 8, chunk: Buffer.alloc(MAX_FRAME_BYTES + 1) }), {
    code: 'VHOSTEL_FRAME_TOO_LARGE',
  })

  assert.deepEqual(decodeAll(batch.take()), [{ type: 'started', id: 7 }])
})
