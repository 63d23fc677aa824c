/**
 * An upgrade: a client's connection that becomes a tunnel to a site's own code (WebSocket and the like). Until the site
 * takes it, the request is answered as any other; from then on bytes go through both ways, with backpressure.
 *
 * The site writes the answer to the upgrade itself; its head is read on the way (switch-head.ts).
 * Invariant: when either side ends with an error the other is destroyed, so no half of a tunnel outlives the other.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Exchange, ExchangeListener } from '../pool/exchange.ts'
import type { ResponseHead } from '../protocol/frames.ts'
import { BODY_WINDOW_BYTES } from '../protocol/frames.ts'
import type { ReadMemory } from '../protocol/read-memory.ts'
import type { ClientExchange, ClientExchangeHandlers } from './client-exchange.ts'
import { FrontResponse } from './front-response.ts'
import { linger } from './linger.ts'
import { SwitchHead } from './switch-head.ts'

const CREDIT_PORTION_BYTES = BODY_WINDOW_BYTES / 4

/** A response on a socket that the HTTP parser has let go of; the connection ends with it. */
export function responseOn(req: IncomingMessage, socket: Duplex): FrontResponse {
  const res = new FrontResponse(req)
  res.shouldKeepAlive = false
  // Node declares net.Socket here and uses what any Duplex has.
  res.assignSocket(socket as Parameters<typeof res.assignSocket>[0])
  res.on('finish', () => {
    res.detachSocket(socket as Parameters<typeof res.detachSocket>[0])
    // Half closed, and not read, it would stay for as long as the client likes.
    linger(socket as Socket)
  })
  return res
}

export class TunnelExchange implements ExchangeListener {
  /** Answers in the place of a tunnel, for as long as there is none. */
  readonly #plain: ClientExchange
  readonly #socket: Duplex
  readonly #head: Buffer
  readonly #handlers: ClientExchangeHandlers
  readonly #answer: SwitchHead
  #exchange: Exchange | undefined
  #open = false
  /** The client has ended its half. */
  #isEnded = false
  /** The site has ended its half. */
  #isAnswered = false
  #owed = 0

  /** @param head bytes that came behind the request, for the tunnel */
  constructor(plain: ClientExchange, socket: Duplex, head: Buffer, handlers: ClientExchangeHandlers) {
    this.#plain = plain
    this.#socket = socket
    this.#head = head
    this.#handlers = handlers
    this.#answer = new SwitchHead((answer) => plain.res.upgradeHead(answer))
    socket.on('error', () => socket.destroy())
    socket.on('end', () => {
      this.#isEnded = true
      // Also before there is a tunnel: the client may leave while the site makes up its mind.
      if (this.#open || head.byteLength === 0) this.#exchange?.endBody([])
    })
  }

  set exchange(exchange: Exchange) {
    this.#exchange = exchange
    this.#plain.exchange = exchange
  }

  onTunnel(): void {
    const socket = this.#socket
    this.#open = true
    this.#plain.res.becomeTunnel()
    socket.on('close', () => this.#gone())
    if (this.#head.byteLength > 0) this.#toSite(this.#head)
    socket.on('data', (chunk: Buffer) => this.#toSite(chunk))
    // While it waited for a thread there was nobody to tell, and not before what was sent ahead of it.
    if (this.#isEnded) this.#exchange?.endBody([])
    if (socket.destroyed) this.#gone()
  }

  onBody(chunk: Uint8Array, memory?: ReadMemory): void {
    if (!this.#open) return this.#plain.onBody(chunk, memory)
    if (this.#socket.destroyed) return
    this.#owed += chunk.byteLength
    if (this.#answer.isOver) return this.#toClient(chunk, memory)
    const { head, rest } = this.#answer.take(chunk)
    if (head.byteLength > 0) this.#socket.write(head)
    this.#toClient(rest)
  }

  onEnd(trailers: string[]): void {
    if (!this.#open) return this.#plain.onEnd(trailers)
    this.#isAnswered = true
    this.#socket.end(this.#answer.rest())
  }

  onDrain(): void {
    this.#socket.resume()
  }

  onFailure(error: Error): void {
    if (!this.#open) return this.#plain.onFailure(error)
    // The site does not listen any longer; the client may not have all that it has said.
    if (this.#isAnswered) linger(this.#socket as Socket)
    else this.#socket.destroy()
  }

  onBodyWanted(): void {
    this.#plain.onBodyWanted()
  }

  onInformational(head: ResponseHead): void {
    this.#plain.onInformational(head)
  }

  onResponse(head: ResponseHead, body: Uint8Array, last: boolean, memory?: ReadMemory): void {
    this.#plain.onResponse(head, body, last, memory)
  }

  #toClient(chunk: Uint8Array, memory?: ReadMemory): void {
    this.#plain.res.bodyBytes += chunk.byteLength
    if (this.#socket.write(chunk, memory?.onWritten)) {
      if (this.#owed > CREDIT_PORTION_BYTES) this.#pay()
    } else if (this.#socket.listenerCount('drain', this.#pay) === 0) {
      this.#socket.once('drain', this.#pay)
    }
  }

  #toSite(chunk: Buffer): void {
    if (this.#exchange?.sendBody(chunk) === false) this.#socket.pause()
  }

  #pay = (): void => {
    if (this.#owed > 0) this.#exchange?.consumed(this.#owed)
    this.#owed = 0
  }

  #gone(): void {
    if (this.#exchange !== undefined && this.#exchange.state !== 'done') this.#handlers.onGone(this.#exchange)
  }
}
