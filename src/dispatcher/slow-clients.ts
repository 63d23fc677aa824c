/**
 * Clients that keep a request of theirs waiting: they do not take the answer, or send the body slowly. Such a one must not
 * keep its place in a thread from others: the place is lent until the client has done its part. Nor may many of them fill the
 * thread's memory, or this process': those that waited longest are cut off.
 *
 * Limits, a site: `MAX_LENT` places lent, `MAX_READERS` who do not take an answer; all together: `MAX_UNSENT_BYTES` that wait
 * for them. One look in `LOOK_MS`, and none while nobody is slow. Invariant: in here are exactly the requests whose
 * client has bytes to take, or to send.
 */
import { IdTable } from '../core/id-table.ts'
import type { Exchange } from '../pool/exchange.ts'
import type { PoolSite } from '../pool/pool-site.ts'

/** From this wait on a place is lent. */
const LOOK_MS = 100
/** Nobody is cut off sooner. */
const LEAST_WAIT_MS = 1_000
const MAX_LENT = 256
const MAX_READERS = 256
const MAX_UNSENT_BYTES = 128 * 1024 * 1024
/** A client that sends less than this between two looks is slow: 80 KB a second. */
const SLOW_BYTES = 8 * 1024
/** One that has sent so much since its place was lent gets it back: its site has something to do. */
const ENOUGH_BYTES = 64 * 1024

/** The client's end of a request. */
export interface SlowClient {
  readonly exchange: Exchange | undefined
  /** Bytes of body that came. */
  readonly received: number
  /** Whether its site waits for more of the body, and not the client for its site. */
  readonly isAwaited: boolean
  /** Bytes of the answer that wait for it. */
  readonly unsent: number
  /** Ends the request: its client is too slow. */
  cutOff(): void
}

/** A request that waits for its client. */
interface Waiting {
  exchange: Exchange
  client: SlowClient
  since: number
}

interface Sender extends Waiting {
  /** Of the body when it was looked at last; undefined before. */
  seen: number | undefined
  /** Of the body when its place was lent. */
  lentAt: number
}

export class SlowClients {
  /** By the serial number of the exchange. */
  readonly #readers = new IdTable<Waiting>()
  readonly #senders = new IdTable<Sender>()
  readonly #lend: (exchange: Exchange) => void
  #timer: NodeJS.Timeout | undefined

  /** @param lend lets others have the place of an exchange; may be called more than once */
  constructor(lend: (exchange: Exchange) => void) {
    this.#lend = lend
  }

  /** The client has bytes of the answer to take from now on. */
  blocked(exchange: Exchange, client: SlowClient): void {
    this.#readers.set(exchange.serial, { exchange, client, since: performance.now() })
    this.#watch()
  }

  /** It has taken them, or is gone. */
  unblocked(exchange: Exchange): void {
    if (this.#readers.delete(exchange.serial) !== undefined) exchange.reclaim()
  }

  /**
   * A request is with a thread before its body is whole.
   *
   * @param isSlow whether its client is known to be slow: its place is lent at once
   */
  sending(exchange: Exchange, client: SlowClient, isSlow: boolean): void {
    const { received } = client
    const since = performance.now()
    this.#senders.set(exchange.serial, { exchange, client, since, seen: undefined, lentAt: received })
    if (isSlow) this.#lend(exchange)
    this.#watch()
  }

  /** Its body is whole, or its client is gone. */
  sent(exchange: Exchange): void {
    if (this.#senders.delete(exchange.serial) !== undefined) exchange.reclaim()
  }

  /** Looks at all of them. @param now as `performance.now()` */
  look(now: number): void {
    for (const sender of longestFirst(this.#senders)) this.#lookAtSender(sender, now)
    for (const { exchange, since } of longestFirst(this.#readers)) {
      if (now - since < LOOK_MS) break
      this.#offer(exchange, now)
    }
    this.#cutReaders(now)
    if (this.#readers.size + this.#senders.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #watch(): void {
    this.#timer ??= setInterval(() => this.look(performance.now()), LOOK_MS).unref()
  }

  #lookAtSender(sender: Sender, now: number): void {
    const { exchange, client, seen, lentAt } = sender
    sender.seen = client.received
    if (exchange.state === 'done') this.#senders.delete(exchange.serial)
    else if (exchange.isLent) {
      if (client.received - lentAt >= ENOUGH_BYTES && !this.#readers.has(exchange.serial)) exchange.reclaim()
    } else if (seen !== undefined && client.isAwaited && client.received - seen < SLOW_BYTES) {
      sender.lentAt = client.received
      this.#offer(exchange, now)
    }
  }

  /** Lends a place, as long as its site has not lent too many; then somebody has to go, where others of the site wait. */
  #offer(exchange: Exchange, now: number): void {
    if (exchange.isLent || exchange.slot === undefined) return
    const { site } = exchange
    const isTooMany = site.lane.lent >= MAX_LENT
    if (isTooMany && (site.lane.waiting.size === 0 || !this.#cutOldest(site, now))) return
    this.#lend(exchange)
  }

  /** Cuts off the one that has waited longest of those whose place is lent. @returns whether there was one */
  #cutOldest(site: PoolSite, now: number): boolean {
    for (const table of [this.#readers, this.#senders]) {
      for (const { exchange, client, since } of longestFirst<Waiting>(table)) {
        if (now - since < LEAST_WAIT_MS) break
        if (exchange.site !== site || !exchange.isLent) continue
        this.#cut(exchange, client)
        return true
      }
    }
    return false
  }

  /** What waits to be read is in the memory of its module, and at most a window of it here. */
  #cutReaders(now: number): void {
    const counts = new Map<PoolSite, number>()
    const late = longestFirst(this.#readers).filter(({ since }) => now - since >= LEAST_WAIT_MS)
    let unsent = 0
    for (const { exchange, client } of late) {
      unsent += client.unsent
      if (exchange.state !== 'done') counts.set(exchange.site, (counts.get(exchange.site) ?? 0) + 1)
    }
    for (const { exchange, client } of late) {
      const count = exchange.state === 'done' ? 0 : (counts.get(exchange.site) ?? 0)
      if (count <= MAX_READERS && unsent <= MAX_UNSENT_BYTES) continue
      counts.set(exchange.site, count - 1)
      unsent -= client.unsent
      this.#cut(exchange, client)
    }
  }

  #cut(exchange: Exchange, client: SlowClient): void {
    this.#readers.delete(exchange.serial)
    this.#senders.delete(exchange.serial)
    client.cutOff()
  }
}

/** Those who have waited longest first: a request that came before another may have begun to wait after it. */
function longestFirst<T extends Waiting>(table: IdTable<T>): T[] {
  return table.values().sort((a, b) => a.since - b.since)
}
