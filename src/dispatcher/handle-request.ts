/**
 * What happens to a request first: its host, its site, and on to whoever answers for that.
 *
 * Invariant: a request is answered by the site that the host table names for its host, or by none.
 */
import type { IncomingMessage } from 'node:http'
import type { ErrorPages } from '../config/error-pages.ts'
import type { AccessEntry } from './access-format.ts'
import type { AccessLogs } from './access-logs.ts'
import type { Refusals } from './bad-request.ts'
import type { Certificates } from './certificates.ts'
import type { FrontResponse, ServerWide } from './front-response.ts'
import type { HostTable } from './host-table.ts'
import { hostOfRequest } from './request-host.ts'
import { answerChallenge, isReachable } from './secure-request.ts'
import { sendError } from './send-error.ts'
import type { Site } from './site.ts'
import { TurnedAway } from './turned-away.ts'
import type { Upgrade } from './visit.ts'

export interface RequestContext extends ServerWide {
  /** The table in force; swapped whole. */
  hosts: HostTable<Site>
}

/** Answers requests by the tables in `context`. Never throws for what a client sent. */
export class RequestHandler implements Refusals {
  readonly context: RequestContext
  /** Set where there is one of all sites. */
  readonly access: AccessLogs | undefined

  readonly #certificates: Certificates
  readonly #turnedAway: TurnedAway | undefined

  constructor(context: RequestContext, certificates: Certificates, access?: AccessLogs) {
    this.context = context
    this.#certificates = certificates
    this.#turnedAway = context.log && new TurnedAway(context.log)
    this.access = access?.isOfAll === true ? access : undefined
  }

  /** A request has come: from here on the access log knows of it, whatever becomes of it. */
  open(req: IncomingMessage, res: FrontResponse, upgrade?: Upgrade): void {
    res.server = this.context
    this.access?.open(req, res, upgrade)
  }

  /** What came was no request, and is answered. */
  told(entry: AccessEntry): void {
    this.access?.refused(entry)
  }

  turnedAway(...what: Parameters<TurnedAway['write']>): void {
    this.#turnedAway?.write(...what)
  }

  /** The server's own pages, for what belongs to no site. */
  get pages(): ErrorPages | undefined {
    return this.context.errorPages
  }

  handle(req: IncomingMessage, res: FrontResponse, upgrade?: Upgrade): void {
    const asked = hostOfRequest(req.rawHeaders, req.url as string, req.httpVersionMinor)
    if (this.#certificates.httpChallenges.size > 0 && answerChallenge(req, res, this.#certificates)) return
    if ('status' in asked) return sendError(req, res, { statusCode: asked.status, closes: true })
    if (res.access !== undefined) res.access.host = asked.host
    const match = this.context.hosts.lookup(asked.host)
    if (match === undefined) return sendError(req, res, { statusCode: 421 })
    if (!isReachable(req, asked.host, match.site, this.#certificates)) return sendError(req, res, { statusCode: 421 })
    match.site.requests++
    res.holdTo(match.site.config.limits)
    match.site.service.answer({ req, res, asked, match, upgrade, arrivedAt: performance.now() })
  }
}
