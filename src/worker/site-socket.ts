/**
 * The socket that a site sees: a real stream with the fields and methods of a client's connection, and nothing behind it
 * but an owner, which turns its bytes into frames.
 *
 * There is one for each request, so it ends with the request, as the socket of a client that does not keep its
 * connection would. Limits: what the stream buffers is bounded by its high-water mark, as for any socket; the owner
 * takes bytes only as the dispatcher has room.
 */
import type { Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Duplex } from 'node:stream'
import type { RequestHead } from '../protocol/frames.ts'
import type { WriteCallback } from './body-flow.ts'
import { internalSymbols, setInternal } from './node-internals.ts'

/** A part of what a site wrote: text has an encoding, bytes have none that counts. */
export interface WrittenChunk {
  chunk: string | Uint8Array
  encoding: BufferEncoding
}

/** What is behind a socket: the request it belongs to. */
export interface SocketOwner {
  /** Whether bytes are the client's own, rather than a response to be framed. */
  readonly isTunnel: boolean
  /** Takes what the site wrote. @param callback when it may write on */
  write(chunks: readonly WrittenChunk[], callback: WriteCallback): void
  /** The site has room for more of the client's bytes. */
  demand(): void
  /** The site ended its half. */
  final(callback: WriteCallback): void
  /** The socket is destroyed, by the site or by the owner itself. */
  destroyed(error: Error | null): void
  /** A tick later: its 'close' comes next. */
  closing(): void
}

// 'close' has an argument, which a stream's own has not: it is emitted here, as net.Socket does.
const OPTIONS = { allowHalfOpen: true, decodeStrings: false, emitClose: false }

export class SiteSocket extends Duplex {
  /** Its own exchange; while the site is asked what to make of an upgrade, nobody's yet. */
  owner: SocketOwner
  readonly server: Server
  // What Node's HTTP code keeps on a socket.
  _httpMessage: ServerResponse | null = null
  _paused = false
  _hadError = false
  parser = null
  connecting = false
  pending = false
  timeout: number | undefined = undefined
  /** What the owner was handed, with the head that goes before it. */
  bytesDispatched = 0
  /** What has come of the body, or of the tunnel. */
  #bytesArrived = 0
  readonly #head: RequestHead
  #timer: NodeJS.Timeout | undefined
  #watchesDrain = false

  constructor(owner: SocketOwner, head: RequestHead, server: Server) {
    super(OPTIONS)
    this.owner = owner
    this.server = server
    this.#head = head
    if (head.encrypted) Object.assign(this, { encrypted: true, authorized: false, authorizationError: null })
  }

  get remoteAddress(): string | undefined {
    return this.#head.remoteAddress || undefined
  }

  get remotePort(): number | undefined {
    return this.#head.remoteAddress ? this.#head.remotePort : undefined
  }

  get remoteFamily(): string | undefined {
    return family(this.#head.remoteAddress)
  }

  get localAddress(): string | undefined {
    return this.#head.localAddress || undefined
  }

  get localPort(): number | undefined {
    return this.#head.localAddress ? this.#head.localPort : undefined
  }

  get localFamily(): string | undefined {
    return family(this.#head.localAddress)
  }

  get readyState(): string {
    if (this.readable && this.writable) return 'open'
    if (this.readable) return 'readOnly'
    return this.writable ? 'writeOnly' : 'closed'
  }

  get bufferSize(): number {
    return this.writableLength
  }

  /** With a head of the size that an HTTP/1.1 client sends. */
  get bytesRead(): number {
    return headBytes(this.#head) + this.#bytesArrived
  }

  /** As in net.Socket, with what waits in the stream. */
  get bytesWritten(): number {
    const { writableBuffer } = this as unknown as { writableBuffer: readonly WrittenChunk[] }
    return writableBuffer.reduce(
      (bytes, { chunk, encoding }) => bytes + Buffer.byteLength(chunk, encoding),
      this.bytesDispatched,
    )
  }

  address(): AddressInfo | Record<string, never> {
    const { localAddress, localPort, localFamily } = this
    if (localAddress === undefined || localPort === undefined || localFamily === undefined) return {}
    return { address: localAddress, family: localFamily, port: localPort }
  }

  /** As in net.Socket: 'timeout' after so many ms without a byte in either direction; 0 ends that. */
  setTimeout(timeoutMs: number, callback?: () => void): this {
    if (this.destroyed) return this
    this.timeout = timeoutMs
    this.stopTimer()
    if (timeoutMs === 0) {
      if (callback) this.removeListener('timeout', callback)
      return this
    }
    if (callback) this.once('timeout', callback)
    this.#timer = setTimeout(onTimeout, timeoutMs, this).unref()
    return this
  }

  /** So many bytes of the client's have come. */
  arrived(bytes: number): void {
    this.#bytesArrived += bytes
    this.touch()
  }

  /** A byte has moved. */
  touch(): void {
    this.#timer?.refresh()
  }

  stopTimer(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
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

  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', this.destroy)
  }

  resetAndDestroy(): this {
    return this.destroy()
  }

  /** A request asks for its body by resuming its socket (`IncomingMessage.prototype._read`). */
  override resume(): this {
    if (this.owner.isTunnel) return super.resume()
    this.owner.demand()
    return this
  }

  override write(chunk: unknown, encoding?: BufferEncoding | WriteCallback, callback?: WriteCallback): boolean {
    const isTaken = super.write(chunk, encoding as BufferEncoding, callback)
    if (!isTaken && !this.#watchesDrain && !this.owner.isTunnel) {
      this.#watchesDrain = true
      this.on('drain', onDrain)
    }
    return isTaken
  }

  override _read(): void {
    if (this.owner.isTunnel) this.owner.demand()
  }

  override _write(chunk: string | Uint8Array, encoding: BufferEncoding, callback: WriteCallback): void {
    this.#count([{ chunk, encoding }], callback)
  }

  override _writev(chunks: WrittenChunk[], callback: WriteCallback): void {
    this.#count(chunks, callback)
  }

  override _final(callback: WriteCallback): void {
    this.owner.final(callback)
  }

  override _destroy(error: Error | null, callback: WriteCallback): void {
    this.stopTimer()
    this._hadError = error !== null
    this.owner.destroyed(error)
    process.nextTick(closeSocket, this, error, callback)
  }

  #count(chunks: readonly WrittenChunk[], callback: WriteCallback): void {
    this.touch()
    this.owner.write(chunks, callback)
  }
}

/** `socketOnTimeout` of Node's http.Server: unless the request, the response or the server hears of it, it ends. */
function onTimeout(socket: SiteSocket): void {
  if (!socket.owner.isTunnel) {
    const response = socket._httpMessage
    const request = response?.req
    const byRequest = request !== undefined && !request.complete && request.emit('timeout', socket)
    const byResponse = response?.emit('timeout', socket)
    const byServer = socket.server.emit('timeout', socket)
    if (!byRequest && !byResponse && !byServer) socket.destroy()
  }
  socket.emit('timeout')
}

/** As with a real socket, nobody hears of the end before the code that destroyed it has returned. */
function closeSocket(socket: SiteSocket, error: Error | null, callback: WriteCallback): void {
  socket.owner.closing()
  // http.Server listens to its sockets' errors, so that a site need not; a tunnel's socket is the site's alone.
  callback(socket.owner.isTunnel || socket.listenerCount('error') > 0 ? error : null)
  // The stream emits 'error' in a tick that is before this one.
  process.nextTick(emitClose, socket, error !== null)
}

function emitClose(socket: SiteSocket, hadError: boolean): void {
  socket.emit('close', hadError)
}

/** `socketOnDrain` of Node's http.Server: the response tells who waits for it. */
function onDrain(this: SiteSocket): void {
  const response = this._httpMessage
  if (response === null || !response.writableNeedDrain || response.writableLength > 0) return
  setInternal(response, internalSymbols.needDrain, false)
  response.emit('drain')
}

function headBytes({ method, url, headers }: RequestHead): number {
  const line = `${method} ${url} HTTP/1.1\r\n\r\n`.length
  // Each name has ': ' behind it, and each value a line break.
  return headers.reduce((bytes, text) => bytes + text.length + 2, line)
}

function family(address: string): string | undefined {
  if (address === '') return undefined
  return address.includes(':') ? 'IPv6' : 'IPv4'
}
