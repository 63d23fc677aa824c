/**
 * The doors of a site, as steps that its visits go through: addresses that are let in, requests per address, passwords;
 * before them what changes the answers: headers and error pages. Made only of what the site's settings have.
 *
 * Invariant: a visit that a door refuses is answered by it, and nobody behind it hears of the visit.
 */
import type { ErrorPages } from '../config/error-pages.ts'
import type { AddressSet } from '../config/network.ts'
import { addressSet } from '../config/network.ts'
import type { Rate } from '../config/rate.ts'
import type { AuthSettings, SiteDoors } from '../config/site-doors.ts'
import { attempt } from './attempt.ts'
import { clientOf } from './connection.ts'
import { addressKey } from './connections.ts'
import { fieldOf } from './header-fields.ts'
import { ownHeaders } from './own-headers.ts'
import type { Attempt, Outcome } from './passwords.ts'
import { Passwords } from './passwords.ts'
import { RateLimiter } from './rate-limiter.ts'
import { sendError } from './send-error.ts'
import type { Answerer, Step, Visit } from './visit.ts'

/** What is known of visitors; outlives the settings of the sites. */
export class DoorKeeper {
  readonly rates = new RateLimiter()
  readonly passwords = new Passwords()
}

/** The steps of a site with these settings, in their order; none where it has no doors. */
export function doorSteps(site: string, doors: SiteDoors, keeper: DoorKeeper): Step[] {
  const { allow, deny, rate, auth, headers, errors } = doors
  const steps: Step[] = []
  if (errors !== undefined) steps.push(pagesStep(errors))
  if (headers !== undefined) steps.push(headersStep(headers))
  if (allow !== undefined || deny !== undefined)
    steps.push(addressStep(allow && addressSet(allow), addressSet(deny ?? [])))
  if (rate !== undefined) steps.push(rateStep(site, rate, keeper.rates))
  if (auth !== undefined) steps.push(authStep(auth, keeper.passwords))
  return steps
}

function pagesStep(pages: ErrorPages): Step {
  return (visit, next) => {
    visit.res.errorPages = pages
    next(visit)
  }
}

function headersStep(headers: NonNullable<SiteDoors['headers']>): Step {
  const filter = ownHeaders(headers)
  return (visit, next) => {
    visit.res.addFilter(filter)
    next(visit)
  }
}

function addressStep(allowed: AddressSet | undefined, denied: AddressSet): Step {
  return (visit, next) => {
    const { address } = clientOf(visit.req)
    if (denied.has(address) || allowed?.has(address) === false) refuse(visit, 403)
    else next(visit)
  }
}

function rateStep(site: string, rate: Rate, rates: RateLimiter): Step {
  return (visit, next) => {
    const waitMs = rates.take(site, addressKey(clientOf(visit.req).address), rate, performance.now())
    if (waitMs > 0) refuse(visit, 429, Math.ceil(waitMs / 1000))
    else next(visit)
  }
}

function authStep({ realm, users }: AuthSettings, passwords: Passwords): Step {
  const challenge = `Basic realm="${realm}", charset="UTF-8"`
  passwords.prepare()
  return (visit, next) => {
    const tried = attemptOf(visit)
    if (tried === undefined) return refuseStranger(visit, challenge)
    if (passwords.isKnown(users, tried)) return next(visit)
    void passwords.check(users, tried).then((outcome) => {
      attempt(visit.req, visit.res, () => settle(visit, outcome, challenge, next))
    })
  }
}

function settle(visit: Visit, outcome: Outcome, challenge: string, next: Answerer): void {
  // The client has not waited for it.
  if (visit.res.destroyed || visit.res.headersSent) return
  if (outcome === 'right') next(visit)
  else if (outcome === 'busy') refuse(visit, 503)
  else refuseStranger(visit, challenge)
}

function refuseStranger(visit: Visit, challenge: string): void {
  visit.res.setHeader('WWW-Authenticate', challenge)
  refuse(visit, 401)
}

/** A client that is still sending is not listened to any longer than needed. */
function refuse({ req, res }: Visit, statusCode: number, retryAfterSeconds?: number): void {
  const closes = hasBody(req.headers)
  sendError(
    req,
    res,
    retryAfterSeconds === undefined ? { statusCode, closes } : { statusCode, closes, retryAfterSeconds },
  )
}

function hasBody(headers: Visit['req']['headers']): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/** Name and password of a request (RFC 7617 §2), UTF-8. Of two, the site could take the other one for its visitor's. */
function attemptOf({ req }: Visit): Attempt | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/_-]+={0,2}) *$/i.exec(fieldOf(req.rawHeaders, 'authorization') ?? '')?.[1]
  if (encoded === undefined) return undefined
  const text = Buffer.from(encoded, 'base64').toString()
  const colon = text.indexOf(':')
  if (colon === -1) return undefined
  return { name: text.slice(0, colon), password: text.slice(colon + 1), address: addressKey(clientOf(req).address) }
}
