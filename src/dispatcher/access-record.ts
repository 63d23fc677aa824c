/**
 * One request as the access logs see it: from its head to the end of its answer, or to the moment at which its client
 * left.
 *
 * Invariant: one line in each of its logs, when nothing more follows. `Authorization` and `Cookie` are never looked at.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { giveRequestId } from '../core/request-id.ts'
import type { Exchange } from '../pool/exchange.ts'
import type { AccessEntry } from './access-format.ts'
import { clientOf } from './connection.ts'
import type { FrontResponse } from './front-response.ts'

/** Where the lines go. */
export interface AccessSink {
  write(entry: AccessEntry): void
}

/** As of nginx: the client has gone before it had an answer. */
const CLIENT_GONE = 499

export class AccessRecord {
  /** Of the request: as it came, or made here; also in its headers. */
  readonly id: string
  readonly sinks: AccessSink[] = []
  site = ''
  host = ''
  /** The client's address; whoever knows better than the connection may say so. */
  client: string
  /** What came of it in the pool, for the sites that are there. */
  exchange: Exchange | undefined
  /** The answer's Cache-Status. */
  cache = ''
  readonly #req: IncomingMessage
  readonly #res: FrontResponse
  readonly #port: number
  readonly #tls: string
  readonly #startedAt = performance.now()
  #isOver = false

  /** @param tunnel the client's connection, where it may become a tunnel: its end is the end of the request then */
  constructor(req: IncomingMessage, res: FrontResponse, tunnel: Duplex | undefined) {
    const socket = req.socket as Socket & { getProtocol?: () => string | null }
    this.#req = req
    this.#res = res
    // None of it is to be had once the socket is closed.
    this.client = clientOf(req).address
    this.#port = socket.localPort ?? 0
    this.#tls = socket.getProtocol?.() ?? ''
    this.id = giveRequestId(req)
    const over = (): void => this.#over()
    res.on('close', over)
    if (tunnel === undefined) return
    res.on('finish', over)
    tunnel.on('close', over)
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    const entry = this.#entry()
    for (const sink of this.sinks) sink.write(entry)
  }

  #entry(): AccessEntry {
    const req = this.#req
    const res = this.#res
    const now = performance.now()
    const hasAnswer = res.headAt > 0
    const { exchange } = this
    const entry: AccessEntry = {
      time: Date.now(),
      client: this.client,
      site: this.site,
      host: this.host,
      port: this.#port,
      method: req.method ?? '',
      target: req.url ?? '',
      httpVersion: req.httpVersion,
      status: hasAnswer ? res.statusCode : CLIENT_GONE,
      bytes: req.method === 'HEAD' ? 0 : res.bodyBytes,
      firstByteMs: hasAnswer ? res.headAt - this.#startedAt : undefined,
      totalMs: now - this.#startedAt,
      queueMs: exchange && (exchange.runs > 0 ? exchange.startedAt : now) - exchange.arrivedAt,
      process: exchange?.thread?.process.pid,
      thread: exchange?.thread?.id,
      cache: this.cache,
      id: this.id,
      referer: '',
      userAgent: '',
      tls: this.#tls,
      isCut: hasAnswer && !res.writableFinished && !res.isTunnel,
      reason: '',
    }
    addHeaders(entry, req.rawHeaders)
    return entry
  }
}

/** The two headers that stand in a line; of several, the first. */
function addHeaders(entry: AccessEntry, rawHeaders: readonly string[]): void {
  for (let at = rawHeaders.length - 2; at >= 0; at -= 2) {
    const name = rawHeaders[at] as string
    if (name.length === 7 && name.toLowerCase() === 'referer') entry.referer = rawHeaders[at + 1] as string
    else if (name.length === 10 && name.toLowerCase() === 'user-agent') entry.userAgent = rawHeaders[at + 1] as string
  }
}
