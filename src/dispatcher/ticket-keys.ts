/**
 * The keys of session tickets: a client that comes back within their time needs no whole handshake. One set for all
 * listeners and all certificates, so a new certificate costs nobody its session.
 *
 * Invariant: a key is used for at most `LIFE_MS`, so what was recorded cannot be read with a key that is found later than that.
 */
import { randomBytes } from 'node:crypto'

/** Name, HMAC and AES key of a ticket, as Node wants them. */
const KEY_BYTES = 48
const LIFE_MS = 12 * 3600_000

/** Whoever makes tickets. */
interface TicketMaker {
  setTicketKeys(keys: Buffer): void
}

export class TicketKeys {
  #keys = randomBytes(KEY_BYTES)
  readonly #makers = new Set<TicketMaker>()
  readonly #timer: NodeJS.Timeout

  constructor(lifeMs = LIFE_MS) {
    this.#timer = setInterval(() => this.#renew(), lifeMs).unref()
  }

  /** Those in force. */
  get current(): Buffer {
    return this.#keys
  }

  /** From now on it has the keys in force. */
  add(maker: TicketMaker): void {
    this.#makers.add(maker)
    maker.setTicketKeys(this.#keys)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#makers.clear()
  }

  #renew(): void {
    this.#keys = randomBytes(KEY_BYTES)
    for (const maker of this.#makers) maker.setTicketKeys(this.#keys)
  }
}
