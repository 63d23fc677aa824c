/**
 * One request of a client, from its head to the end of its answer, as the steps that it goes through see it.
 *
 * Invariant: a visit is answered exactly once: by the step that does not call the next one, or by who answers for the site.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { SiteConfig } from '../config/site-schema.ts'
import type { PoolSite } from '../pool/pool-site.ts'
import type { FrontResponse } from './front-response.ts'
import type { HostMatch } from './host-table.ts'
import type { RequestHost } from './request-host.ts'

/** A client's connection that the parser has let go of, with what came behind the request. */
export interface Upgrade {
  socket: Duplex
  head: Buffer
}

/** A site as its visits see it. */
export interface VisitedSite {
  readonly name: string
  /** The settings in force. */
  readonly config: SiteConfig
  /** Its place in the pool; undefined for sites that the dispatcher answers by itself. */
  readonly pooled: PoolSite | undefined
}

export interface Visit {
  readonly req: IncomingMessage
  readonly res: FrontResponse
  /** The host and the target that were asked for. */
  readonly asked: RequestHost
  /** What was taken off the beginning of the target. */
  readonly prefix?: string
  readonly match: HostMatch<VisitedSite>
  /** Set where the client wants another protocol on this connection; who answers may make a tunnel of it. */
  readonly upgrade: Upgrade | undefined
  /** When the head had been read, as `performance.now()`. */
  readonly arrivedAt: number
}

/** Answers a visit, now or later. Never throws for what a client sent. */
export type Answerer = (visit: Visit) => void

/** What a visit goes through on the way to its answer: answers it itself, or hands it on. */
export type Step = (visit: Visit, next: Answerer) => void

/** Joins steps to one way, in their order. */
export function through(steps: readonly Step[], last: Answerer): Answerer {
  return steps.reduceRight<Answerer>((next, step) => (visit) => step(visit, next), last)
}
