/**
 * The body of a client's request on its way to an upstream. The client's own stream is not handed on, because who fails
 * destroys what it was given, and with it the connection on which the answer has to go.
 *
 * Limit: `maxBytes`; what comes beyond is told once and not passed on. Invariant: beyond what was collected before, nothing is
 * read of the client, and no `100 Continue` sent, before the upstream takes the first byte.
 */
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { isOwnPart } from '../client-exchange.ts'
import type { FrontResponse } from '../front-response.ts'
import type { HeldBody } from '../held-bodies.ts'
import { asksToGoOn } from '../held-bodies.ts'
import { lend } from './lent-parts.ts'

export class RequestBody extends Readable {
  /** Told when the upstream has taken some of it. */
  onTaken: () => void = () => {}
  readonly #req: IncomingMessage
  readonly #res: FrontResponse
  readonly #held: HeldBody
  readonly #maxBytes: number
  readonly #onTooLarge: () => void
  #received: number
  #isBegun = false

  /** @param held its beginning, which came before */
  constructor(req: IncomingMessage, res: FrontResponse, held: HeldBody, maxBytes: number, onTooLarge: () => void) {
    super({ highWaterMark: 64 * 1024 })
    this.#req = req
    this.#res = res
    this.#held = held
    this.#received = held.bytes.byteLength
    this.#maxBytes = maxBytes
    this.#onTooLarge = onTooLarge
    // Who takes it hears of an error too; with nobody left to hear, it must not end the server.
    this.on('error', () => {})
  }

  override _read(): void {
    if (this.#isBegun) {
      this.onTaken()
      this.#req.resume()
      return
    }
    this.#isBegun = true
    const { bytes, isContinued } = this.#held
    if (!isContinued && asksToGoOn(this.#req) && !this.#res.headersSent) this.#res.writeContinue()
    this.#req.on('data', this.#onData)
    this.#req.on('end', this.#onEnd)
    this.#req.on('aborted', this.#onAborted)
    // It stands still since its beginning was taken.
    if (bytes.byteLength === 0 || this.push(bytes)) this.#req.resume()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#req.off('end', this.#onEnd)
    this.#req.off('aborted', this.#onAborted)
    // Nobody wants the rest: it is read past, for the connection to stay in step, as long as it is not too much.
    if (this.#isBegun && !this.#req.complete) this.#req.resume()
    done(error)
  }

  #onData = (chunk: Buffer): void => {
    this.#received += chunk.byteLength
    if (this.#received > this.#maxBytes) {
      this.#req.off('data', this.#onData)
      this.#req.pause()
      this.#onTooLarge()
    } else if (!this.destroyed) this.#pass(chunk)
  }

  #pass(chunk: Buffer): void {
    if (isOwnPart(this.#req)) lend(chunk)
    if (!this.push(chunk)) this.#req.pause()
  }

  #onEnd = (): void => {
    this.push(null)
  }

  #onAborted = (): void => {
    this.destroy(new Error('the client is gone'))
  }
}
