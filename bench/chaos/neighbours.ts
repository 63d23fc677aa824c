/**
 * Visitors of the sites beside the one that goes wrong: a steady number of requests a second over connections that are
 * kept, whatever becomes of those before; each with an id of its own, its answer compared with the one it should be.
 *
 * Limits: one process sends them all, so its own delays show in the times; more than `MAX_OPEN` are never open. Invariant:
 * `stop` resolves only when every request that was sent has come to something.
 */
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:http'
import type { Answer } from './fault.ts'
import { PAGE, STREAM_PARTS, STREAM_PAUSE_MS, WAIT_MS } from './neighbour-site.ts'

export type Kind = 'get' | 'wait' | 'post' | 'stream'

/** A request and what came of it. */
export interface Visit {
  id: string
  site: string
  kind: Kind
  /** When it was sent, by `performance.now()`. */
  at: number
  /** Until its answer was whole, less what such an answer has to take, in ms. */
  tookMs: number
  /** `ok`: the right answer. `wrong`: an answer of 200 that is another. */
  outcome: 'ok' | 'wrong' | Answer
  /** Process and thread that answered, `PID/THREAD`, where a head came. */
  place: string | undefined
}

export interface Load {
  port: number
  sites: readonly string[]
  perSecond: number
  /** Until a visitor gives up, in ms. */
  patienceMs: number
}

const TICK_MS = 5
const MAX_OPEN = 2_000
const WARM_PATIENCE_MS = 20_000
const POST_BYTES = 2_000
const BODY = Buffer.alloc(POST_BYTES, 'x')
/** Of every 20 requests 10 are plain, 3 wait, 5 post and 2 are streams. */
const KINDS: readonly Kind[] = [...'gpgwgpgsgpgwgpgsgpgw'].map(kindOf)
/** What the right answer takes. */
const NOMINAL_MS: Record<Kind, number> = {
  get: 0,
  wait: WAIT_MS,
  post: 0,
  stream: STREAM_PARTS * STREAM_PAUSE_MS,
}

export class Neighbours {
  readonly visits: Visit[] = []
  readonly #load: Load
  readonly #agent = new Agent({ keepAlive: true, maxSockets: MAX_OPEN, scheduling: 'fifo' })
  readonly #open = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | undefined
  #startedAt = 0
  #sent = 0
  #lastId = 0

  constructor(load: Load) {
    this.#load = load
  }

  /** One visit of every kind to each site, one site after the other. @throws when one does not come right */
  async visitAll(): Promise<void> {
    const kinds = Object.keys(NOMINAL_MS) as Kind[]
    for (const site of this.#load.sites) {
      const visits = await Promise.all(kinds.map((kind) => this.#visit(site, kind)))
      const bad = visits.find(({ outcome }) => outcome !== 'ok')
      if (bad !== undefined) throw new Error(`${bad.site} does not serve: ${bad.kind} came to ${bad.outcome}`)
    }
  }

  start(): void {
    this.#startedAt = performance.now()
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  /** Sends no more; resolves when all have come to something. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#open)
    this.#agent.destroy()
  }

  #tick(): void {
    const due = ((performance.now() - this.#startedAt) / 1000) * this.#load.perSecond
    const { sites } = this.#load
    for (; this.#sent < due && this.#open.size < MAX_OPEN; this.#sent++) {
      // Every kind comes to every site: their number has no divisor in common with the step.
      const site = sites[(this.#sent * 7) % sites.length] ?? ''
      const kind = KINDS[(this.#sent + Math.floor(this.#sent / sites.length)) % KINDS.length] ?? 'get'
      const done = this.#visit(site, kind).then((visit) => {
        this.visits.push(visit)
        this.#open.delete(done)
      })
      this.#open.add(done)
    }
  }

  #visit(site: string, kind: Kind): Promise<Visit> {
    const id = `${kind}-${++this.#lastId}`
    const at = performance.now()
    const { promise, resolve } = Promise.withResolvers<Visit>()
    const end = (outcome: Visit['outcome'], response?: IncomingMessage): void => {
      const tookMs = Math.max(0, performance.now() - at - NOMINAL_MS[kind])
      resolve({ id, site, kind, at, tookMs, outcome, place: response?.headers['x-place'] as string | undefined })
    }
    const signal = AbortSignal.timeout(this.#load.patienceMs)
    const asked = request({
      host: '127.0.0.1',
      port: this.#load.port,
      agent: this.#agent,
      method: kind === 'post' ? 'POST' : 'GET',
      path: `/${kind}/${id}`,
      headers: { host: `${site}.test`, ...(kind === 'post' ? { 'content-type': 'application/octet-stream' } : {}) },
      signal,
    })
    asked.on('error', () => end(signal.aborted ? 'none' : 'reset'))
    asked.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', () => end(signal.aborted ? 'none' : 'cut', response))
      response.on('end', () => {
        const isRight = Buffer.concat(chunks).toString() === rightAnswer(site, kind, id)
        const { statusCode = 0 } = response
        end(statusCode !== 200 ? statusCode : isRight ? 'ok' : 'wrong', response)
      })
    })
    asked.end(kind === 'post' ? BODY : undefined)
    return promise
  }
}

/** Visits one site after the other, so that all are loaded, evenly spread over an idle pool. @throws when one does not answer as it should */
export async function warmUp(port: number, sites: readonly string[]): Promise<void> {
  const neighbours = new Neighbours({ port, sites, perSecond: 0, patienceMs: WARM_PATIENCE_MS })
  try {
    await neighbours.visitAll()
  } finally {
    await neighbours.stop()
  }
}

function rightAnswer(site: string, kind: Kind, id: string): string {
  if (kind === 'stream') return `${id}\n`.repeat(STREAM_PARTS)
  return [site, id, PAGE, kind === 'post' ? POST_BYTES : ''].join(' ')
}

function kindOf(letter: string): Kind {
  return letter === 'g' ? 'get' : letter === 'w' ? 'wait' : letter === 'p' ? 'post' : 'stream'
}
