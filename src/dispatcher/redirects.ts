/**
 * Sends visitors elsewhere: `kind = redirect`, and from a site's other names to its canonical one.
 *
 * Invariant: `Location` is always a whole URL whose host comes from the settings, never from the client.
 */
import type { IncomingMessage } from 'node:http'
import type { RedirectTarget } from '../config/redirect-schema.ts'
import type { RedirectSettings } from '../config/site-redirect.ts'
import { clientOf } from './connection.ts'
import type { RequestHost } from './request-host.ts'
import { sendError } from './send-error.ts'
import type { Answerer, Step, Visit } from './visit.ts'

/** Where a request came in, and where it is sent. */
export interface Place {
  scheme: string
  host: string
  port: number
}

/** Answers visits of `kind = redirect`. */
export function redirectAnswers(settings: RedirectSettings | undefined): Answerer {
  if (settings === undefined)
    throw new Error('a site of kind redirect has no [redirect] to: its settings were not checked')
  const { to, status } = settings
  return (visit) => {
    const from = placeOf(visit)
    const target = targetOf(to, from)
    // A pattern such as *.example.com may cover the very name that its visitors are sent to.
    if (isSamePlace(from, target)) return sendError(visit.req, visit.res, { statusCode: 508 })
    sendElsewhere(visit, status, target, to.base)
  }
}

/** Sends requests for another of the site's domains to the canonical one; hosts that it has only as the default one stay. */
export function canonicalStep(canonical: string): Step {
  return (visit, next) => {
    const { asked, match } = visit
    if (asked.host === canonical || match.pattern === undefined) next(visit)
    else sendMoved(visit, { ...placeOf(visit), host: canonical })
  }
}

/** For good, with the path that was asked for: 301, or 308 where a method has to stay what it is (RFC 9110 §15.4.9). */
export function sendMoved(visit: Visit, place: Place): void {
  const { method } = visit.req
  sendElsewhere(visit, method === 'GET' || method === 'HEAD' ? 301 : 308, place, '')
}

function sendElsewhere({ res, asked }: Visit, status: number, { scheme, host, port }: Place, base: string): void {
  const path = asked.target.startsWith('/') ? asked.target : '/' // OPTIONS * has no path
  const authority = port === DEFAULT_PORTS[scheme] ? host : `${host}:${port}`
  // What comes behind the head of an upgrade is no request any more: the length is said.
  res.writeHead(status, { location: `${scheme}://${authority}${base}${path}`, 'content-length': 0 })
  res.end()
}

const DEFAULT_PORTS: Record<string, number> = { http: 80, https: 443 }

function placeOf({ req, asked }: Visit): Place {
  const scheme = clientOf(req).encrypted ? 'https' : 'http'
  return { scheme, host: asked.host, port: portOf(req, asked) ?? DEFAULT_PORTS[scheme] ?? 80 }
}

/** The port that the client names; undefined for that of the scheme. */
function portOf(req: IncomingMessage, { authority }: RequestHost): number | undefined {
  const digits = /:(\d{1,5})$/.exec(authority ?? req.headers.host ?? '')?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** A bare host keeps scheme and port. */
function targetOf({ scheme, host, port }: RedirectTarget, from: Place): Place {
  if (scheme === undefined) return { scheme: from.scheme, host, port: port ?? from.port }
  return { scheme, host, port: port ?? DEFAULT_PORTS[scheme] ?? 80 }
}

function isSamePlace(one: Place, other: Place): boolean {
  return one.host === other.host && one.port === other.port && one.scheme === other.scheme
}
