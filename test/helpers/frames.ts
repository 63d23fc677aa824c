/**
 * A client of HTTP/2 that writes its frames by hand, so that it can send what no library would (RFC 9113 §4, §6).
 *
 * Limits: its headers are literals without Huffman coding; of what comes back it reads frames, and the status where the
 * block says it in one byte.
 */
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { connect } from 'node:tls'
import { DEADLINE_MS } from './box.ts'

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const
export const FLAG = { endStream: 1, ack: 1, endHeaders: 4 } as const

export interface Frame {
  type: number
  flags: number
  stream: number
  payload: Buffer
}

/** What a client begins with (RFC 9113 §3.4). */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** One frame as bytes. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** A header block (RFC 7541 §6.2.2). */
export function block(headers: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]))
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes])
  const length = [127]
  let left = bytes.length - 127
  for (; left >= 128; left >>= 7) length.push((left & 127) | 128)
  return Buffer.concat([Buffer.from([...length, left]), bytes])
}

/** The pseudo-headers of a request. */
export function pseudo(host: string, path = '/', method = 'GET'): [string, string][] {
  return [
    [':method', method],
    [':scheme', 'https'],
    [':authority', host],
    [':path', path],
  ]
}

export class FrameClient {
  readonly socket: TLSSocket
  readonly frames: Frame[] = []
  isClosed = false
  #left = Buffer.alloc(0)
  #wake: () => void = () => {}

  constructor(socket: TLSSocket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.isClosed = true
      this.#wake()
    })
  }

  /** Connects, and says hello unless told not to. */
  static async open(t: TestContext, port: number, servername: string, hello = true): Promise<FrameClient> {
    const socket = connect({ port, host: '127.0.0.1', servername, ALPNProtocols: ['h2'], rejectUnauthorized: false })
    t.after(() => socket.destroy())
    await once(socket, 'secureConnect')
    const client = new FrameClient(socket)
    if (hello) client.write(PREFACE, frame(TYPE.settings, 0, 0))
    return client
  }

  /** Writes what is given; nothing where the connection is gone. @returns false when it should wait */
  write(...parts: Buffer[]): boolean {
    return this.isClosed || this.socket.destroyed || this.socket.write(Buffer.concat(parts))
  }

  /** Waits until this is so. @throws when the connection ends first, or the deadline is over */
  async until(what: string, check: () => boolean): Promise<void> {
    const deadline = performance.now() + DEADLINE_MS
    while (!check()) {
      if (this.isClosed) throw new Error(`the connection ended before ${what}; got ${this.shown()}`)
      await this.#change(what, deadline)
    }
  }

  /** Waits for a frame, also one that came already. @throws when the connection ends first, or the deadline is over */
  async next(what: string, isWanted: (frame: Frame) => boolean): Promise<Frame> {
    await this.until(what, () => this.frames.some(isWanted))
    return this.frames.find(isWanted) as Frame
  }

  /** Waits until the server has ended the connection. @returns the error code of its GOAWAY; undefined without one */
  async ended(): Promise<number | undefined> {
    const deadline = performance.now() + DEADLINE_MS
    while (!this.isClosed) await this.#change('the end of the connection', deadline)
    return this.frames.findLast(({ type }) => type === TYPE.goaway)?.payload.readUInt32BE(4)
  }

  /** The status of an answer; undefined where the connection ended, or the stream was reset, before there was one. */
  async status(stream: number): Promise<number | undefined> {
    const { type, payload } = await this.next(
      'an answer',
      (one) => one.stream === stream && (one.type === TYPE.headers || one.type === TYPE.reset),
    )
    return type === TYPE.reset ? undefined : statusOf(payload)
  }

  async #change(what: string, deadline: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`waited for ${what}; got ${this.shown()}`)),
        Math.max(0, deadline - performance.now()),
      )
      this.#wake = () => {
        clearTimeout(late)
        resolve()
      }
    })
  }

  /** The newest frames, for people. */
  shown(): string {
    return JSON.stringify(this.frames.slice(-20).map(({ type, flags, stream }) => [type, flags, stream]))
  }

  #read(chunk: Buffer): void {
    this.#left = Buffer.concat([this.#left, chunk])
    while (this.#left.length >= 9) {
      const length = this.#left.readUIntBE(0, 3)
      if (this.#left.length < 9 + length) break
      const [type, flags, stream] = [this.#left.readUInt8(3), this.#left.readUInt8(4), this.#left.readUInt32BE(5)]
      this.frames.push({ type, flags, stream, payload: this.#left.subarray(9, 9 + length) })
      if (type === TYPE.settings && (flags & FLAG.ack) === 0) this.write(frame(TYPE.settings, FLAG.ack, 0))
      this.#left = this.#left.subarray(9 + length)
    }
    this.#wake()
  }
}

/** Statuses that HPACK has a number of its own for (RFC 7541, appendix A), else a literal of three bytes. */
const STATUSES: Record<number, number> = { 136: 200, 137: 204, 138: 206, 139: 304, 140: 400, 141: 404, 142: 500 }

/** The status that a header block begins with. */
export function statusOf(payload: Buffer): number | undefined {
  // The table may be told to shrink first (RFC 7541 §6.3).
  let at = 0
  while (((payload[at] ?? 0) & 0xe0) === 0x20) at += ((payload[at] ?? 0) & 0x1f) === 0x1f ? 3 : 1
  const first = payload[at] ?? 0
  if (STATUSES[first] !== undefined) return STATUSES[first]
  const length = payload[at + 1] ?? 0
  if ((length & 0x80) === 0) return Number(payload.toString('latin1', at + 2, at + 2 + length))
  return digits(payload.subarray(at + 2, at + 2 + (length & 0x7f)))
}

/** Three digits in Huffman coding: 0 to 2 have 5 bits, 3 to 9 have 6 (RFC 7541, appendix B). */
function digits(bytes: Buffer): number {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  let text = ''
  for (let at = 0; text.length < 3; ) {
    const five = Number.parseInt(bits.slice(at, at + 5), 2)
    if (five < 3) {
      text += five
      at += 5
    } else {
      text += Number.parseInt(bits.slice(at, at + 6), 2) - 0b011001 + 3
      at += 6
    }
  }
  return Number(text)
}
