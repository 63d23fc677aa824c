/**
 * Frames to bytes, and one frame back out of its bytes. Pure: no socket, no timer. Bytes as they come are frame-decoder.ts's.
 *
 * A frame is `u32 payload length · u8 type · u32 id · payload`, little endian. Heads are text fields joined by a line
 * feed in latin1, because a head's bytes are latin1 in HTTP/1.1 and no valid field holds a line feed: one string write
 * and one `split` per head (30 ns and 450 ns for 13 fields), an order of magnitude less than a length for each field.
 *
 * Invariant: `decode` gives back exactly the frame that `FrameBatch` was given; bytes that are no frame throw.
 */
import { FrameInvalid, FrameTooLarge } from '../core/errors.ts'
import type { Frame, FrameType, LoadOrder, LoadReport, LogLevel, RequestHead, ResponseHead } from './frames.ts'
import { assertNever, FRAME_CODES, MAX_FRAME_BYTES } from './frames.ts'
import type { KnownHeads } from './known-heads.ts'

/** Bytes before each payload: its length, the type, the id. */
export const HEADER_BYTES = 9

const SLAB_BYTES = 64 * 1024
/** From this size on a body is handed to the socket as it is: copying costs more than one more iovec. */
export const BORROW_BYTES = 8 * 1024
const EMPTY = Buffer.alloc(0)

const FLAG_LAST = 1
const FLAG_ENCRYPTED = 2
const FLAG_KEEP_ALIVE = 4
const FLAG_UPGRADE = 8

const LOG_LEVELS: readonly LogLevel[] = ['out', 'err', 'warn', 'fatal']

/**
 * Gathers frames into as few buffers as possible. What `take` returned is never written again, so that a socket may
 * hold it as long as it likes.
 */
export class FrameBatch {
  #slab = EMPTY
  /** Where the part of the slab that was not taken yet begins, and where it ends. */
  #from = 0
  #to = 0
  #ready: Uint8Array[] = []
  #bytes = 0

  /** Bytes gathered since the last `take`. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Appends one frame. Bodies of 8 KiB and more are borrowed: the caller leaves them as they are.
   *
   * @throws VHOSTEL_FRAME_TOO_LARGE when the payload exceeds MAX_FRAME_BYTES; nothing is appended then
   */
  add(frame: Frame): void {
    switch (frame.type) {
      case 'request':
        return this.#addHead(
          frame,
          requestFlags(frame.head, frame.last),
          frame.head.generation,
          requestText(frame.head),
        )
      case 'response':
        return this.#addHead(frame, frame.last ? FLAG_LAST : 0, frame.head.status, responseText(frame.head))
      case 'informational':
        return this.#addPayload(frame, `${frame.head.status}\n${responseText(frame.head)}`, 'latin1')
      case 'body':
        return this.#addBytes(frame, frame.chunk)
      case 'started':
      case 'tunnel':
      case 'unload':
      case 'unloaded':
      case 'outdate':
      case 'native':
      case 'failed':
        this.#open(FRAME_CODES[frame.type], frame.id, 0)
        return
      case 'credit':
        this.#open(FRAME_CODES.credit, frame.id, 4)
        this.#u32(frame.bytes)
        return
      case 'end':
        return this.#addPayload(frame, frame.trailers.join('\n'), 'latin1')
      case 'abort':
        return this.#addPayload(frame, frame.reason, 'utf8')
      case 'offence':
        return this.#addPayload(frame, frame.text, 'utf8')
      case 'log':
        return this.#addPayload(frame, logText(frame.level, frame.text, frame.request), 'utf8')
      case 'hello':
        return this.#addPayload(frame, JSON.stringify([frame.thread, frame.token]), 'utf8')
      case 'load':
        return this.#addPayload(frame, JSON.stringify(frame.order), 'utf8')
      case 'loaded':
        return this.#addPayload(frame, JSON.stringify(frame.report), 'utf8')
      case 'files':
        return this.#addPayload(frame, JSON.stringify(frame.files), 'utf8')
      default:
        return assertNever(frame)
    }
  }

  /** Hands over what was gathered, in order, and starts afresh; empty when there is nothing. */
  take(): Uint8Array[] {
    this.#seal()
    const taken = this.#ready
    this.#ready = []
    this.#bytes = 0
    return taken
  }

  /** `u8 flags · u32 number · u32 text length · text · body` */
  #addHead(frame: Frame & { body: Uint8Array }, flags: number, number: number, text: string): void {
    const borrow = frame.body.byteLength >= BORROW_BYTES
    const inline = 9 + text.length + (borrow ? 0 : frame.body.byteLength)
    this.#open(FRAME_CODES[frame.type], frame.id, inline, borrow ? frame.body.byteLength : 0)
    this.#slab[this.#to++] = flags
    this.#u32(number)
    this.#u32(text.length)
    this.#to += this.#slab.write(text, this.#to, 'latin1')
    this.#tail(frame.body, borrow)
  }

  #addBytes(frame: Frame, bytes: Uint8Array): void {
    const borrow = bytes.byteLength >= BORROW_BYTES
    this.#open(FRAME_CODES[frame.type], frame.id, borrow ? 0 : bytes.byteLength, borrow ? bytes.byteLength : 0)
    this.#tail(bytes, borrow)
  }

  #addPayload(frame: Frame, text: string, encoding: 'latin1' | 'utf8'): void {
    const length = encoding === 'latin1' ? text.length : Buffer.byteLength(text, 'utf8')
    this.#open(FRAME_CODES[frame.type], frame.id, length)
    this.#to += this.#slab.write(text, this.#to, encoding)
  }

  /** Writes the frame's header and makes room for `inline` bytes; `borrowed` more follow from elsewhere. */
  #open(code: number, id: number, inline: number, borrowed = 0): void {
    const payload = inline + borrowed
    if (payload > MAX_FRAME_BYTES) throw new FrameTooLarge(payload, MAX_FRAME_BYTES)
    const need = HEADER_BYTES + inline
    if (this.#slab.byteLength - this.#to < need) this.#newSlab(need)
    this.#bytes += need + borrowed
    this.#u32(payload)
    this.#slab[this.#to++] = code
    this.#u32(id)
  }

  #tail(bytes: Uint8Array, borrow: boolean): void {
    if (bytes.byteLength === 0) return
    if (!borrow) {
      this.#slab.set(bytes, this.#to)
      this.#to += bytes.byteLength
      return
    }
    this.#seal()
    this.#ready.push(bytes)
  }

  #u32(value: number): void {
    this.#to = this.#slab.writeUInt32LE(value, this.#to)
  }

  #seal(): void {
    if (this.#to > this.#from) this.#ready.push(this.#slab.subarray(this.#from, this.#to))
    this.#from = this.#to
  }

  #newSlab(need: number): void {
    this.#seal()
    this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, need))
    this.#from = 0
    this.#to = 0
  }
}

/** One frame as bytes of its own. */
export function encodeFrame(frame: Frame): Uint8Array {
  const batch = new FrameBatch()
  batch.add(frame)
  return Buffer.concat(batch.take())
}

const TYPE_OF_CODE = new Map<number, FrameType>(
  Object.entries(FRAME_CODES).map(([type, code]) => [code, type as FrameType]),
)

/**
 * The frame in these bytes. A body in it is a view of them.
 *
 * @param from where its payload begins, and `to` where that ends
 * @throws VHOSTEL_FRAME_INVALID
 */
export function decode(code: number, id: number, bytes: Buffer, from: number, to: number, heads: KnownHeads): Frame {
  const type = TYPE_OF_CODE.get(code)
  switch (type) {
    case 'request': {
      const head = decodeHead(bytes, from, to)
      return { type, id, head: toRequestHead(head), body: head.body, last: (head.flags & FLAG_LAST) !== 0 }
    }
    case 'response': {
      const { number, text, body, flags } = decodeHead(bytes, from, to)
      return { type, id, head: heads.head(number, text), body, last: flags === FLAG_LAST }
    }
    case 'body':
      return { type, id, chunk: bytes.subarray(from, to) }
    case 'started':
    case 'tunnel':
    case 'unload':
    case 'unloaded':
    case 'outdate':
    case 'native':
    case 'failed':
      return empty(type, id, from, to)
    case 'credit':
      if (to - from !== 4) throw new FrameInvalid(`a credit frame of ${to - from} bytes`)
      return { type, id, bytes: bytes.readUInt32LE(from) }
    case 'end':
      return { type, id, trailers: pairs(bytes.toString('latin1', from, to), 'trailers') }
    case undefined:
      throw new FrameInvalid(`type ${code} is not known`)
    default:
      return decodeText(type, id, bytes, from, to)
  }
}

type TextType = 'informational' | 'abort' | 'offence' | 'log' | 'hello' | 'load' | 'loaded' | 'files'

function decodeText(type: TextType, id: number, bytes: Buffer, from: number, to: number): Frame {
  switch (type) {
    case 'informational': {
      const text = bytes.toString('latin1', from, to)
      const cut = text.indexOf('\n')
      return { type, id, head: toResponseHead(Number(text.slice(0, cut)), text.slice(cut + 1)) }
    }
    case 'abort':
      return { type, id, reason: bytes.toString('utf8', from, to) }
    case 'offence':
      return { type, id, text: bytes.toString('utf8', from, to) }
    case 'log':
      return toLog(id, bytes, from, to)
    case 'hello': {
      const [thread, token] = parse<[number, string]>(bytes, from, to, Array.isArray)
      if (typeof thread !== 'number' || typeof token !== 'string')
        throw new FrameInvalid('a hello frame without a name')
      return { type, id: 0, thread, token }
    }
    case 'load':
      return { type, id, order: parse<LoadOrder>(bytes, from, to, isObject) }
    case 'loaded':
      return { type, id, report: parse<LoadReport>(bytes, from, to, isObject) }
    case 'files':
      return { type, id, files: parse<string[]>(bytes, from, to, Array.isArray) }
    default:
      return assertNever(type)
  }
}

/** Levels have the digits from 0 on, and from 4 on where the id of a request stands before the text. */
function logText(level: LogLevel, text: string, request: string | undefined): string {
  const digit = LOG_LEVELS.indexOf(level)
  return request === undefined ? digit + text : `${digit + LOG_LEVELS.length}${request}\n${text}`
}

function toLog(id: number, bytes: Buffer, from: number, to: number): Frame {
  const digit = (bytes[from] ?? 0) - 0x30
  const level = LOG_LEVELS[digit % LOG_LEVELS.length]
  if (level === undefined || digit >= 2 * LOG_LEVELS.length || to === from)
    throw new FrameInvalid('a log frame without a level')
  const text = bytes.toString('utf8', from + 1, to)
  if (digit < LOG_LEVELS.length) return { type: 'log', id, level, text }
  const cut = text.indexOf('\n')
  if (cut === -1) throw new FrameInvalid('a log frame with half of the id of a request')
  return { type: 'log', id, level, text: text.slice(cut + 1), request: text.slice(0, cut) }
}

type EmptyType = 'started' | 'tunnel' | 'unload' | 'unloaded' | 'outdate' | 'native' | 'failed'

function empty(type: EmptyType, id: number, from: number, to: number): Frame {
  if (from !== to) throw new FrameInvalid(`a ${type} frame with a payload`)
  return { type, id }
}

interface RawHead {
  flags: number
  number: number
  text: string
  body: Uint8Array
}

function decodeHead(bytes: Buffer, from: number, to: number): RawHead {
  if (to - from < 9) throw new FrameInvalid('a head of less than 9 bytes')
  const textEnd = from + 9 + bytes.readUInt32LE(from + 5)
  if (textEnd > to) throw new FrameInvalid('a head that ends behind its frame')
  return {
    flags: bytes[from] as number,
    number: bytes.readUInt32LE(from + 1),
    text: bytes.toString('latin1', from + 9, textEnd),
    body: textEnd === to ? EMPTY : bytes.subarray(textEnd, to),
  }
}

function requestFlags(head: RequestHead, last: boolean): number {
  return (
    (last ? FLAG_LAST : 0) |
    (head.encrypted ? FLAG_ENCRYPTED : 0) |
    (head.keepAlive ? FLAG_KEEP_ALIVE : 0) |
    (head.upgrade ? FLAG_UPGRADE : 0)
  )
}

function requestText(head: RequestHead): string {
  const fields = `${head.method}\n${head.url}\n${head.httpMinor}\n${head.remoteAddress}\n${head.remotePort}\n${head.localAddress}\n${head.localPort}`
  return head.headers.length === 0 ? fields : `${fields}\n${head.headers.join('\n')}`
}

const REQUEST_FIELDS = 7

function toRequestHead(raw: RawHead): RequestHead {
  const fields = raw.text.split('\n')
  if (fields.length < REQUEST_FIELDS || (fields.length - REQUEST_FIELDS) % 2 !== 0) {
    throw new FrameInvalid(`a request head of ${fields.length} fields`)
  }
  return {
    generation: raw.number,
    method: fields[0] as string,
    url: fields[1] as string,
    httpMinor: Number(fields[2]),
    headers: fields.slice(REQUEST_FIELDS),
    remoteAddress: fields[3] as string,
    remotePort: Number(fields[4]),
    localAddress: fields[5] as string,
    localPort: Number(fields[6]),
    encrypted: (raw.flags & FLAG_ENCRYPTED) !== 0,
    keepAlive: (raw.flags & FLAG_KEEP_ALIVE) !== 0,
    upgrade: (raw.flags & FLAG_UPGRADE) !== 0,
  }
}

/** The fields of a head as one text, as frames have it. */
export function responseText(head: ResponseHead): string {
  if (head.text !== undefined) return head.text
  return head.headers.length === 0 ? head.reason : `${head.reason}\n${head.headers.join('\n')}`
}

export function toResponseHead(status: number, text: string): ResponseHead {
  if (!(status >= 100 && status <= 999)) throw new FrameInvalid(`status ${status}`)
  const cut = text.indexOf('\n')
  if (cut === -1) return { status, reason: text, headers: [] }
  return { status, reason: text.slice(0, cut), headers: pairs(text.slice(cut + 1), 'headers') }
}

function pairs(text: string, what: string): string[] {
  if (text === '') return []
  const fields = text.split('\n')
  if (fields.length % 2 !== 0) throw new FrameInvalid(`${what} with a name but no value`)
  return fields
}

function parse<T>(bytes: Buffer, from: number, to: number, check: (value: unknown) => boolean): T {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8', from, to))
  } catch (error) {
    throw new FrameInvalid(`JSON expected: ${error instanceof Error ? error.message : String(error)}`)
  }
  if (!check(value)) throw new FrameInvalid('JSON of another shape')
  // The peer is our own code, or has been let in by its token: the shape is checked, the fields are trusted.
  return value as T
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
