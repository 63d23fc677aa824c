/**
 * A stream of HTTP/2 in the place of the connection that a request of HTTP/1.1 has to itself: whoever ends that "connection"
 * ends the stream, and nothing else of the client's.
 *
 * Limits: carries no bytes; request and response read and write the stream by themselves.
 */
import type { ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { StandInSocket } from './stand-in-socket.ts'

/** Error codes of RFC 9113 §7. */
export const H2 = { noError: 0, enhanceYourCalm: 11 } as const

/** How often a stream is looked at that has bytes left to send. */
const SENT_CHECK_MS = 50

export class StreamSocket extends StandInSocket {
  /** That all streams of the client share. */
  readonly connection: TLSSocket
  readonly servername: string | false | null
  readonly alpnProtocol = 'h2'
  readonly #stream: ServerHttp2Stream

  constructor(stream: ServerHttp2Stream, connection: TLSSocket) {
    super(connection, true)
    this.#stream = stream
    this.connection = connection
    this.servername = connection.servername
    stream.on('close', () => this.destroy())
  }

  /** As `tls.TLSSocket.getProtocol`. */
  getProtocol(): string | null {
    return this.connection.getProtocol()
  }

  /** Bytes that the client has not taken yet. */
  get unsentBytes(): number {
    return this.#stream.writableLength
  }

  /** Ends the stream once what was written has left: as a reset, for an answer that is whole has ended it already. */
  override destroySoon(): void {
    const stream = this.#stream
    if (stream.destroyed || stream.writableLength === 0) {
      this.destroy()
      return
    }
    const check = setInterval(() => {
      if (stream.writableLength === 0) this.destroy()
    }, SENT_CHECK_MS).unref()
    this.once('close', () => clearInterval(check))
  }

  /** As `net.Socket.setTimeout`, for the stream. */
  override setTimeout(ms: number, onTimeout?: () => void): this {
    this.#stream.setTimeout(ms)
    if (onTimeout !== undefined) this.#stream.once('timeout', onTimeout)
    return this
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // `close()` would end the body as if it were whole, and the reset would come after that or not at all (Node 24.21).
    if (!this.#stream.destroyed) this.#stream.destroy(new Error('the stream was cut'))
    done(error)
  }
}

// Declared as a property, so that a class cannot have an accessor in its place. An `http.ServerResponse` reads it.
Object.defineProperty(StreamSocket.prototype, 'writableLength', {
  get(this: StreamSocket) {
    return this.unsentBytes
  },
})
