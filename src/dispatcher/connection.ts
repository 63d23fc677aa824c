/**
 * What is known of a client's connection beside its socket: who is at its other end, what it is used for now, and whether
 * it is about to be closed. Its timeouts are connections.ts's.
 *
 * Invariant: once `isClosing` is set, no further request of this connection is answered.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FrontResponse } from './front-response.ts'
import type { Pipeline } from './pipeline.ts'

/** Who a request comes from. */
export interface Client {
  /** As Node tells it; '' where it came over a unix socket. */
  readonly address: string
  /** 0 where it is not known. */
  readonly port: number
  /** Whether the client came over TLS, to this server or to a trusted proxy. */
  readonly encrypted: boolean
}

/** Finds the client behind a trusted proxy. */
export type ClientFinder = (req: IncomingMessage, peer: Client) => Client

const CONNECTION = Symbol('connection')

/** A socket that may be known. */
interface Known {
  [CONNECTION]?: Connection
}

/** How long a client may pause in a body, or take nothing of an answer, until its site is known. */
const DEFAULT_TIMEOUT_MS = 60_000

export class Connection {
  socket: Socket
  /** Who is at the other end; or, after a PROXY protocol header, whom that speaks for. */
  peer: Client
  /** Set where the other end is a proxy that is believed. */
  finder: ClientFinder | undefined
  /** Whether what the other end says about forwarding is to be dropped. */
  dropsForwarded = false
  isClosing = false
  /** The request that came last and its answer, until that is finished. */
  req: IncomingMessage | undefined
  res: FrontResponse | undefined
  bodyTimeoutMs = DEFAULT_TIMEOUT_MS
  sendTimeoutMs = DEFAULT_TIMEOUT_MS
  /** Least bytes of a body in a second; 0: none. */
  bodyRate = 0
  /** What the client has asked for without waiting for the answer before; undefined where it never has. */
  pipeline: Pipeline | undefined

  /** Since when its client owes the rest of a head, as `performance.now()`; undefined where it owes none. */
  headSince: number | undefined

  #isLast = false
  #hasAsked = false
  /** Whether heads of HTTP/1.1 come on it: not before the handshake of TLS is over, nor on HTTP/2. */
  #hasHeads = false
  /** What had been read of the socket when the last request was seen to be over. */
  #bytesAtRest = 0
  #patienceMs = 0
  /** What had been read of the socket when it came. */
  #bytesBefore = 0
  /** What had been read of the socket when its client said that this request is its last; -1 until then. */
  #bytesAtLast = -1

  constructor(socket: Socket) {
    this.socket = socket
    this.peer = peerOf(socket)
    this.attach(socket)
  }

  /** From now on it is found by this socket too: the one that TLS put over the first. */
  attach(socket: Socket): void {
    this.socket = socket
    this.#bytesBefore = socket.bytesRead
    ;(socket as Known)[CONNECTION] = this
  }

  /** From now on it is found by this too: a stream of HTTP/2, which stands for a socket. */
  carry(stream: object): void {
    ;(stream as Known)[CONNECTION] = this
  }

  /** Whether a request that comes now has to wait until those before it are answered. */
  get isBusy(): boolean {
    const { res, pipeline } = this
    if (res === undefined) return false
    // Node takes the socket from an answer some time after its last byte was written; until then no other can have it.
    return (res.socket !== null && !res.destroyed) || pipeline?.isEmpty === false
  }

  /** Whether it has been asked, and has answered everything. On HTTP/2 none is. */
  get isIdle(): boolean {
    return this.#hasAsked && !this.isBusy && this.res?.writableFinished !== false
  }

  /** Whether no request ever came on it: as on those that browsers open ahead. On HTTP/2 none is counted. */
  get isUnused(): boolean {
    return !this.#hasAsked && !this.isShared
  }

  /** Whether it speaks HTTP/2: then many requests have it at once. */
  get isShared(): boolean {
    return (this.socket as Socket & { alpnProtocol?: unknown }).alpnProtocol === 'h2'
  }

  /** Whether its client has said which request is the last, and has sent all of that and nothing since. */
  get hasSaidAll(): boolean {
    const { req, pipeline, socket } = this
    return req?.complete === true && pipeline?.isEmpty !== false && socket.bytesRead === this.#bytesAtLast
  }

  /** Whether the client has not even begun to say something. */
  get isSilent(): boolean {
    return this.isUnused && this.socket.bytesRead === this.#bytesBefore
  }

  /**
   * Bytes of the write under way that the kernel has not taken, where Node tells: a large one may take minutes. Under TLS it is the
   * connection below that knows: TLS counts what it was given until the last of it has left.
   */
  get queuedBytes(): number {
    const below = carrierOf(this.socket) ?? this.socket
    return (below as Socket & { _handle?: { writeQueueSize?: number } | null })._handle?.writeQueueSize ?? 0
  }

  /** From now on its client owes a head of HTTP/1.1. @param now as `performance.now()` */
  awaitHead(now: number): void {
    this.#hasHeads = true
    this.headSince = now
  }

  /** Its last request is over. Keeps nothing of it. */
  rest(): void {
    this.req = undefined
    this.res = undefined
    this.headSince = undefined
    this.#bytesAtRest = this.socket.bytesRead
  }

  /** To be called now and then while no request is under way: what comes then is a head. @param now as `performance.now()` */
  lookForHead(now: number): void {
    if (this.headSince !== undefined || !this.#hasHeads || this.pipeline?.isEmpty === false) return
    if (this.socket.bytesRead !== this.#bytesAtRest) this.headSince = now
  }

  /** Takes note of a request whose turn it is. */
  begin(req: IncomingMessage, res: FrontResponse): void {
    if (this.#isLast) res.shouldKeepAlive = false
    if (!res.shouldKeepAlive && saysLast(req)) this.#bytesAtLast = this.socket.bytesRead
    this.headSince = undefined
    this.req = req
    this.res = res
    this.#hasAsked = true
  }

  /** One of those that share it is held to this by its site; the most patient site counts. */
  holdSharedTo(sendTimeoutMs: number): void {
    this.#patienceMs = Math.max(this.#patienceMs, sendTimeoutMs)
    this.sendTimeoutMs = this.#patienceMs
  }

  /** The next request is the last that is answered. */
  endWithNext(): void {
    this.#isLast = true
  }

  clientOf(req: IncomingMessage): Client {
    return this.finder === undefined ? this.peer : this.finder(req, this.peer)
  }
}

/** Whether the client itself asks that the connection ends behind the answer (RFC 9112 §9.3). */
function saysLast({ httpVersionMinor, headers }: IncomingMessage): boolean {
  return httpVersionMinor === 0 || /\bclose\b/i.test(headers.connection ?? '')
}

/** The connection of a socket; undefined where nobody keeps one. */
export function connectionOf(socket: object | null | undefined): Connection | undefined {
  return (socket as Known | null | undefined)?.[CONNECTION]
}

/** The socket that TLS was put over, which Node does not declare; undefined where there is none. */
export function carrierOf(secured: object): Socket | undefined {
  return (secured as { _parent?: Socket })._parent
}

/**
 * Who a request comes from: the other end of its connection, or whom trusted proxies and a PROXY protocol header say. Doors,
 * logs and sites all go by this.
 */
export function clientOf(req: IncomingMessage): Client {
  return connectionOf(req.socket)?.clientOf(req) ?? peerOf(req.socket)
}

function peerOf(socket: Socket & { encrypted?: boolean }): Client {
  return {
    address: socket.remoteAddress ?? '',
    port: socket.remotePort ?? 0,
    encrypted: socket.encrypted === true,
  }
}
