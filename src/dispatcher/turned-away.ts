/**
 * Log lines of connections that are not taken, by reason: the first at once, and of those that follow how many there were.
 *
 * Limit: two lines a reason in `WINDOW_MS`, however many clients are turned away. Invariant: each is in a line or counted in one.
 */
import type { Log } from '../core/log.ts'

const WINDOW_MS = 60_000

/** Why a connection is not taken. */
export type Reason = 'descriptors' | 'address'

const TEXTS: Record<Reason, string> = {
  descriptors:
    'connections are not taken: too few file descriptors are left; raise LimitNOFILE of the unit, or ulimit -n',
  address:
    'connections of an address are not taken: it has as many as it may; see [server] max_connections_per_address, and trusted_proxies if it is a proxy',
}

export class TurnedAway {
  readonly #log: Log
  /** How many since the line of the first, while that is not long ago. */
  readonly #counts = new Map<Reason, number>()

  constructor(log: Log) {
    this.#log = log
  }

  /** @param most how many there may be */
  write(reason: Reason, client: string, most: number): void {
    const count = this.#counts.get(reason)
    this.#counts.set(reason, (count ?? -1) + 1)
    if (count !== undefined) return
    this.#log.warn({ client, most }, TEXTS[reason])
    setTimeout(() => this.#sum(reason), WINDOW_MS).unref()
  }

  #sum(reason: Reason): void {
    const more = this.#counts.get(reason) ?? 0
    this.#counts.delete(reason)
    if (more > 0) this.#log.warn({ reason, more }, 'more connections were not taken in the same minute')
  }
}
