/**
 * Frames over one stream socket: gathers what is sent in one turn of the event loop and writes it once; decodes what
 * arrives. Knows nothing of what frames mean.
 *
 * Why once a turn: a write costs 5 µs and more, a frame in a batch less than one. `setImmediate` runs after the poll
 * phase, so all that was parsed from all sockets in this turn goes out together, and with one request at a time nothing
 * waits. In a long turn it is written after every `FLUSH_FRAMES` frames, so that the peer works on the first of them
 * while the rest is made: else both ends take turns, and each sleeps for half of the time.
 *
 * Limits: a peer that stops reading while more than `MAX_UNSENT_BYTES` wait for it has its channel ended.
 * Invariant: `onClose` is called exactly once, and no frame after it.
 */
import type { Socket } from 'node:net'
import { FrameInvalid } from '../core/errors.ts'
import { FrameBatch } from './codec.ts'
import { FrameDecoder } from './frame-decoder.ts'
import type { Frame } from './frames.ts'
import type { ReadMemory } from './read-memory.ts'

/** Most bytes that may wait for a peer: credit bounds bodies far below this, so reaching it means a broken peer. */
const MAX_UNSENT_BYTES = 256 * 1024 * 1024

/** Written at once when a turn has gathered this much, so that one turn of large bodies does not hold them all. */
const FLUSH_BYTES = 256 * 1024
const FLUSH_FRAMES = 16
const NOTHING = Buffer.alloc(0)

/** As `write` calls it. */
type Written = (error?: Error | null) => void

export interface ChannelHandlers {
  /** @param frame bodies in it are the receiver's to keep */
  onFrame(frame: Frame): void
  /** @param error why the channel ended; undefined when the peer ended it in order */
  onClose(error: Error | undefined): void
}

/** One end of a channel. */
export interface Channel {
  /** Queues a frame for this turn's write. After the end it is dropped. */
  send(frame: Frame): void
  /**
   * Writes now what is queued. For what must have left before code runs that may never come back.
   *
   * @param taken called once the kernel has everything that was queued (in the next tick at the earliest, because only
   *   then Node says so); not called when the channel ends before
   */
  flush(taken?: () => void): void
  /** Bytes queued here or in the socket. */
  readonly unsentBytes: number
  /** Ends the channel at once; `onClose` follows. */
  destroy(error?: Error): void
}

/** Takes over a connected socket. */
export function openChannel(socket: Socket, handlers: ChannelHandlers): Channel {
  const batch = new FrameBatch()
  let scheduled: NodeJS.Immediate | undefined
  let frames = 0
  /** Of bodies that wait for the next write. */
  let lent: ReadMemory[] = []
  let closed = false
  let failure: Error | undefined

  const decoder = new FrameDecoder((frame) => {
    if (!closed) handlers.onFrame(frame)
  })

  function close(): void {
    if (closed) return
    closed = true
    scheduled?.unref()
    handlers.onClose(failure)
  }

  function destroy(error?: Error): void {
    failure ??= error
    socket.destroy()
  }

  /**
   * Writes at the end of the turn. What was scheduled is never cleared, only of no importance to the loop: an immediate that
   * is cleared after an exception in the one before it makes Node throw at every turn from then on (24.21, processImmediate).
   */
  function schedule(): void {
    if (scheduled === undefined) scheduled = setImmediate(turn)
    else scheduled.ref()
  }

  function turn(): void {
    scheduled = undefined
    if (frames > 0) write()
  }

  function write(taken?: Written): void {
    scheduled?.unref()
    frames = 0
    const parts = batch.take()
    if (closed) return
    const last = parts.pop()
    const written = lent.length === 0 ? taken : givingBack(lent, taken)
    lent = []
    socket.cork()
    for (const part of parts) socket.write(part)
    // An empty write calls back when all writes before it are done.
    if (last !== undefined || written !== undefined) socket.write(last ?? NOTHING, written)
    socket.uncork()
    if (socket.writableLength > MAX_UNSENT_BYTES) destroy(new FrameInvalid('the peer does not read'))
  }

  socket.on('data', (chunk: Buffer) => {
    try {
      decoder.push(chunk, true)
    } catch (error) {
      destroy(error instanceof Error ? error : new Error(String(error)))
    }
  })
  socket.on('error', (error) => {
    failure ??= error
  })
  socket.on('close', close)

  return {
    send(frame) {
      if (closed) return
      batch.add(frame)
      if (frame.type === 'body' && frame.memory !== undefined) lent.push(frame.memory)
      if (++frames >= FLUSH_FRAMES || batch.bytes >= FLUSH_BYTES) write()
      else schedule()
    },
    flush: write,
    get unsentBytes() {
      return batch.bytes + socket.writableLength
    },
    destroy,
  }
}

/** What a write calls back that has these bodies in it. */
function givingBack(lent: readonly ReadMemory[], taken: Written | undefined): Written {
  return (error) => {
    for (const memory of lent) memory.onWritten(error)
    taken?.(error)
  }
}
