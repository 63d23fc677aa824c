/**
 * The requests that are under way in this thread, by id: starts them, and brings each frame to the one it belongs to, in
 * that one's context.
 *
 * A request that may not be repeated is acknowledged before its code runs, and the acknowledgement has left this thread
 * by then: if the code never comes back, the dispatcher knows that it was started. Every request is claimed on the board
 * as it begins, so that one that was taken away meanwhile does not; and while a site's code is being called, the board says
 * whose. The guard looks before and after each call. Invariant: a frame for an id that is not here is dropped.
 */
import { IdTable } from '../core/id-table.ts'
import type { ThreadBoard } from '../core/thread-board.ts'
import type { Channel } from '../protocol/channel.ts'
import type { Frame } from '../protocol/frames.ts'
import { REPEATABLE_METHODS } from '../protocol/methods.ts'
import { reportCrash } from './crash.ts'
import type { Exchange, RequestFrame, Wire } from './exchange.ts'
import { createWire } from './exchange.ts'
import type { GlobalsGuard } from './globals-guard.ts'
import { runIn } from './request-context.ts'
import type { Site } from './site.ts'

type BodyFrame = Extract<Frame, { type: 'body' | 'end' | 'credit' | 'abort' }>

/** A request whose acknowledgement is on its way to the kernel. */
interface Waiting {
  frames: BodyFrame[]
}

export class Requests {
  readonly #channel: Channel
  readonly #board: ThreadBoard
  readonly #guard: GlobalsGuard | undefined
  readonly #wire: Wire
  readonly #open = new IdTable<Exchange>()
  readonly #waiting = new IdTable<Waiting>()
  /** Repeatable requests that began in this turn: most are over by its end, and their answer says that they began. */
  #unannounced: number[] = []

  /** @param guard undefined in a process of one site's own */
  constructor(channel: Channel, board: ThreadBoard, guard: GlobalsGuard | undefined) {
    this.#channel = channel
    this.#board = board
    this.#guard = guard
    this.#wire = createWire(channel, (id) => this.#over(id))
  }

  /** @param site undefined when the generation is not loaded here */
  start(frame: RequestFrame, site: Site | undefined): void {
    if (!this.#board.claim(frame.id)) return
    if (site?.app === undefined) {
      this.#channel.send({ type: 'abort', id: frame.id, reason: 'generation not loaded' })
      return
    }
    if (REPEATABLE_METHODS.has(frame.head.method)) {
      if (this.#unannounced.length === 0) setImmediate(this.#announce)
      this.#unannounced.push(frame.id)
      return this.#run(frame, site)
    }
    this.#channel.send({ type: 'started', id: frame.id })
    this.#waiting.set(frame.id, { frames: [] })
    this.#channel.flush(() => this.#runWaiting(frame, site))
  }

  /** Takes a frame for a request that was started. */
  receive(frame: BodyFrame): void {
    const exchange = this.#open.get(frame.id)
    if (exchange !== undefined) {
      this.#guard?.before()
      this.#board.enter(frame.id, exchange.site.generation)
      runIn(exchange, deliver, exchange, frame)
      this.#board.leave()
      return this.#guard?.after(exchange.site)
    }
    this.#waiting.get(frame.id)?.frames.push(frame)
  }

  #announce = (): void => {
    for (const id of this.#unannounced) if (this.#open.has(id)) this.#channel.send({ type: 'started', id })
    this.#unannounced = []
  }

  #runWaiting(frame: RequestFrame, site: Site): void {
    const waiting = this.#waiting.delete(frame.id)
    if (waiting === undefined) return
    if (waiting.frames.some(({ type }) => type === 'abort')) return
    this.#run(frame, site)
    for (const late of waiting.frames) this.receive(late)
  }

  #run(frame: RequestFrame, site: Site): void {
    const { app } = site
    if (app === undefined) {
      this.#channel.send({ type: 'abort', id: frame.id, reason: 'generation not loaded' })
      return
    }
    this.#guard?.before()
    const exchange = app.open(site, this.#wire, frame)
    exchange.rawHeaders = frame.head.headers
    this.#open.set(frame.id, exchange)
    site.open.set(exchange.id, exchange)
    this.#board.enter(frame.id, site.generation)
    runIn(exchange, begin, exchange)
    this.#board.leave()
    this.#guard?.after(site)
  }

  #over(id: number): void {
    const exchange = this.#open.delete(id)
    if (exchange === undefined) return
    exchange.site.leave(exchange)
    // Nothing else is open, so nothing would join the answer.
    if (this.#open.size === 0) this.#channel.flush()
  }
}

function begin(exchange: Exchange): void {
  try {
    exchange.start()
  } catch (error) {
    reportCrash(exchange, error)
  }
}

/** An error may come from a listener of the site: it must not reach the channel, which would end for it. */
function deliver(exchange: Exchange, frame: BodyFrame): void {
  try {
    hand(exchange, frame)
  } catch (error) {
    reportCrash(exchange, error)
  }
}

function hand(exchange: Exchange, frame: BodyFrame): void {
  switch (frame.type) {
    case 'body':
      return exchange.body(frame.chunk)
    case 'end':
      return exchange.end(frame.trailers)
    case 'credit':
      return exchange.credit(frame.bytes)
    case 'abort':
      return exchange.abort(frame.reason)
    default:
      return frame satisfies never
  }
}
