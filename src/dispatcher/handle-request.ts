/**
 * What happens to a request first: its host, its site, and on to whoever answers for that.
 *
 * Invariant: a request is answered by the site that the host table names for its host, or by none.
 */
import type { IncomingMessage } from 'node:http'
import type { Certificates } from './certificates.ts'
import type { FrontResponse } from './front-response.ts'
import type { HostTable } from './host-table.ts'
import { hostOfRequest } from './request-host.ts'
import { answerChallenge, isReachable } from './secure-request.ts'
import { sendError } from './send-error.ts'
import type { Site } from './site.ts'
import type { Upgrade } from './visit.ts'

export interface RequestContext {
  /** The table in force; swapped whole. */
  hosts: HostTable<Site>
}

/** Answers requests by the tables in `context`. Never throws for what a client sent. */
export class RequestHandler {
  readonly context: RequestContext
  readonly #certificates: Certificates

  constructor(context: RequestContext, certificates: Certificates) {
    this.context = context
    this.#certificates = certificates
  }

  handle(req: IncomingMessage, res: FrontResponse, upgrade?: Upgrade): void {
    const asked = hostOfRequest(req.rawHeaders, req.url as string, req.httpVersionMinor)
    if (this.#certificates.httpChallenges.size > 0 && answerChallenge(req, res, this.#certificates)) return
    if ('status' in asked) return sendError(req, res, { statusCode: asked.status, closes: true })
    const match = this.context.hosts.lookup(asked.host)
    if (match === undefined) return sendError(req, res, { statusCode: 421 })
    if (!isReachable(req, asked.host, match.site, this.#certificates)) return sendError(req, res, { statusCode: 421 })
    match.site.requests++
    match.site.service.answer({ req, res, asked, match, upgrade, arrivedAt: performance.now() })
  }
}
