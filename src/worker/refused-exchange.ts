/**
 * A request that no site's code takes: it is ended with a reason as soon as it starts.
 */
import type { Exchange, RequestFrame, Wire } from './exchange.ts'
import type { Site } from './site.ts'

export class RefusedExchange implements Exchange {
  readonly site: Site
  readonly #wire: Wire
  readonly id: number
  readonly #reason: string

  /** @param reason completes "site 'x' ended the request without an answer: …" */
  constructor(site: Site, wire: Wire, frame: RequestFrame, reason: string) {
    this.site = site
    this.#wire = wire
    this.id = frame.id
    this.#reason = reason
  }

  start(): void {
    this.#wire.channel.send({ type: 'abort', id: this.id, reason: this.#reason })
    this.#wire.over(this.id)
  }

  // Over with its start: nothing else comes.
  body(): void {}
  end(): void {}
  credit(): void {}
  abort(): void {}
  fail(): void {}
  cut(): void {}
}
