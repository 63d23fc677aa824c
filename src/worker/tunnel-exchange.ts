/**
 * A request whose connection becomes the site's own: an upgrade (WebSocket and the like) or CONNECT. The site gets the
 * socket as a real stream; its bytes are frames, with credit both ways.
 *
 * The dispatcher hears of it with the first use: until then it may still answer in the site's place. Invariant: after
 * `#isOver` nothing is sent for this id, and `wire.over` was called once.
 */
import type { Server } from 'node:http'
import type { WriteCallback } from './body-flow.ts'
import { ReceiveFlow, SendFlow } from './body-flow.ts'
import { reportCrash } from './crash.ts'
import type { Exchange, RequestFrame, Wire } from './exchange.ts'
import { closeReason } from './exchange.ts'
import type { MadeObjects } from './http-objects.ts'
import { createRequest } from './http-objects.ts'
import { enterServer, leaveServer } from './listen-adapter.ts'
import type { Site } from './site.ts'
import type { SocketOwner, WrittenChunk } from './site-socket.ts'
import { SiteSocket } from './site-socket.ts'
import { toBytes } from './written-bytes.ts'

export class TunnelExchange implements Exchange, SocketOwner {
  readonly site: Site
  readonly isTunnel = true
  /** The server that it came to. */
  readonly server: Server
  readonly #event: 'upgrade' | 'connect'
  readonly #wire: Wire
  readonly id: number
  readonly #sending: SendFlow
  readonly #receiving: ReceiveFlow
  #frame: RequestFrame | undefined
  #made: MadeObjects | undefined
  #socket: SiteSocket | undefined
  #isOpen = false
  #isLocalEnded = false
  #isRemoteEnded = false
  #isOver = false
  /** Whether it counts as a connection of its server. */
  #isCounted = false

  /**
   * @param event what the server is told; it has a listener for that
   * @param made the request that it was asked about
   */
  constructor(
    site: Site,
    server: Server,
    event: 'upgrade' | 'connect',
    wire: Wire,
    frame: RequestFrame,
    made?: MadeObjects,
  ) {
    this.site = site
    this.server = server
    this.#event = event
    this.#wire = wire
    this.id = frame.id
    this.#frame = frame
    this.#made = made
    this.#sending = new SendFlow(wire.channel, frame.id)
    this.#receiving = new ReceiveFlow(wire.channel, frame.id)
  }

  // ---- from the dispatcher -------------------------------------------------------------------------------------

  start(): void {
    const { head, body } = this.#frame as RequestFrame
    this.#frame = undefined
    this.#isCounted = enterServer(this.server)
    const socket = this.#made?.socket ?? new SiteSocket(this, head, this.server)
    const request = this.#made?.request ?? createRequest(this.server, socket, head)
    socket.owner = this
    this.#made = undefined
    this.#socket = socket
    // Node's parser has come to the end of such a request before it emits the event.
    request.upgrade = true
    request.complete = true
    request.push(null)
    try {
      this.server.emit(this.#event, request, socket, body)
    } catch (error) {
      reportCrash(this, error)
    }
  }

  body(chunk: Uint8Array): void {
    const socket = this.#socket
    if (socket === undefined || this.#isRemoteEnded) return
    this.#receiving.received(chunk.byteLength)
    socket.arrived(chunk.byteLength)
    if (socket.push(chunk)) this.#receiving.grant()
  }

  end(): void {
    if (this.#isRemoteEnded) return
    this.#isRemoteEnded = true
    this.#socket?.push(null)
    // As net.Socket does: 'end' comes also when nobody reads, if there is nothing left to read.
    this.#socket?.read(0)
  }

  credit(bytes: number): void {
    this.#socket?.touch()
    this.#sending.credit(bytes)
  }

  abort(): void {
    this.#setOver()
    this.#socket?.destroy()
  }

  fail(): void {
    if (this.#isOver || this.#isOpen) return
    this.#wire.channel.send({ type: 'failed', id: this.id })
    this.#setOver()
    this.#socket?.destroy()
  }

  cut(): void {
    this.#socket?.destroy()
  }

  // ---- from the socket -----------------------------------------------------------------------------------------

  write(chunks: readonly WrittenChunk[], callback: WriteCallback): void {
    this.#openTunnel()
    const bytes = toBytes(chunks)
    if (this.#socket !== undefined) this.#socket.bytesDispatched += bytes.byteLength
    this.#sending.send(bytes, callback)
  }

  demand(): void {
    this.#openTunnel()
    this.#receiving.grant()
  }

  final(callback: WriteCallback): void {
    this.#openTunnel()
    this.#isLocalEnded = true
    if (!this.#isOver) this.#wire.channel.send({ type: 'end', id: this.id, trailers: [] })
    callback()
  }

  destroyed(error: Error | null): void {
    if (!this.#isOver) {
      // Ended both ways in good order: the dispatcher closes by itself, once the client has everything.
      if (!this.#isLocalEnded || !this.#isRemoteEnded) {
        this.#wire.channel.send({ type: 'abort', id: this.id, reason: closeReason(error) })
      }
      this.#setOver()
    }
    this.#sending.stop(error ?? new Error('the connection is closed'))
    this.#socket = undefined
  }

  closing(): void {}

  // ---- inner workings ------------------------------------------------------------------------------------------

  #openTunnel(): void {
    if (this.#isOpen || this.#isOver) return
    this.#isOpen = true
    this.#wire.channel.send({ type: 'tunnel', id: this.id })
  }

  #setOver(): void {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#isCounted) leaveServer(this.server, this.site)
    this.#wire.over(this.id)
  }
}
