/**
 * What happens to a request first: its host, its site, and on to whoever answers for that.
 *
 * Invariant: a request is answered by the site that the host table names for its host, or by none.
 */
import type { IncomingMessage } from 'node:http'
import type { SiteConfig } from '../config/site-schema.ts'
import { connectionOf } from './connection.ts'
import type { FrontResponse } from './front-response.ts'
import type { HostTable } from './host-table.ts'
import { hostOfRequest } from './request-host.ts'
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

  constructor(context: RequestContext) {
    this.context = context
  }

  handle(req: IncomingMessage, res: FrontResponse, upgrade?: Upgrade): void {
    const asked = hostOfRequest(req.rawHeaders, req.url as string, req.httpVersionMinor)
    if ('status' in asked) return sendError(req, res, { statusCode: asked.status, closes: true })
    const match = this.context.hosts.lookup(asked.host)
    if (match === undefined) return sendError(req, res, { statusCode: 421 })
    match.site.requests++
    holdTo(req, match.site.config.limits)
    match.site.service.answer({ req, res, asked, match, upgrade, arrivedAt: performance.now() })
  }
}

/** How long the client may take is the site's to say from here on. */
function holdTo(req: IncomingMessage, { bodyTimeoutMs, sendTimeoutMs }: SiteConfig['limits']): void {
  const connection = connectionOf(req.socket)
  if (connection === undefined) return
  connection.bodyTimeoutMs = bodyTimeoutMs
  connection.sendTimeoutMs = sendTimeoutMs
}
