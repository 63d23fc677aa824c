/**
 * Requests per address: the generic cell rate algorithm (ITU-T I.371), which keeps one number for each address: when a
 * client that came as evenly as it may would be through with what it has asked.
 *
 * Limit: `MAX_ADDRESSES` of all sites together; the address that was not seen for longest is forgotten first.
 */
import { LRUCache } from 'lru-cache'
import type { Rate } from '../config/rate.ts'

const MAX_ADDRESSES = 50_000

/** `until`: the number to keep. `waitMs`: 0 where the request may pass. */
export interface Verdict {
  until: number
  waitMs: number
}

/**
 * Decides about one request. Pure.
 *
 * @param until what was kept of the request before, perhaps of another rate; undefined for none
 * @param now in ms, from any clock that never goes back
 */
export function judge(until: number | undefined, now: number, { count, perMs, burst }: Rate): Verdict {
  const intervalMs = perMs / count
  // A slower rate that was there before holds nobody up longer than this one can.
  const from = Math.min(Math.max(until ?? now, now), now + burst * intervalMs)
  const waitMs = from - now - (burst - 1) * intervalMs
  // A thousandth of a millisecond: what rounding adds up to must not refuse a client that comes exactly in time.
  return waitMs > 0.001 ? { until: from, waitMs } : { until: from + intervalMs, waitMs: 0 }
}

/** What was asked lately, by site and address. Outlives the settings of a site. */
export class RateLimiter {
  #addresses: LRUCache<string, number> | undefined

  /** @returns ms until the address may ask again; 0 where this request may pass */
  take(site: string, address: string, rate: Rate, now: number): number {
    this.#addresses ??= new LRUCache({ max: MAX_ADDRESSES })
    const key = `${site} ${address}`
    const { until, waitMs } = judge(this.#addresses.get(key), now, rate)
    this.#addresses.set(key, until)
    return waitMs
  }
}
