/**
 * Whether an answer may be stored, and for how long it is good: RFC 9111 by http-cache-semantics, which is told what it asks
 * for in the form that it reads right (cache-directives.ts).
 *
 * Stricter than the RFC where a mistake would show one visitor's page to another: only what says so explicitly is stored
 * (no heuristic freshness), an answer with Set-Cookie only where it is `public`, and one that has to be confirmed at each use
 * only where it is `public` or has `s-maxage`.
 */
import CachePolicy from 'http-cache-semantics'
import type { Directives } from './cache-directives.ts'
import { readAge, readDirectives, readHttpDate, readSeconds } from './cache-directives.ts'
import type { AnswerHead } from './front-response.ts'
import { fieldOf } from './header-fields.ts'

/** What an answer that may be stored says of itself. */
export interface Terms {
  /** For the directives of requests. */
  policy: CachePolicy
  /** Never used when stale, whatever a client asks for. */
  mustConfirm: boolean
  /** When it was made, Unix time in ms, and as `performance.now()`: `ageMsOf` says why both. */
  bornAt: number
  steadyBornAt: number
  /** How old it may become; 0: it has to be confirmed by the site each time. */
  lifetimeMs: number
  /** How long after that it may be used while it is fetched anew, and while the site fails. */
  whileRevalidateMs: number
  ifErrorMs: number
  /** Whether it may be used for requests with Authorization (RFC 9111 §3.5). */
  forAuthorized: boolean
  /** Names in lower case, sorted. */
  vary: string[]
}

/** When an answer was asked for and when its head came, Unix time in ms. */
export interface Timing {
  askedAt: number
  cameAt: number
}

/** @returns undefined where the answer must not be stored, or would be of no use */
export function termsOf({ status, headers }: AnswerHead, isAuthorized: boolean, timing: Timing): Terms | undefined {
  if (status === 206 || status === 304) return undefined
  const directives = readDirectives(fieldOf(headers, 'cache-control') ?? '')
  const forAuthorized = ['public', 's-maxage', 'must-revalidate'].some((name) => directives.has(name))
  // Who understands a status that has to be understood, as the library says below, does not heed no-store (RFC 9111 §5.2.2.3).
  const isForbidden = directives.has('no-store') && !directives.has('must-understand')
  if (isForbidden || directives.has('private') || (isAuthorized && !forAuthorized)) return undefined
  if (fieldOf(headers, 'set-cookie') !== undefined && !directives.has('public')) return undefined
  const vary = varyOf(fieldOf(headers, 'vary'))
  if (vary.includes('*')) return undefined
  const bornAt = bornAtOf(headers, timing)
  // Else any final status may be stored.
  const policyStatus = directives.has('must-understand') ? status : 200
  const policy = policyOf({ headers, status: policyStatus }, directives, timing.cameAt, bornAt)
  const lifetimeMs = policy.maxAge() * 1000
  if (!policy.storable() || !isUseful(headers, directives, lifetimeMs)) return undefined
  const extra = (name: string): number =>
    mustConfirm(directives) ? 0 : (readSeconds(directives.get(name)) ?? 0) * 1000
  return {
    policy,
    mustConfirm: mustConfirm(directives) || directives.has('s-maxage'),
    bornAt,
    steadyBornAt: performance.now() - (timing.cameAt - bornAt),
    lifetimeMs,
    whileRevalidateMs: extra('stale-while-revalidate'),
    ifErrorMs: extra('stale-if-error'),
    forAuthorized,
    vary,
  }
}

/**
 * How old an answer is now, in ms, by the clock that says more: the one of the day may be set back, which would make answers good
 * for as much longer, and the steady one stands while the machine sleeps.
 */
export function ageMsOf({ bornAt, steadyBornAt }: Pick<Terms, 'bornAt' | 'steadyBornAt'>): number {
  return Math.max(Date.now() - bornAt, performance.now() - steadyBornAt, 0)
}

/** Whether the answer must never be used once it is stale (RFC 9111 §4.2.4). */
function mustConfirm(directives: Directives): boolean {
  return ['must-revalidate', 'proxy-revalidate', 'no-cache'].some((name) => directives.has(name))
}

function isUseful(headers: readonly string[], directives: Directives, lifetimeMs: number): boolean {
  if (lifetimeMs > 0) return true
  if (!directives.has('public') && !directives.has('s-maxage')) return false
  return fieldOf(headers, 'etag') !== undefined || fieldOf(headers, 'last-modified') !== undefined
}

/** RFC 9111 §4.2.3, as a moment. */
function bornAtOf(headers: readonly string[], { askedAt, cameAt }: Timing): number {
  const age = readAge(fieldOf(headers, 'age'))
  const corrected = age === undefined ? 0 : age * 1000 + cameAt - askedAt
  // Dates have no parts of seconds.
  const apparent = Math.floor((cameAt - (readHttpDate(fieldOf(headers, 'date')) ?? cameAt)) / 1000) * 1000
  return cameAt - Math.max(corrected, apparent, 0)
}

const TAKEN_OVER = ['public', 'no-cache', 'immutable'] as const
const LIFETIMES = ['max-age', 's-maxage'] as const
const EXTRAS = ['stale-while-revalidate', 'stale-if-error'] as const

/** The library's view, without what is decided above. */
function policyOf(
  { status, headers }: Pick<AnswerHead, 'status' | 'headers'>,
  directives: Directives,
  cameAt: number,
  bornAt: number,
): CachePolicy {
  const cacheControl: string[] = TAKEN_OVER.filter((name) => directives.has(name))
  for (const name of mustConfirm(directives) ? LIFETIMES : [...LIFETIMES, ...EXTRAS]) {
    // What cannot be read is over already (RFC 9111 §4.2.1).
    if (directives.has(name)) cacheControl.push(`${name}=${readSeconds(directives.get(name)) ?? 0}`)
  }
  const seen: Record<string, string> = {
    'cache-control': cacheControl.join(', '),
    age: String(Math.round((cameAt - bornAt) / 1000)),
    date: new Date(readHttpDate(fieldOf(headers, 'date')) ?? cameAt).toUTCString(),
  }
  const expires = fieldOf(headers, 'expires')
  if (expires !== undefined) seen.expires = new Date(readHttpDate(expires) ?? 0).toUTCString()
  const request = { method: 'GET', headers: {} }
  return new CachePolicy(request, { status, headers: seen }, { shared: true, cacheHeuristic: 0 })
}

function varyOf(text: string | undefined): string[] {
  if (text === undefined) return []
  const names = text.split(',').map((name) => name.trim().toLowerCase())
  return [...new Set(names.filter((name) => name !== ''))].sort()
}
