/**
 * Finds out what one request of each site costs, from sums: a supervisor knows how long a thread's event loop was busy,
 * not for whom. Every sample is one equation, `busy = Σ requests of a site × cost of one`; samples with other mixtures tell
 * the sites apart. Solved as they come by least squares (a Kalman filter whose costs drift slowly, so that new code is
 * noticed).
 *
 * Limits: `SLOTS` sites are told apart, those that came first and still come; all others together count as one more. Sites
 * whose requests always come together cannot be told apart.
 *
 * Invariant: a cost is never below 0, and never above the time that a request of the site takes.
 */
import type { Flow } from './flow.ts'

export interface Count {
  flow: Flow
  /** Requests in a sample; may be half a one. */
  count: number
}

/** Slot 0 is for those that have none. */
const SLOTS = 33
/** A site without a request in so many samples gives its slot away. */
const FORGOTTEN = 1000
/** Samples after which a cost may have become any other. */
const DRIFT = 100_000
/** What is believed of a cost before anything is known, in ms. */
const FIRST_MS = 1
const LONGEST_MS = 10_000
const NOISE_STEP = 0.02

export class Costs {
  readonly #flows: (Flow | undefined)[] = Array.from({ length: SLOTS }, () => undefined)
  readonly #seen = new Float64Array(SLOTS)
  readonly #loopMs = new Float64Array(SLOTS).fill(FIRST_MS)
  readonly #cpuMs = new Float64Array(SLOTS).fill(FIRST_MS)
  /** How uncertain the costs are: the matrix of covariances, in ms². */
  readonly #doubt = new Float64Array(SLOTS * SLOTS)
  /** Mean square of what the costs do not explain of a sample's event loop time. */
  #noise = 10_000
  #samples = 0

  constructor() {
    this.#reset(0, LONGEST_MS)
  }

  /** Takes in a sample. @param counts the requests of each site in it, at least one above 0 */
  learn(counts: readonly Count[], loopMs: number, cpuMs: number): void {
    this.#samples++
    const requests = new Float64Array(SLOTS)
    for (const { flow, count } of counts) {
      if (count <= 0) continue
      const slot = this.#slotFor(flow)
      requests[slot] = (requests[slot] as number) + count
      this.#seen[slot] = this.#samples
    }
    const slots = [...requests.keys()].filter((slot) => requests[slot] !== 0)
    for (const slot of slots) this.#drift(slot)
    this.#solve(slots, requests, loopMs, cpuMs)
  }

  /** What one request costs, in ms. */
  of(flow: Flow, resource: 'loop' | 'cpu'): number {
    const slot = this.#flows[flow.slot] === flow ? flow.slot : 0
    const ms = (resource === 'loop' ? this.#loopMs : this.#cpuMs)[slot] as number
    return Math.min(Math.max(0, ms), flow.mostCostMs)
  }

  #slotFor(flow: Flow): number {
    if (this.#flows[flow.slot] === flow) return flow.slot
    const slot = this.#flows.findIndex(
      (other, index) => index > 0 && (other === undefined || this.#samples - (this.#seen[index] as number) > FORGOTTEN),
    )
    if (slot < 0) return 0
    this.#flows[slot] = flow
    flow.slot = slot
    this.#reset(slot, Math.min(flow.mostCostMs, LONGEST_MS))
    return slot
  }

  /** Nothing is known of this slot but that a request takes no more than `mostMs`. */
  #reset(slot: number, mostMs: number): void {
    this.#loopMs[slot] = Math.min(FIRST_MS, mostMs)
    this.#cpuMs[slot] = Math.min(FIRST_MS, mostMs)
    for (let other = 0; other < SLOTS; other++) {
      this.#doubt[slot * SLOTS + other] = 0
      this.#doubt[other * SLOTS + slot] = 0
    }
    this.#doubt[slot * SLOTS + slot] = (mostMs / 2) ** 2
  }

  #drift(slot: number): void {
    const mostMs = Math.min(this.#flows[slot]?.mostCostMs ?? LONGEST_MS, LONGEST_MS)
    const at = slot * SLOTS + slot
    this.#doubt[at] = (this.#doubt[at] as number) + (mostMs / 2) ** 2 / DRIFT
  }

  #solve(slots: readonly number[], requests: Float64Array, loopMs: number, cpuMs: number): void {
    const doubt = this.#doubt
    const spread = new Float64Array(SLOTS)
    for (let row = 0; row < SLOTS; row++) {
      let sum = 0
      for (const slot of slots) sum += (doubt[row * SLOTS + slot] as number) * (requests[slot] as number)
      spread[row] = sum
    }
    let known = 0
    let moreLoopMs = loopMs
    let moreCpuMs = cpuMs
    for (const slot of slots) {
      known += (requests[slot] as number) * (spread[slot] as number)
      moreLoopMs -= (requests[slot] as number) * (this.#loopMs[slot] as number)
      moreCpuMs -= (requests[slot] as number) * (this.#cpuMs[slot] as number)
    }
    const whole = known + this.#noise
    for (let row = 0; row < SLOTS; row++) {
      const gain = (spread[row] as number) / whole
      if (gain === 0) continue
      this.#loopMs[row] = (this.#loopMs[row] as number) + gain * moreLoopMs
      this.#cpuMs[row] = (this.#cpuMs[row] as number) + gain * moreCpuMs
      for (let column = 0; column < SLOTS; column++) {
        const at = row * SLOTS + column
        doubt[at] = (doubt[at] as number) - gain * (spread[column] as number)
      }
    }
    // Of an error, the part that is not for want of knowing the costs.
    const unexplained = (moreLoopMs * moreLoopMs * this.#noise) / whole
    this.#noise = Math.max(0.01, this.#noise + NOISE_STEP * (unexplained - this.#noise))
  }
}
