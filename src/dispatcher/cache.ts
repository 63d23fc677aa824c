/**
 * The cache of one site with one version of its settings, as a step of its visits: answers what is stored, and lets through
 * what is not, once for all who ask for the same. What may be stored is decided by cache-policy.ts.
 *
 * Limits: GET and HEAD are answered; other methods go through and make invalid what is stored (RFC 9111 §4.4). A HEAD, a
 * range or a condition that only the site can judge is let through, where nothing is stored. Conditions that are judged here
 * are taken off a request whose answer may be stored: a 304 would store nothing.
 * Invariant: an answer is looked for and stored under the method, scheme, host and target that the site itself is told, in a
 * store that no other site has a key to.
 */
import { attempt } from './attempt.ts'
import type { ReadyAnswer, Shown } from './cache-answer.ts'
import { readyAnswer, sendReady } from './cache-answer.ts'
import { readDirectives } from './cache-directives.ts'
import type { FetchOrder, ForwardReason, Question } from './cache-fetch.ts'
import { CacheFetch } from './cache-fetch.ts'
import { invalidating, isSafe, PASSING } from './cache-invalidation.ts'
import { ageMsOf } from './cache-policy.ts'
import type { CacheRequest } from './cache-request.ts'
import { cacheRequestOf, variantOf } from './cache-request.ts'
import type { ServerCache, SiteStore } from './cache-store.ts'
import { COMPRESSION } from './compress.ts'
import { clientOf } from './connection.ts'
import type { Accepted } from './content-coding.ts'
import { acceptedCoding } from './content-coding.ts'
import type { Flight } from './flights.ts'
import { Flights } from './flights.ts'
import { sendError } from './send-error.ts'
import type { StoredAnswer } from './stored-answer.ts'
import { conditionalHeaders, conditionalRequest, unseenVisit } from './unseen-visit.ts'
import type { Answerer, Visit } from './visit.ts'

/** How often a request may wait for another's answer: for the URL, and for what it varies by. */
const MAX_WAITS = 2

/** A request on its way through the cache. */
interface Passage {
  visit: Visit
  next: Answerer
  request: CacheRequest
  key: string
  waits: number
  /** Why it waited. */
  reason?: ForwardReason
}

/** What the site is asked for. */
interface Errand {
  reason: ForwardReason
  /** Whether the answer may be for others too. */
  mayStore: boolean
  /** What is stored, which the site may confirm, or which is used where the site fails. */
  stored?: StoredAnswer | undefined
  /** What others wait for; undefined where nobody does. */
  flight?: Flight | undefined
}

/** What is to be done with a stored answer. */
type Verdict = 'fresh' | 'while-revalidate' | 'stale' | 'request'

export class SiteCache {
  readonly store: SiteStore
  readonly #server: ServerCache
  readonly #flights = new Flights()
  readonly #compresses: boolean

  /** @param compresses whether the site's answers are compressed */
  constructor(server: ServerCache, store: SiteStore, compresses: boolean) {
    this.#server = server
    this.store = store
    this.#compresses = compresses
  }

  /** The step. */
  handle = (visit: Visit, next: Answerer): void => {
    const { req, upgrade } = visit
    if (upgrade !== undefined) return next(visit)
    const request = cacheRequestOf(req)
    const scheme = clientOf(req).encrypted ? 'https' : 'http'
    const host = visit.asked.authority?.toLowerCase() ?? (request.host === '' ? visit.asked.host : request.host)
    const url = `${scheme}://${host}${visit.asked.target}`
    if (req.method !== 'GET' && req.method !== 'HEAD') return this.#pass(visit, next, url, request.forwarded)
    const key = request.forwarded === '' ? url : url + request.forwarded
    this.#look({ visit, next, request, key, waits: 0 })
  }

  #pass(visit: Visit, next: Answerer, url: string, more: string): void {
    this.store.counters.passed++
    visit.res.addInnerFilter(isSafe(visit.req.method) ? PASSING : invalidating(this.store, url, more))
    next(visit)
  }

  #look(passage: Passage): void {
    const { visit, request, key } = passage
    const vary = this.store.vary(key)
    const variant = vary === undefined ? '' : variantOf(visit.req, vary)
    const stored = vary === undefined ? undefined : this.store.find(key, variant)
    if (request.hasPrecondition || request.hasBody || (request.isAuthorized && stored?.terms.forAuthorized !== true)) {
      return this.#forward(passage, { reason: 'bypass', mayStore: mayBeStored(visit, request) })
    }
    const ageMs = stored === undefined ? 0 : ageMsOf(stored.terms)
    const verdict = stored === undefined ? undefined : this.#judge(stored, request, ageMs)
    if (stored !== undefined && (verdict === 'fresh' || verdict === 'while-revalidate')) {
      this.#hit(passage, stored, ageMs)
      if (verdict === 'while-revalidate') this.#renew(passage, stored, `${key} ${variant}`)
      return
    }
    if (this.#isOnlyIfCached(request)) return sendError(visit.req, visit.res, { statusCode: 504 })
    const reason = verdict === undefined ? (vary === undefined ? 'uri-miss' : 'vary-miss') : verdict
    this.#fetch(passage, reason as ForwardReason, stored, vary === undefined ? key : `${key} ${variant}`)
  }

  #isOnlyIfCached({ cacheControl }: CacheRequest): boolean {
    return (
      cacheControl !== undefined &&
      this.store.settings.clientControl &&
      /only-if-cached/i.test(cacheControl) &&
      readDirectives(cacheControl).has('only-if-cached')
    )
  }

  // ---- what is stored ------------------------------------------------------------------------------------------

  #judge({ terms }: StoredAnswer, { cacheControl, pragma }: CacheRequest, ageMs: number): Verdict {
    const staleMs = ageMs - terms.lifetimeMs
    const isStale = staleMs >= 0
    const saysMore = (cacheControl !== undefined || pragma !== undefined) && this.store.settings.clientControl
    if (!saysMore || (isStale && terms.mustConfirm)) {
      if (!isStale) return 'fresh'
      return staleMs < terms.whileRevalidateMs ? 'while-revalidate' : 'stale'
    }
    const headers: Record<string, string> = {}
    if (cacheControl !== undefined) headers['cache-control'] = cacheControl.toLowerCase()
    else if (pragma !== undefined) headers.pragma = pragma.toLowerCase()
    const { response, revalidation } = terms.policy.evaluateRequest({ headers })
    if (response === undefined) return isStale ? 'stale' : 'request'
    return revalidation === undefined ? 'fresh' : 'while-revalidate'
  }

  #hit(passage: Passage, stored: StoredAnswer, ageMs: number): void {
    const { visit, key, reason } = passage
    const { req, res } = visit
    const { lifetimeMs } = stored.terms
    const how =
      reason === undefined ? `hit; ttl=${Math.floor((lifetimeMs - ageMs) / 1000)}` : `fwd=${reason}; collapsed`
    const forms = stored.forms
    const answer = this.#ready(stored, passage, { age: Math.floor(ageMs / 1000), status: `vhostel; ${how}` })
    if (answer === undefined) return sendError(req, res, { statusCode: 503 })
    if (stored.forms !== forms) this.store.resize(key)
    const { counters } = this.store
    if (reason === undefined) counters.hits++
    else counters.collapsed++
    sendReady(res, answer, req.method === 'HEAD')
    counters.hitBytes += res.bodyBytes
  }

  /** @returns undefined where its compressed form cannot be made */
  #ready(stored: StoredAnswer, { visit, request, key }: Passage, shown: Shown): ReadyAnswer | undefined {
    let accepted: Accepted | undefined = this.#compresses ? acceptedCoding(visit.req.rawHeaders) : undefined
    if (!stored.isReady(accepted, () => this.store.resize(key))) {
      visit.res.addFilter(COMPRESSION)
      accepted = undefined
    }
    try {
      return readyAnswer(stored, request, accepted, shown)
    } catch {
      return undefined // zlib gets no memory
    }
  }

  // ---- what is not ---------------------------------------------------------------------------------------------

  /** Asks the site, or waits for one who does. */
  #fetch(passage: Passage, reason: ForwardReason, stored: StoredAnswer | undefined, flightKey: string): void {
    const mayStore = mayBeStored(passage.visit, passage.request)
    if (!mayStore) return this.#forward(passage, { reason, mayStore, stored })
    // What has to be confirmed each time is not for those who did not ask.
    const isForAll = stored === undefined || stored.terms.lifetimeMs > 0
    const mayWait = isForAll && passage.waits < MAX_WAITS && !this.#flights.isPassed(passage.key)
    if (mayWait && this.#wait(passage, reason, flightKey)) return
    const leads = mayWait && !this.#flights.isOpen(flightKey)
    this.#forward(passage, { reason, mayStore, stored, flight: leads ? this.#flights.start(flightKey) : undefined })
  }

  #wait(passage: Passage, reason: ForwardReason, flightKey: string): boolean {
    const { req, res } = passage.visit
    const leave = this.#flights.wait(flightKey, () => {
      res.off('close', onClose)
      if (!res.destroyed) attempt(req, res, () => this.#look({ ...passage, waits: passage.waits + 1, reason }))
    })
    const onClose = (): void => leave?.()
    if (leave !== undefined) res.once('close', onClose)
    return leave !== undefined
  }

  #forward(passage: Passage, errand: Errand): void {
    const { visit } = passage
    const question = this.#question(passage, errand)
    this.#ask(passage, visit, errand, question)
    if (question === 'as-asked') return passage.next(visit)
    const validators = question === 'whether-it-holds' ? errand.stored : undefined
    passage.next({ ...visit, req: conditionalRequest(visit.req, validators) })
  }

  #question({ request, key }: Passage, { reason, mayStore, stored }: Errand): Question {
    if (!mayStore) return 'as-asked'
    if (stored !== undefined && hasValidators(stored)) return 'whether-it-holds'
    const { ifNoneMatch, ifModifiedSince } = request
    if (reason === 'bypass' || (ifNoneMatch === undefined && ifModifiedSince === undefined)) return 'as-asked'
    // Where nothing can be stored, a 304 spares the site the answer.
    return this.#flights.isPassed(key) ? 'as-asked' : 'whole'
  }

  /** Fetches anew what is stale while that is used (RFC 5861 §3). */
  #renew(passage: Passage, stored: StoredAnswer, flightKey: string): void {
    if (this.#flights.isOpen(flightKey) || this.#flights.isPassed(passage.key)) return
    const visit = unseenVisit(passage.visit, conditionalHeaders(passage.visit.req.rawHeaders, stored))
    // The whole is asked for, whatever part of it the client wants.
    const whole = { ...passage, request: { ...passage.request, range: undefined } }
    const mayStore = mayBeStored(visit, whole.request)
    const question = mayStore && hasValidators(stored) ? 'whether-it-holds' : 'whole'
    this.#ask(whole, visit, { reason: 'stale', mayStore, stored, flight: this.#flights.start(flightKey) }, question)
    passage.next(visit)
  }

  /** Has the answer to a visit looked at, which is about to go to the site. */
  #ask(passage: Passage, visit: Visit, errand: Errand, question: Question): void {
    const fetch = new CacheFetch(this.#order(passage, visit, errand, question))
    visit.res.addInnerFilter(fetch)
    visit.res.once('close', () => fetch.gone())
  }

  #order({ request, key }: Passage, visit: Visit, errand: Errand, question: Question): FetchOrder {
    const { reason, mayStore, stored, flight } = errand
    return {
      server: this.#server,
      store: this.store,
      key,
      reason,
      request,
      question,
      mayStore,
      stored,
      variantOf: (vary) => variantOf(visit.req, vary),
      ready: (answer, status) => {
        const age = Math.floor(ageMsOf(answer.terms) / 1000)
        // Compressed further on, like any answer that comes now.
        return readyAnswer(answer, request, undefined, { age, status })
      },
      onSettled: (isStorable, status) => {
        if (isStorable) this.#flights.unpass(key)
        else if (status >= 200 && status !== 304 && status < 500 && flight !== undefined) this.#flights.pass(key)
        flight?.land()
      },
    }
  }
}

function hasValidators({ etag, lastModified }: StoredAnswer): boolean {
  return etag !== undefined || lastModified !== undefined
}

/** Whether the answer to a request may be for others too; else the site is not asked about what is stored. */
function mayBeStored({ req }: Visit, { range, hasPrecondition, hasBody, cacheControl }: CacheRequest): boolean {
  if (req.method !== 'GET' || range !== undefined || hasPrecondition || hasBody) return false
  return cacheControl === undefined || !readDirectives(cacheControl).has('no-store')
}
