/**
 * Synthetic arrivals whose waits are known from queueing theory, and the formulas.
 */
import { randomNumbers } from '../../src/advice/access-log.ts'
import type { Arrivals } from '../../src/advice/arrivals.ts'

export type ServiceTime = (random: () => number) => number

export const exponential =
  (meanMs: number): ServiceTime =>
  (random) =>
    -meanMs * Math.log(1 - random())

export const constant =
  (ms: number): ServiceTime =>
  () =>
    ms

/** Poisson arrivals, each holding a thread for all of its time and no processor. @param ratePerMs arrivals per ms */
export function poissonArrivals(count: number, ratePerMs: number, service: ServiceTime, seed = 1): Arrivals {
  const random = randomNumbers(seed)
  const atMs = new Float64Array(count)
  const serviceMs = new Float64Array(count)
  let nowMs = 0
  for (let index = 0; index < count; index++) {
    nowMs += exponential(1 / ratePerMs)(random)
    atMs[index] = nowMs
    serviceMs[index] = service(random)
  }
  const weight = new Float64Array(count).fill(1)
  return { atMs, serviceMs, loopMs: serviceMs, cpuMs: new Float64Array(count), weight, demands: new Map() }
}

/** Erlang C: the share of requests that wait in M/M/c. @param load arrival rate × mean service time */
export function erlangC(servers: number, load: number): number {
  let blocked = 1 // Erlang B, by its recursion
  for (let k = 1; k <= servers; k++) blocked = (load * blocked) / (k + load * blocked)
  return blocked / (1 - (load / servers) * (1 - blocked))
}

/** Mean wait in M/M/c, in mean service times. */
export function meanWaitMMc(servers: number, load: number): number {
  return erlangC(servers, load) / (servers - load)
}

/** The wait that a share `q` does not exceed in M/M/c, in mean service times. */
export function waitQuantileMMc(servers: number, load: number, q: number): number {
  return Math.max(0, Math.log(erlangC(servers, load) / (1 - q)) / (servers - load))
}

/**
 * Mean wait in M/D/c, in service times. Exact (Crommelin 1932): who is in service now has left after one service time, so
 * the number in the system one service time later is what was beyond c, plus the arrivals of that time. Its stationary
 * distribution gives the mean number, and Little's law the wait.
 */
export function meanWaitMDc(servers: number, load: number): number {
  const STATES = 400
  const poisson = [Math.exp(-load)]
  for (let k = 1; k < STATES; k++) poisson.push(((poisson[k - 1] as number) * load) / k)
  let shares = new Float64Array(STATES)
  shares[0] = 1
  for (let round = 0; round < 2000; round++) {
    const next = new Float64Array(STATES)
    for (let state = 0; state < STATES; state++) {
      const share = shares[state] as number
      if (share < 1e-14) continue
      const left = Math.max(0, state - servers)
      for (let k = 0; left + k < STATES; k++) {
        const chance = poisson[k] as number
        if (k > load && chance < 1e-14) break
        next[left + k] = (next[left + k] as number) + share * chance
      }
    }
    shares = next
  }
  const mean = shares.reduce((sum, share, state) => sum + share * state, 0)
  return (mean - load) / load
}
