/**
 * What request and response are given in the place of a connection that they would have to themselves: a stream of HTTP/2,
 * or nobody at all. It says who is at the other end, and takes what Node's HTTP code does to a socket.
 *
 * Limit: carries no bytes.
 */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'

/** Where a connection comes from and leads to, as far as those who answer look at it. */
export type Ends = {
  [Name in 'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort']?: Socket[Name] | undefined
}

export class StandInSocket extends Duplex {
  readonly encrypted: boolean
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined
  readonly localAddress: string | undefined
  readonly localPort: number | undefined

  /** @param like whose ends it has; they stay as they were when that is closed */
  constructor(like: Ends, encrypted: boolean) {
    super({ allowHalfOpen: true })
    this.encrypted = encrypted
    this.remoteAddress = like.remoteAddress
    this.remotePort = like.remotePort
    this.localAddress = like.localAddress
    this.localPort = like.localPort
    // An error here is its end and nothing more; whoever wants to know listens to 'close'.
    this.on('error', () => {})
  }

  destroySoon(): void {
    this.destroy()
  }

  setTimeout(_ms: number, _onTimeout?: () => void): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  override _read(): void {}

  override _write(_chunk: unknown, _encoding: string, done: (error?: Error | null) => void): void {
    done()
  }
}
