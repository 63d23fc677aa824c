/**
 * Bytes as they come from a socket, cut anywhere, to frames; and the memory of what came back to its owner, once the receivers are
 * done with the bodies in it (read-memory.ts).
 *
 * Limits: what is held is never more than one frame of `MAX_FRAME_BYTES`. Invariant: exactly the frames that were encoded come
 * out, in order, however the bytes are cut; bytes that are no frame throw.
 */
import { FrameTooLarge } from '../core/errors.ts'
import { BORROW_BYTES, decode, HEADER_BYTES, toResponseHead } from './codec.ts'
import type { Frame } from './frames.ts'
import { FRAME_CODES, MAX_FRAME_BYTES } from './frames.ts'
import { KnownHeads } from './known-heads.ts'
import { LARGE_READ_BYTES, ownMemory, ReadMemory } from './read-memory.ts'

/** Turns bytes, cut anywhere, into frames. Not usable any more once it has thrown. */
export class FrameDecoder {
  readonly #onFrame: (frame: Frame) => void
  readonly #heads = new KnownHeads(toResponseHead)
  #held: Uint8Array[] = []
  /** What these are parts of. */
  #heldMemories: ReadMemory[] = []
  #heldBytes = 0
  /** Bytes that must be there before anything can be decoded. */
  #wanted = HEADER_BYTES
  /** The request of a body frame that is handed on as it comes, and its bytes that are to come. */
  #bodyId = 0
  #bodyLeft = 0
  /** What is being decoded, where it is large. */
  #memory: ReadMemory | undefined

  /** @param onFrame called for each whole frame, in order, from within `push` */
  constructor(onFrame: (frame: Frame) => void) {
    this.#onFrame = onFrame
  }

  /** Bytes held for a frame that is not whole yet. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /**
   * Takes bytes as read from the socket. Bodies in frames are views of `chunk`: it must not be written to afterwards.
   *
   * @param isOwn whether nobody else has anything of the chunk's memory: it is given back when the receivers are done with it
   * @throws VHOSTEL_FRAME_TOO_LARGE a length above MAX_FRAME_BYTES was announced; the caller ends the socket
   * @throws VHOSTEL_FRAME_INVALID the bytes are no frame; the caller ends the socket
   */
  push(chunk: Uint8Array, isOwn = false): void {
    if (!isOwn || chunk.byteLength < LARGE_READ_BYTES) return this.#take(chunk)
    const memory = new ReadMemory(chunk)
    this.#memory = memory
    this.#take(chunk)
    this.#memory = undefined
    memory.release()
  }

  /** All that is held, and what came behind it, as one copy: from here on that is what is decoded. */
  #joined(chunk: Uint8Array): Buffer {
    const length = this.#heldBytes + chunk.byteLength
    // Of Node's pool nothing can be given back.
    const bytes = length < LARGE_READ_BYTES ? Buffer.allocUnsafe(length) : Buffer.allocUnsafeSlow(length)
    let at = 0
    for (const part of [...this.#held, chunk]) {
      bytes.set(part, at)
      at += part.byteLength
    }
    for (const memory of this.#heldMemories) memory.release()
    this.#heldMemories = []
    this.#memory = ownMemory(bytes)
    return bytes
  }

  #take(chunk: Uint8Array): void {
    if (this.#bodyLeft > 0) {
      const rest = chunk.subarray(this.#bodyPart(chunk))
      if (rest.byteLength === 0) return
      chunk = rest
    }
    if (this.#heldBytes + chunk.byteLength < this.#wanted) {
      this.#hold(chunk)
      return
    }
    const isJoined = this.#heldBytes > 0
    const bytes = isJoined ? this.#joined(chunk) : asBuffer(chunk)
    this.#held = []
    this.#heldBytes = 0
    const used = this.#decodeAll(bytes)
    if (used < bytes.byteLength) this.#hold(bytes.subarray(used))
    if (!isJoined) return
    this.#memory?.release()
    this.#memory = undefined
  }

  /** Hands on what has come of a body frame. @returns how many bytes of these are of it */
  #bodyPart(bytes: Uint8Array): number {
    const part = bytes.subarray(0, this.#bodyLeft)
    this.#bodyLeft -= part.byteLength
    this.#memory?.hold()
    this.#onFrame({ type: 'body', id: this.#bodyId, chunk: part, memory: this.#memory })
    return part.byteLength
  }

  #hold(chunk: Uint8Array): void {
    if (chunk.byteLength === 0) return
    if (this.#memory !== undefined) {
      this.#memory.hold()
      this.#heldMemories.push(this.#memory)
    }
    this.#held.push(chunk)
    this.#heldBytes += chunk.byteLength
  }

  #decodeAll(bytes: Buffer): number {
    let at = 0
    for (;;) {
      this.#wanted = HEADER_BYTES
      if (bytes.byteLength - at < HEADER_BYTES) return at
      const length = bytes.readUInt32LE(at)
      if (length > MAX_FRAME_BYTES) throw new FrameTooLarge(length, MAX_FRAME_BYTES)
      const end = at + HEADER_BYTES + length
      if (end > bytes.byteLength) {
        // To join a large body to one piece would cost a copy of nearly everything that comes.
        if (bytes[at + 4] === FRAME_CODES.body && bytes.byteLength - at - HEADER_BYTES >= BORROW_BYTES) {
          this.#bodyId = bytes.readUInt32LE(at + 5)
          this.#bodyLeft = length
          return at + HEADER_BYTES + this.#bodyPart(bytes.subarray(at + HEADER_BYTES))
        }
        this.#wanted = HEADER_BYTES + length
        return at
      }
      const [code, id] = [bytes[at + 4] as number, bytes.readUInt32LE(at + 5)]
      const frame = decode(code, id, bytes, at + HEADER_BYTES, end, this.#heads)
      at = end
      if (this.#memory !== undefined) share(frame, this.#memory)
      this.#onFrame(frame)
    }
  }
}

/** A body in a frame is a part of what was read. */
function share(frame: Frame, memory: ReadMemory): void {
  if (frame.type === 'body' || (frame.type === 'response' && frame.body.byteLength > 0)) {
    memory.hold()
    frame.memory = memory
  } else if (frame.type === 'request' && frame.body.byteLength > 0) memory.keep()
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
