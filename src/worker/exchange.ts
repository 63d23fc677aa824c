/**
 * What a thread needs of a request that is under way, whatever kind of site answers it; and what such a request needs
 * of the thread.
 *
 * The life of an id: it begins with a `request` frame and ends for both sides with the last part of the answer
 * (`response` with `last`, or `end`), with an `abort` from either side, or, for a tunnel, when both directions have
 * ended. Frames that come for an id that is over are dropped.
 */
import type { Channel } from '../protocol/channel.ts'
import type { Frame } from '../protocol/frames.ts'
import { reportCrash } from './crash.ts'
import type { Context } from './request-context.ts'

export type RequestFrame = Extract<Frame, { type: 'request' }>

/** One request in a thread. Every method is called in the request's own context; what it throws ends the request. */
export interface Exchange extends Context {
  readonly id: number
  /** Calls the site's code. */
  start(): void
  /** A part of the request's body, or of a tunnel. */
  body(chunk: Uint8Array): void
  /** The request's body, or the client's half of a tunnel, is complete. */
  end(trailers: string[]): void
  /** The dispatcher has room for so many more bytes of the answer. */
  credit(bytes: number): void
  /** Nobody waits for the answer any more. */
  abort(reason: string): void
  /** The site's code failed: answers 500 if nothing has left yet, else cuts the answer off. */
  fail(): void
  /** The site closes the connection, as `server.closeAllConnections()` does. */
  cut(): void
}

/** A request that gathers what it writes in one turn of the site's code. */
export interface Gathering extends Context {
  /** Sends what was gathered. */
  flushGathered(): void
}

/** What a request needs of its thread. */
export interface Wire {
  readonly channel: Channel
  /** Calls `flushGathered` once the site's code has come to the end of its turn. */
  gather(exchange: Gathering): void
  /** The id is over: nothing more comes for it and nothing more is sent. Called once. */
  over(id: number): void
}

/** Of what an error says, in an abort. */
const MAX_REASON_LENGTH = 500

/**
 * Why a site's connection is closed, for an abort.
 *
 * @param error what the socket was destroyed with: an Error as a rule, but Node takes anything
 */
export function closeReason(error: unknown): string {
  const message = typeof error === 'string' ? error : (error as { message?: unknown } | null | undefined)?.message
  return typeof message === 'string' ? message.slice(0, MAX_REASON_LENGTH) : 'it closed the connection'
}

/** A head that is too large to be sent keeps no other answer from leaving. */
function flush(exchange: Gathering): void {
  try {
    exchange.flushGathered()
  } catch (error) {
    reportCrash(exchange, error)
  }
}

/** A wire over a channel. @param onOver called for each id that is over */
export function createWire(channel: Channel, onOver: (id: number) => void): Wire {
  let gathering: Gathering[] = []

  function flushAll(): void {
    const now = gathering
    gathering = []
    for (const exchange of now) flush(exchange)
  }

  return {
    channel,
    over: onOver,
    gather(exchange) {
      // Before the callbacks of the site's writes, after which it may change its buffers: those are queued later.
      if (gathering.length === 0) process.nextTick(flushAll)
      gathering.push(exchange)
    },
  }
}
