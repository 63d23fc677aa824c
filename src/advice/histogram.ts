/**
 * Counts durations in fixed logarithmic buckets: eight to each doubling, from 1 µs to 71 minutes; what is longer counts
 * as 71 minutes. Recording is one index computation and four additions; histograms of the same kind are added bucket by
 * bucket.
 *
 * Invariant: a quantile lies in the bucket that holds the true one, so it is at most an eighth off (3 % at the median of
 * smooth distributions, because it is interpolated), and never above the largest value recorded.
 */
import type { PackedHistogram } from '../core/advice-report.ts'

/** Buckets to each doubling, as a power of two. */
const SUB_BITS = 3
const SUBS = 1 << SUB_BITS
/** One for each of the first `SUBS` µs, then `SUBS` for each doubling up to 2^32 µs. */
const BUCKETS = SUBS + (32 - SUB_BITS) * SUBS
const MAX_US = 0xffffffff

export class Histogram {
  count = 0
  sumMs = 0
  maxMs = 0
  readonly #counts = new Float64Array(BUCKETS)

  /** @param valueMs below 0 and NaN count as 0 @param weight how many times it was seen; above 0 */
  record(valueMs: number, weight = 1): void {
    const ms = Number.isNaN(valueMs) ? 0 : Math.max(valueMs, 0)
    const bucket = bucketOf(ms)
    this.#counts[bucket] = (this.#counts[bucket] as number) + weight
    this.count += weight
    this.sumMs += ms * weight
    if (ms > this.maxMs) this.maxMs = ms
  }

  get meanMs(): number {
    return this.count === 0 ? 0 : this.sumMs / this.count
  }

  /** The duration that a share `q` (0 to 1) of the values does not exceed, in ms; 0 when there is none. */
  quantile(q: number): number {
    let left = Math.min(Math.max(q, 0), 1) * this.count
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const count = this.#counts[bucket] as number
      if (count === 0) continue
      if (count >= left) {
        const [from, to] = boundsUs(bucket)
        return Math.min(this.maxMs, (from + ((to - from) * left) / count) / 1000)
      }
      left -= count
    }
    return this.maxMs
  }

  /** The share of the values that are below `ms`, 0 to 1; 1 where there is none. */
  shareBelow(ms: number): number {
    if (this.count === 0 || ms > this.maxMs) return 1
    if (!(ms > 0)) return 0
    const last = bucketOf(ms)
    let below = 0
    for (let bucket = 0; bucket < last; bucket++) below += this.#counts[bucket] as number
    const [from, to] = boundsUs(last)
    const part = Math.min(1, Math.max(0, (ms * 1000 - from) / (to - from)))
    return (below + part * (this.#counts[last] as number)) / this.count
  }

  /** Adds everything that `packed` counted. */
  add({ count, sumMs, maxMs, buckets }: PackedHistogram): void {
    for (let index = 0; index + 1 < buckets.length; index += 2) {
      const bucket = buckets[index] as number
      if (bucket >= 0 && bucket < BUCKETS)
        this.#counts[bucket] = (this.#counts[bucket] as number) + (buckets[index + 1] as number)
    }
    this.count += count
    this.sumMs += sumMs
    if (maxMs > this.maxMs) this.maxMs = maxMs
  }

  /** Forgets everything. */
  clear(): void {
    this.count = 0
    this.sumMs = 0
    this.maxMs = 0
    this.#counts.fill(0)
  }

  pack(): PackedHistogram {
    const buckets: number[] = []
    if (this.count > 0) {
      const last = bucketOf(this.maxMs)
      for (let bucket = 0; bucket <= last; bucket++) {
        const count = this.#counts[bucket] as number
        if (count > 0) buckets.push(bucket, count)
      }
    }
    return { count: this.count, sumMs: this.sumMs, maxMs: this.maxMs, buckets }
  }
}

/** The histogram that `pack` was made of. */
export function unpack(packed: PackedHistogram): Histogram {
  const histogram = new Histogram()
  histogram.add(packed)
  return histogram
}

/** All of them together. */
export function mergePacked(list: readonly PackedHistogram[]): PackedHistogram {
  const some = list.filter(({ count }) => count > 0)
  if (some.length <= 1) return some[0] ?? EMPTY
  scratch.clear()
  for (const packed of some) scratch.add(packed)
  return scratch.pack()
}

export const EMPTY: PackedHistogram = { count: 0, sumMs: 0, maxMs: 0, buckets: [] }
const scratch = new Histogram()

function bucketOf(ms: number): number {
  const us = ms * 1000
  if (us >= MAX_US) return BUCKETS - 1
  const whole = us >>> 0
  if (whole < SUBS) return whole
  const exponent = 31 - Math.clz32(whole)
  return SUBS + (exponent - SUB_BITS) * SUBS + ((whole >>> (exponent - SUB_BITS)) & (SUBS - 1))
}

/** From (included) to (not included), in µs. */
function boundsUs(bucket: number): [number, number] {
  if (bucket < SUBS) return [bucket, bucket + 1]
  const octave = Math.floor((bucket - SUBS) / SUBS)
  const width = 2 ** octave
  const from = (SUBS + ((bucket - SUBS) % SUBS)) * width
  return [from, from + width]
}
