/**
 * The dispatcher's end of one thread's socket: frames out for requests and generations, frames in to the exchanges and
 * loads they belong to. Keeps what is open on this thread; decides nothing.
 *
 * Invariant: every exchange in `open` has this link; an exchange leaves `open` when its last byte came, when it was
 * aborted, or when the link closed, and the pool is told exactly once, by `onFinished` or by `onClosed`.
 */
import type { Socket } from 'node:net'
import { FrameInvalid, SiteAborted, SiteFailed } from '../core/errors.ts'
import { IdTable } from '../core/id-table.ts'
import { isRevocable } from '../core/thread-board.ts'
import type { Channel } from '../protocol/channel.ts'
import { openChannel } from '../protocol/channel.ts'
import type { Frame, LoadOrder, LoadReport, LogLevel } from '../protocol/frames.ts'
import { assertNever, MAX_CHUNK_BYTES } from '../protocol/frames.ts'
import type { ReadMemory } from '../protocol/read-memory.ts'
import type { Exchange } from './exchange.ts'

const EMPTY = Buffer.alloc(0)
const HELLO_TIMEOUT_MS = 10_000
/** The number of no generation. */
const NO_GENERATION = 0

export interface ThreadLinkHandlers {
  /** The exchange has left the thread: its answer is complete, or it became a tunnel (`exchange.state`). */
  onFinished(exchange: Exchange): void
  /** The thread has begun it. */
  onBegan(exchange: Exchange): void
  /** The site gave a request no answer, or no whole one. */
  onFailed(exchange: Exchange, error: Error): void
  onAnswering(exchange: Exchange): void
  onFiles(generation: number, files: string[]): void
  /** @param request the id of the request whose code wrote it */
  onLog(generation: number, level: LogLevel, text: string, request: string | undefined): void
  /** A site changed what all sites of the thread share; that is undone. */
  onOffence(generation: number, text: string): void
  /** A site is about to load native code, which may end the process. */
  onNative(generation: number): void
  /** A generation has closed its servers by itself: it answers nothing any more. */
  onOver(generation: number): void
  /** Nothing is open on this thread any more. */
  onIdle(): void
  /** The socket has closed. @param open the exchanges that were still open */
  onClosed(open: Exchange[], error: Error | undefined): void
}

/** Decides on a connection's hello. @returns who hears of this link, or undefined to refuse it */
export type Greet = (link: ThreadLink, thread: number, token: string) => ThreadLinkHandlers | undefined

export class ThreadLink {
  readonly open = new IdTable<Exchange>()
  readonly #channel: Channel
  readonly #greet: Greet
  #handlers: ThreadLinkHandlers | undefined
  readonly #loads = new Map<number, (report: LoadReport) => void>()
  readonly #unloads = new Map<number, () => void>()
  #lastId = 0
  /** Whether anything came since `takeHeard` was asked last. */
  #heard = false
  /** Called once, soon after the next frame from the thread. */
  onceHeard: (() => void) | undefined

  /** @param socket a connection that has not said hello yet; it is ended when it does not in time */
  constructor(socket: Socket, greet: Greet) {
    this.#greet = greet
    const silent = setTimeout(() => this.#channel.destroy(new FrameInvalid('no hello in time')), HELLO_TIMEOUT_MS)
    this.#channel = openChannel(socket, {
      onFrame: (frame) => {
        this.#heard = true
        if (this.onceHeard !== undefined) this.#tellOnce(this.onceHeard)
        if (this.#handlers !== undefined) return this.#receive(frame, this.#handlers)
        clearTimeout(silent)
        this.#hello(frame)
      },
      onClose: (error) => {
        clearTimeout(silent)
        this.#closed(error)
      },
    })
  }

  send(exchange: Exchange): void {
    const id = this.#nextId()
    this.open.set(id, exchange)
    const last = !exchange.hasBody
    this.#channel.send({ type: 'request', id, head: exchange.head, body: EMPTY, last })
    exchange.assigned(this, id)
    // With nothing else open there is no batch to wait for: one client alone is answered a turn earlier.
    if (this.open.size === 1) this.#channel.flush()
  }

  /** @param memory what the chunk is all of, to be given back when it was sent */
  sendBody(id: number, chunk: Uint8Array, memory?: ReadMemory): void {
    if (chunk.byteLength <= MAX_CHUNK_BYTES) {
      this.#channel.send({ type: 'body', id, chunk, memory })
      return
    }
    for (let at = 0; at < chunk.byteLength; at += MAX_CHUNK_BYTES) {
      this.#channel.send({ type: 'body', id, chunk: chunk.subarray(at, at + MAX_CHUNK_BYTES) })
    }
  }

  sendEnd(id: number, trailers: string[]): void {
    this.#channel.send({ type: 'end', id, trailers })
  }

  sendCredit(id: number, bytes: number): void {
    this.#channel.send({ type: 'credit', id, bytes })
  }

  /** The client is gone, or nobody waits for the answer any more: the site is told, and frames of it are dropped. */
  abort(exchange: Exchange, reason: string): void {
    if (this.open.delete(exchange.id) === undefined) return
    this.#channel.send({ type: 'abort', id: exchange.id, reason })
    this.#idleCheck()
  }

  /** Loads a generation; resolves also when that fails, and when the thread ends meanwhile. */
  load(order: LoadOrder): Promise<LoadReport> {
    return new Promise((resolve) => {
      this.#loads.set(order.generation, resolve)
      try {
        this.#channel.send({ type: 'load', id: order.generation, order })
      } catch (error) {
        this.#loads.delete(order.generation)
        resolve(failedReport(error instanceof Error ? error.message : String(error)))
      }
    })
  }

  /** Lets a generation close itself; resolves when it has, or when the thread has ended. */
  unload(generation: number): Promise<void> {
    return new Promise((resolve) => {
      this.#unloads.set(generation, resolve)
      this.#channel.send({ type: 'unload', id: generation })
    })
  }

  /** A newer version is there than the one that is being loaded: the thread need not wait long for that one to listen. */
  outdate(generation: number): void {
    this.#channel.send({ type: 'outdate', id: generation })
  }

  /**
   * Has the thread say something as soon as it comes round. Where all that it was sent is taken back from it, it owes nothing that
   * would tell; that nothing of this number is loaded any more it tells in any case.
   */
  askForSign(): void {
    this.#channel.send({ type: 'unload', id: NO_GENERATION })
  }

  /** Whether anything came from the thread since the last call. */
  takeHeard(): boolean {
    const heard = this.#heard
    this.#heard = false
    return heard
  }

  /** Whether the thread was sent a request and has not said that it began. */
  get hasUnstarted(): boolean {
    return this.open.some(({ state }) => state === 'sent')
  }

  /** The requests that may still be taken away from the thread (core/thread-board.ts). */
  revocable(): number[] {
    const ids: number[] = []
    for (const [id, exchange] of this.open.entries()) {
      if (exchange.state === 'sent' && isRevocable(id, this.#lastId)) ids.push(id)
    }
    return ids
  }

  /** A request is with this thread no more, and the thread does nothing about it. @returns it, where it was open */
  takeBack(id: number): Exchange | undefined {
    const exchange = this.open.delete(id)
    if (exchange === undefined) return undefined
    this.#idleCheck()
    return exchange
  }

  close(): void {
    this.#channel.destroy()
  }

  #nextId(): number {
    do {
      this.#lastId = this.#lastId >= 0xffff_fff0 ? 1 : this.#lastId + 1
    } while (this.open.has(this.#lastId))
    return this.#lastId
  }

  /** Not before the other frames that came with this one. */
  #tellOnce(hear: () => void): void {
    this.onceHeard = undefined
    queueMicrotask(hear)
  }

  #hello(frame: Frame): void {
    if (frame.type === 'hello') this.#handlers = this.#greet(this, frame.thread, frame.token)
    if (this.#handlers === undefined) this.#channel.destroy(new FrameInvalid('no hello that is known'))
  }

  #receive(frame: Frame, handlers: ThreadLinkHandlers): void {
    switch (frame.type) {
      case 'started':
        return this.#began(frame.id, handlers)
      case 'response':
        return this.#response(frame, handlers)
      case 'body':
        return this.open.get(frame.id)?.listener.onBody(frame.chunk, frame.memory)
      case 'end':
        return this.#end(frame.id, frame.trailers, handlers)
      case 'credit':
        return this.open.get(frame.id)?.credited(frame.bytes)
      case 'informational':
        return this.open.get(frame.id)?.listener.onInformational(frame.head)
      case 'tunnel':
        return this.#tunnel(frame.id, handlers)
      case 'abort':
        return this.#failed(frame.id, ({ site }) => new SiteAborted(site.name, frame.reason), handlers)
      case 'failed':
        return this.#failed(frame.id, ({ site }) => new SiteFailed(site.name), handlers)
      case 'loaded':
        return settle(this.#loads, frame.id, frame.report)
      case 'unloaded':
        return this.#unloads.has(frame.id) ? settle(this.#unloads, frame.id, undefined) : handlers.onOver(frame.id)
      case 'files':
        return handlers.onFiles(frame.id, frame.files)
      case 'log':
        return handlers.onLog(frame.id, frame.level, frame.text, frame.request)
      case 'offence':
        return handlers.onOffence(frame.id, frame.text)
      case 'native':
        return handlers.onNative(frame.id)
      case 'hello':
      case 'request':
      case 'load':
      case 'unload':
      case 'outdate':
        return this.#channel.destroy(new FrameInvalid(`a ${frame.type} frame from a thread`))
      default:
        return assertNever(frame)
    }
  }

  #began(id: number, handlers: ThreadLinkHandlers): void {
    const exchange = this.open.get(id)
    if (exchange === undefined) return
    exchange.acknowledged()
    handlers.onBegan(exchange)
  }

  #response(frame: Frame & { type: 'response' }, handlers: ThreadLinkHandlers): void {
    const exchange = this.open.get(frame.id)
    if (exchange === undefined) return
    exchange.acknowledged()
    exchange.state = 'answering'
    handlers.onAnswering(exchange)
    exchange.listener.onResponse(frame.head, frame.body, frame.last, frame.memory)
    if (frame.last) this.#finish(exchange, handlers)
  }

  #end(id: number, trailers: string[], handlers: ThreadLinkHandlers): void {
    const exchange = this.open.get(id)
    if (exchange === undefined) return
    const wasTunnel = exchange.state === 'tunnel'
    exchange.listener.onEnd(trailers)
    // A tunnel is open until both directions have ended: then the front aborts or the site does.
    if (!wasTunnel) this.#finish(exchange, handlers)
  }

  #tunnel(id: number, handlers: ThreadLinkHandlers): void {
    const exchange = this.open.get(id)
    if (exchange === undefined) return
    exchange.acknowledged()
    exchange.state = 'tunnel'
    handlers.onAnswering(exchange)
    exchange.listener.onTunnel()
    handlers.onFinished(exchange)
  }

  #finish(exchange: Exchange, handlers: ThreadLinkHandlers): void {
    this.open.delete(exchange.id)
    exchange.state = 'done'
    exchange.link = undefined
    handlers.onFinished(exchange)
    this.#idleCheck()
  }

  #failed(id: number, errorOf: (exchange: Exchange) => Error, handlers: ThreadLinkHandlers): void {
    const exchange = this.open.delete(id)
    if (exchange === undefined) return
    handlers.onFailed(exchange, errorOf(exchange))
    this.#idleCheck()
  }

  #idleCheck(): void {
    if (this.open.size === 0) this.#handlers?.onIdle()
  }

  #closed(error: Error | undefined): void {
    const open = this.open.values()
    this.open.clear()
    this.#handlers?.onClosed(open, error)
    for (const resolve of this.#loads.values()) resolve(failedReport('the thread ended while the site was loading'))
    for (const resolve of this.#unloads.values()) resolve()
    this.#loads.clear()
    this.#unloads.clear()
  }
}

function settle<T>(waiting: Map<number, (value: T) => void>, id: number, value: T): void {
  const resolve = waiting.get(id)
  waiting.delete(id)
  resolve?.(value)
}

/** A report for a load that never reached the site's code. */
export function failedReport(message: string): LoadReport {
  return { shape: undefined, failure: { message }, files: [], tookMs: 0 }
}
