/**
 * Requests that a client sends without waiting for the answer before (RFC 9112 §9.3.2). They are taken up one after the other,
 * so that whatever a connection asks for, it holds one place in a thread and one answer.
 *
 * Limit: `MAX_WAITING`; then nothing more is read of the connection, which ends behind the last of them. Invariant: answers go
 * out in the order of the requests, and what is no request is refused in its turn.
 */
import type { IncomingMessage } from 'node:http'
import type { Connection } from './connection.ts'
import { dropInput } from './linger.ts'

const MAX_WAITING = 100

interface Waiting {
  /** Undefined for what is no request. */
  req: IncomingMessage | undefined
  takeUp(): void
}

export class Pipeline {
  readonly #connection: Connection
  readonly #waiting: Waiting[] = []
  /** Nothing more is let in. */
  #isFull = false

  constructor(connection: Connection) {
    this.#connection = connection
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** Takes up a request when those before it have been answered; never, where the connection ends before. */
  later(req: IncomingMessage, takeUp: () => void): void {
    if (this.#isFull || this.#connection.isClosing) return
    this.#add({ req, takeUp })
    if (this.#waiting.length === MAX_WAITING) this.#fill()
  }

  /** Refuses what is no request, behind those that wait; there is at least one. */
  refuseLater(refuse: () => void): void {
    if (this.#isFull) return
    this.#fill()
    const last = this.#waiting.at(-1)
    if (last?.req?.complete !== false) return this.#add({ req: undefined, takeUp: refuse })
    // The body of the last one is what ends in nonsense.
    const { takeUp } = last
    last.takeUp = () => {
      takeUp()
      refuse()
    }
  }

  #add(waiting: Waiting): void {
    if (this.#waiting.push(waiting) === 1) this.#connection.res?.once('close', () => this.#next())
  }

  #fill(): void {
    this.#isFull = true
    dropInput(this.#connection.socket)
  }

  #next(): void {
    const connection = this.#connection
    if (connection.isClosing || connection.socket.destroyed) this.#waiting.length = 0
    const next = this.#waiting.shift()
    if (next === undefined) return
    if (this.#isFull && this.isEmpty) connection.endWithNext()
    next.takeUp()
    if (!this.isEmpty) connection.res?.once('close', () => this.#next())
  }
}
