/**
 * When to ask for a certificate. Pure: times, failures and a random number in, a time out; no clock, no timer.
 *
 * Invariant: between two orders of one site there is at least `LEAST_INTERVAL_MS`, whatever the ACME server, the clock or
 * the certificates say; so nothing is ever asked for in a loop.
 */
import { backOffMs } from '../core/back-off.ts'

/** Times in ms since 1970. */
export interface Lifetime {
  notBefore: number
  notAfter: number
}

/** What is known of the orders of one site, or of the ACME server as a whole. */
export interface Setbacks {
  /** Orders that failed since the last that did not. */
  readonly failures: number
  /** When the last order was placed, Unix time in ms; 0: never. */
  readonly lastAt: number
  /** The server asked not to be asked before, or we had better not, Unix time in ms; 0: at any time. */
  readonly notBefore: number
}

export type ChallengeType = 'http-01' | 'tls-alpn-01'
export type ChallengeSetting = ChallengeType | 'auto'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** Shortest time between two orders of one site. */
export const LEAST_INTERVAL_MS = MINUTE_MS
/** Longest time between two tries. */
const LONGEST_BACK_OFF_MS = DAY_MS
/** Longest time between two looks at an ACME server that is gone: its coming back is to be seen soon. */
const LONGEST_OUTAGE_BACK_OFF_MS = HOUR_MS
/** How long to wait where a server says that it was asked too often, and not how long that holds. */
export const RATE_LIMIT_MS = HOUR_MS
/** Longest time that a server's `Retry-After` is obeyed: beyond that it is a mistake, or an attack on our renewals. */
export const LONGEST_RETRY_AFTER_MS = 7 * DAY_MS
/** What part of a back-off chance may add, so that many sites that failed together do not come back together. */
const BACK_OFF_JITTER = 0.2
/** The part of its life after which a certificate is renewed, and by how much of its life chance may bring that forward. */
const RENEW_AFTER = 2 / 3
const RENEW_JITTER = 0.05
/** While a certificate in use runs out, a try comes at the latest after this part of the time that it has left. */
const LEFT_PART = 1 / 4

/**
 * When a certificate is renewed: after 2/3 of its life, up to 5 % of its life earlier.
 *
 * @param random from 0 to 1
 */
export function renewAt({ notBefore, notAfter }: Lifetime, random: number): number {
  return notBefore + (notAfter - notBefore) * (RENEW_AFTER - RENEW_JITTER * random)
}

/**
 * How long a site rests once a certificate was issued to it: until that is renewed. But one that is due for renewal when it
 * comes (the clock of this machine is ahead) would be asked for again and again: then it is left alone for a quarter of the time
 * that it has left, from 1 h to 24 h.
 *
 * @returns Unix time in ms, for `notBefore`; 0: nothing is wrong
 */
export function restUntil(issued: Lifetime, nowMs: number): number {
  if (renewAt(issued, 1) > nowMs) return 0
  return nowMs + Math.min(Math.max((issued.notAfter - nowMs) * LEFT_PART, HOUR_MS), DAY_MS)
}

/**
 * When to try again after failures: 1 min after the first, each time twice as long, 24 h at most, up to 20 % more by
 * chance; sooner while a certificate in use runs out, but not within 1 h then; never before the server said.
 *
 * @param inUse the certificate in use, if any
 * @param random from 0 to 1
 */
export function retryAt(
  { failures, lastAt, notBefore }: Setbacks,
  inUse: Lifetime | undefined,
  random: number,
): number {
  const doubled = backOffMs(Math.max(failures, 1), MINUTE_MS, LONGEST_BACK_OFF_MS)
  const left = inUse === undefined ? 0 : inUse.notAfter - lastAt
  const longest = left > 0 ? Math.min(Math.max(left * LEFT_PART, HOUR_MS), LONGEST_BACK_OFF_MS) : LONGEST_BACK_OFF_MS
  const backOff = Math.min(doubled * (1 + BACK_OFF_JITTER * random), longest)
  return Math.max(lastAt + backOff, Math.min(notBefore, lastAt + LONGEST_RETRY_AFTER_MS))
}

/** When a server that is gone is looked at again: as `retryAt`, but 1 h at most. */
export function outageOverAt(setbacks: Setbacks, random: number): number {
  const longest = Math.max(setbacks.lastAt + LONGEST_OUTAGE_BACK_OFF_MS, setbacks.notBefore)
  return Math.min(retryAt(setbacks, undefined, random), longest)
}

/**
 * When the next order of a site is due.
 *
 * @param inUse the certificate in use, if any
 * @param isComplete whether it has all names that the site should have
 * @param random from 0 to 1
 */
export function dueAt(setbacks: Setbacks, inUse: Lifetime | undefined, isComplete: boolean, random: number): number {
  const earliest = setbacks.lastAt === 0 ? 0 : setbacks.lastAt + LEAST_INTERVAL_MS
  const wanted = inUse !== undefined && isComplete ? renewAt(inUse, random) : 0
  const rest = Math.min(setbacks.notBefore, setbacks.lastAt + LONGEST_RETRY_AFTER_MS)
  const retry = setbacks.failures === 0 ? rest : retryAt(setbacks, inUse, random)
  return Math.max(earliest, wanted, retry)
}

/** Which challenge to use: the one set, or with `auto` HTTP-01 first and the other one after each failure. */
export function challengeFor(setting: ChallengeSetting, failures: number): ChallengeType {
  if (setting !== 'auto') return setting
  return failures % 2 === 0 ? 'http-01' : 'tls-alpn-01'
}
