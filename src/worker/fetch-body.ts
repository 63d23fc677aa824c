/**
 * The body of a request on its way to a fetch handler: read at once as a whole, or as a stream.
 *
 * Limits: nothing is granted to the dispatcher before somebody reads, so what waits here is at most one window. A whole
 * read holds the whole body, which `[limits] max_body` bounds. Invariant: it is read in one of the two ways, once.
 */
import type { ReceiveFlow } from './body-flow.ts'

type Reader =
  | { kind: 'none' }
  | { kind: 'whole'; resolve(bytes: Buffer): void; reject(error: unknown): void }
  | { kind: 'stream'; controller: ReadableStreamDefaultController<Uint8Array>; pulled: (() => void) | undefined }
  | { kind: 'cancelled' }

export class IncomingBody {
  readonly #flow: ReceiveFlow
  #chunks: Uint8Array[] = []
  #isComplete = false
  #error: unknown
  #reader: Reader = { kind: 'none' }
  #onWanted: (() => void) | undefined

  /** @param onWanted called once, when somebody begins to read */
  constructor(flow: ReceiveFlow, onWanted?: () => void) {
    this.#flow = flow
    this.#onWanted = onWanted
  }

  /** Whether somebody waits for more of it at this moment. */
  get isBeingRead(): boolean {
    if (this.#isComplete) return false
    return this.#reader.kind === 'whole' || (this.#reader.kind === 'stream' && this.#reader.pulled !== undefined)
  }

  // ---- from the dispatcher -------------------------------------------------------------------------------------

  push(chunk: Uint8Array): void {
    this.#flow.received(chunk.byteLength)
    if (this.#reader.kind === 'cancelled') return this.#flow.grant()
    this.#chunks.push(chunk)
    if (this.#reader.kind === 'whole') this.#flow.grant()
    else this.#feed()
  }

  end(): void {
    this.#isComplete = true
    if (this.#reader.kind === 'whole') this.#reader.resolve(this.#takeAll())
    else this.#feed()
  }

  /** No more will come. */
  fail(error: unknown): void {
    if (this.#isComplete || this.#error !== undefined) return
    this.#error = error
    if (this.#reader.kind === 'whole') this.#reader.reject(error)
    if (this.#reader.kind !== 'stream') return
    this.#reader.controller.error(error)
    this.#reader.pulled?.()
  }

  // ---- from the site -------------------------------------------------------------------------------------------

  /** The whole body. @throws what `fail` was told */
  whole(): Promise<Buffer> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    this.#want()
    if (this.#isComplete) return Promise.resolve(this.#takeAll())
    return new Promise((resolve, reject) => {
      this.#reader = { kind: 'whole', resolve, reject }
      this.#flow.grant()
    })
  }

  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#reader = { kind: 'stream', controller, pulled: undefined }
          if (this.#error !== undefined) controller.error(this.#error)
        },
        pull: () => this.#pull(),
        cancel: () => {
          this.#reader = { kind: 'cancelled' }
          this.#chunks = []
          this.#flow.grant()
        },
      },
      // Chunks wait here, where they are counted.
      { highWaterMark: 0 },
    )
  }

  #want(): void {
    const onWanted = this.#onWanted
    this.#onWanted = undefined
    onWanted?.()
  }

  #pull(): Promise<void> {
    this.#want()
    return new Promise((resolve) => {
      if (this.#reader.kind !== 'stream') return resolve()
      this.#reader.pulled = resolve
      this.#feed()
    })
  }

  /** Answers a pull, if there is one and something to answer it with. */
  #feed(): void {
    const reader = this.#reader
    if (reader.kind !== 'stream' || reader.pulled === undefined || this.#error !== undefined) return
    const chunk = this.#chunks.shift()
    if (chunk === undefined && !this.#isComplete) return this.#flow.grant()
    const { pulled } = reader
    reader.pulled = undefined
    if (chunk === undefined) reader.controller.close()
    else reader.controller.enqueue(chunk)
    this.#flow.grant()
    pulled()
  }

  #takeAll(): Buffer {
    const chunks = this.#chunks
    this.#chunks = []
    return Buffer.concat(chunks)
  }
}
