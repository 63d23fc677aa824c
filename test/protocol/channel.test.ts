import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Channel } from '../../src/protocol/channel.ts'
import { openChannel } from '../../src/protocol/channel.ts'
import { FrameDecoder } from '../../src/protocol/frame-decoder.ts'
import type { Frame } from '../../src/protocol/frames.ts'
import { ownMemory } from '../../src/protocol/read-memory.ts'

interface End {
  channel: Channel
  frames: Frame[]
  closed: Promise<Error | undefined>
}

async function socketPair(t: TestContext): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as { port: number }).port, '127.0.0.1')
  const [peer] = (await once(server, 'connection')) as [Socket]
  t.after(() => {
    client.destroy()
    peer.destroy()
    server.close()
  })
  return [client, peer]
}

function open(socket: Socket, onFrame: (frame: Frame) => void = () => {}): End {
  const frames: Frame[] = []
  const { promise, resolve } = Promise.withResolvers<Error | undefined>()
  const channel = openChannel(socket, {
    onFrame: (frame) => {
      frames.push(frame)
      onFrame(frame)
    },
    onClose: resolve,
  })
  return { channel, frames, closed: promise }
}

/** Counts the writes to a socket. */
function countWrites(socket: Socket): { count: number } {
  const writes = { count: 0 }
  const write = socket.write
  socket.write = ((...args: Parameters<typeof write>) => {
    writes.count++
    return write.apply(socket, args)
  }) as typeof write
  return writes
}

test('frames of one turn are written to the socket once', async (t) => {
  const [left, right] = await socketPair(t)
  const writes = countWrites(left)
  const { channel } = open(left)
  const { promise, resolve } = Promise.withResolvers<void>()
  const receiver = open(right, (frame) => frame.id === 15 && resolve())

  for (let id = 1; id <= 15; id++) channel.send({ type: 'started', id })
  await promise

  assert.equal(writes.count, 1)
  assert.equal(receiver.frames.length, 15)
})

test('in a long turn the peer gets the first frames before the last are made', async (t) => {
  const [left, right] = await socketPair(t)
  const writes = countWrites(left)
  const { channel } = open(left)
  const { promise, resolve } = Promise.withResolvers<void>()
  const receiver = open(right, (frame) => frame.id === 100 && resolve())

  for (let id = 1; id <= 99; id++) channel.send({ type: 'started', id })
  const writesInTurn = writes.count
  channel.send({ type: 'started', id: 100 })
  await promise

  assert.equal(writesInTurn, 6)
  assert.equal(writes.count, 7, 'the rest at the end of the turn')
  assert.equal(receiver.frames.length, 100)
})

test('flush hands to the kernel what is queued, before the turn ends', async (t) => {
  const [left, right] = await socketPair(t)
  const { channel } = open(left)
  const arrived = once(right, 'data')
  channel.send({ type: 'started', id: 1 })

  await new Promise<void>((resolve) => channel.flush(resolve))

  assert.equal(channel.unsentBytes, 0)
  const [chunk] = (await arrived) as [Buffer]
  const frames: Frame[] = []
  new FrameDecoder((frame) => frames.push(frame)).push(chunk)
  assert.deepEqual(frames, [{ type: 'started', id: 1 }])
})

test('flush with nothing queued says at once that the kernel has everything', async (t) => {
  const [left] = await socketPair(t)
  const { channel } = open(left)

  await new Promise<void>((resolve) => channel.flush(resolve))

  assert.equal(channel.unsentBytes, 0)
})

test('small and large bodies arrive in order and whole', async (t) => {
  const [left, right] = await socketPair(t)
  const { channel } = open(left)
  const { promise, resolve } = Promise.withResolvers<void>()
  const received: Buffer[] = []
  open(right, (frame) => {
    if (frame.type === 'body') received.push(Buffer.from(frame.chunk))
    if (frame.type === 'end') resolve()
  })
  const sent = [10, 100_000, 3, 60_000, 1, 500_000].map((size, index) => Buffer.alloc(size, index + 1))

  for (const chunk of sent) channel.send({ type: 'body', id: 1, chunk })
  channel.send({ type: 'end', id: 1, trailers: [] })
  await promise

  assert.deepEqual(Buffer.concat(received), Buffer.concat(sent))
})

test('garbage ends the channel with an error, once, and the other side sees the end', async (t) => {
  const [left, right] = await socketPair(t)
  const receiver = open(right)
  const ended = once(left, 'close')
  left.resume()

  left.write(Buffer.alloc(64, 0xff))
  const error = await receiver.closed
  await ended

  assert.equal((error as { code?: string }).code, 'VHOSTEL_FRAME_TOO_LARGE')
  assert.equal(receiver.frames.length, 0)
})

test('an orderly end has no error, and what is sent after it is dropped', async (t) => {
  const [left, right] = await socketPair(t)
  const receiver = open(right)

  left.end()
  const error = await receiver.closed
  receiver.channel.send({ type: 'started', id: 1 })

  assert.equal(error, undefined)
  assert.equal(receiver.channel.unsentBytes, 0)
})

test('the memory of a body is given back when the kernel has it, and not where it may still be on its way', async (t) => {
  const isGivenBack = ({ buffer }: Buffer): boolean => (buffer as ArrayBuffer).detached
  const send = ({ channel }: End): Buffer => {
    const chunk = Buffer.allocUnsafeSlow(60_000).fill('x')
    channel.send({ type: 'body', id: 1, chunk, memory: ownMemory(chunk) })
    return chunk
  }
  const [left, right] = await socketPair(t)
  const { promise: hasAll, resolve } = Promise.withResolvers<void>()
  let received = 0
  const receiver = open(right, (frame) => {
    received += frame.type === 'body' ? frame.chunk.byteLength : 0
    if (received === 120_000) resolve()
  })
  const sender = open(left)

  const sent = [send(sender), send(sender)]
  assert.deepEqual(sent.map(isGivenBack), [false, false])
  const { promise: taken, resolve: take } = Promise.withResolvers<void>()
  sender.channel.flush(take)
  await Promise.all([hasAll, taken])
  assert.deepEqual(sent.map(isGivenBack), [true, true])
  const bodies = receiver.frames.flatMap((frame) => (frame.type === 'body' ? [frame.chunk] : []))
  assert.ok(Buffer.concat(bodies).every((byte) => byte === 120))

  const lost = send(sender)
  sender.channel.flush()
  sender.channel.destroy()
  await sender.closed
  assert.equal(isGivenBack(lost) && left.bytesWritten < 180_000, false)
})
