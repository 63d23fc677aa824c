/**
 * All open connections of the front: how many each address has, and which of them hold something up: a client that stops in
 * the middle of a head or a body, or that does not take its answer. Such a client holds a socket, and after its site's timeout not
 * even that.
 *
 * Why heads are not left to Node: its list of all connections is sorted anew twice for each request, which takes 2 of the 19 µs that
 * one takes of the dispatcher (docs/architecture.md).
 *
 * Limit: one look at each connection in `SWEEP_MS`, which is how late a timeout can be. Invariant: nothing is counted that
 * is not open.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { isIPv6 } from 'node:net'
import { BodyPace } from './body-pace.ts'
import type { Connection } from './connection.ts'
import type { FrontResponse } from './front-response.ts'
import { sendError } from './send-error.ts'

const SWEEP_MS = 1_000

/** What is done about heads. */
export interface HeadRules {
  timeoutMs: number
  /** The rest of a head has not come in time. */
  onLate(socket: Socket): void
}

/** What was seen of what waits for a client. */
interface Taking {
  taken: number
  queued: number
  /** Since when the client took no byte of it. */
  takenAt: number
}

/** What was seen of a request that may be held up. */
interface Progress extends Taking {
  req: IncomingMessage
  /** Of its body. */
  pace: BodyPace
}

export class Connections {
  readonly #open = new Map<Connection, Progress | undefined>()
  /** Those of HTTP/2, on which requests are not looked at one by one. */
  readonly #shared = new WeakMap<Connection, Taking>()
  readonly #counts = new Map<string, number>()
  /** What had been read of those that were idle when the front began to close, or at its last look. */
  readonly #idle = new WeakMap<Connection, number | undefined>()
  readonly #heads: HeadRules
  readonly #timer: NodeJS.Timeout

  constructor(heads: HeadRules) {
    this.#heads = heads
    this.#timer = setInterval(() => this.sweep(performance.now()), Math.min(SWEEP_MS, heads.timeoutMs)).unref()
  }

  /** Takes a connection into account until its socket is closed. */
  add(connection: Connection, socket: Socket): void {
    this.#open.set(connection, undefined)
    socket.once('close', () => this.#open.delete(connection))
  }

  /**
   * Counts a connection for an address until its socket is closed.
   *
   * @returns false when the address has `most` already: then it is not counted
   */
  count(address: string, socket: Socket, most: number): boolean {
    const key = addressKey(address)
    const count = this.#counts.get(key) ?? 0
    if (count >= most) return false
    this.#counts.set(key, count + 1)
    socket.once('close', () => {
      const left = (this.#counts.get(key) ?? 1) - 1
      if (left === 0) this.#counts.delete(key)
      else this.#counts.set(key, left)
    })
    return true
  }

  /** Ends those whose answer has no end of its own. */
  endEndless(): void {
    for (const { res, socket } of this.#open.keys()) if (res?.isEndless === true) socket.destroy()
  }

  /**
   * Ends those of HTTP/1.1 that were idle at the call before too: what was asked in between has been told that the connection
   * ends, but an answer that had begun by then could not say so.
   */
  endIdle(): void {
    for (const connection of this.#open.keys()) {
      const { socket, isIdle } = connection
      if (isIdle && this.#idle.get(connection) === socket.bytesRead) socket.destroy()
      else this.#idle.set(connection, isIdle ? socket.bytesRead : undefined)
    }
  }

  /** Ends those on which no request ever came. @param spares those on which one seems to be on its way */
  endUnused(spares: boolean): void {
    for (const connection of this.#open.keys()) {
      if (spares ? connection.isSilent : connection.isUnused) connection.socket.destroy()
    }
  }

  endAll(): void {
    for (const { socket } of this.#open.keys()) socket.destroy()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** Ends connections whose client has held them up for too long. @param now as `performance.now()` */
  sweep(now: number): void {
    for (const [connection, progress] of this.#open) {
      const { req, res } = connection
      if (connection.isShared) this.#lookAtShared(connection, now)
      if (req === undefined || res === undefined) this.#lookForHead(connection, now)
      else if (res.writableFinished && req.complete) {
        connection.rest()
        this.#open.set(connection, undefined)
      } else if (progress?.req !== req) this.#open.set(connection, firstSeen(connection.socket, req, now))
      else this.#look(connection, req, res, progress, now)
    }
  }

  #lookForHead(connection: Connection, now: number): void {
    connection.lookForHead(now)
    const { headSince, socket, isClosing } = connection
    if (headSince === undefined || isClosing || now - headSince < this.#heads.timeoutMs) return
    this.#heads.onLate(socket)
  }

  /** A stream has no timeout any more once all of it is with its session, nor has a session that is over (Node 24.21). */
  #lookAtShared(connection: Connection, now: number): void {
    const { socket, sendTimeoutMs } = connection
    const taking = this.#shared.get(connection) ?? firstTaking(socket, now)
    this.#shared.set(connection, taking)
    lookAtTaking(taking, connection, now)
    if (now - taking.takenAt >= sendTimeoutMs) socket.destroy()
  }

  #look(connection: Connection, req: IncomingMessage, res: FrontResponse, progress: Progress, now: number): void {
    const { socket, bodyTimeoutMs, bodyRate, sendTimeoutMs } = connection
    const { pace } = progress
    pace.look(socket.bytesRead, isReadFrom(req), now)
    lookAtTaking(progress, connection, now)
    if (now - progress.takenAt >= sendTimeoutMs) socket.destroy()
    else if (pace.hasStopped(bodyTimeoutMs)) endLateBody(socket, req, res)
    // A site that answers before the body is whole talks with its client, who may take its time.
    else if (!res.headersSent && pace.isTooSlow(bodyRate)) endLateBody(socket, req, res)
  }
}

function firstSeen(socket: Socket, req: IncomingMessage, now: number): Progress {
  return { req, pace: new BodyPace(socket.bytesRead, now), ...firstTaking(socket, now) }
}

function firstTaking(socket: Socket, now: number): Taking {
  return { taken: takenBytes(socket), queued: 0, takenAt: now }
}

function lookAtTaking(taking: Taking, { socket, queuedBytes: queued }: Connection, now: number): void {
  const taken = takenBytes(socket)
  // HTTP/2 writes past the socket, which then has nothing that waits.
  const isAll = socket.writableLength === 0 && queued === 0
  if (isAll || taken !== taking.taken || queued < taking.queued) taking.takenAt = now
  taking.taken = taken
  taking.queued = queued
}

/** Whether somebody waits for the next part of a body, and not the client for somebody to take it. */
function isReadFrom(req: IncomingMessage): boolean {
  return !req.complete && req.readableFlowing === true
}

function endLateBody(socket: Socket, req: IncomingMessage, res: FrontResponse): void {
  if (res.headersSent) socket.destroy()
  else sendError(req, res, { statusCode: 408, closes: true })
}

/** Bytes of writes that are over. */
function takenBytes(socket: Socket): number {
  return socket.bytesWritten - socket.writableLength
}

/** What addresses are counted by: of IPv6 the network of a household or server, its first 64 bits. */
export function addressKey(address: string): string {
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice('::ffff:'.length)
  if (!isIPv6(address)) return address
  const [head = '', tail] = address.replace(/%.*$/, '').split('::')
  const front = head === '' ? [] : head.split(':')
  const back = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups =
    tail === undefined ? front : [...front, ...Array(Math.max(0, 8 - front.length - back.length)).fill('0'), ...back]
  const numbers = groups.map((group) => Number.parseInt(group, 16))
  // ::ffff:0:0/96, written without dots.
  if (numbers.length === 8 && numbers.slice(0, 6).join() === '0,0,0,0,0,65535') {
    return numbers
      .slice(6)
      .flatMap((number) => [number >> 8, number & 255])
      .join('.')
  }
  return `${numbers
    .slice(0, 4)
    .map((number) => number.toString(16))
    .join(':')}::/64`
}
