/**
 * What it costs to look whether sites have changed what they share: at each call into a site's code, and at everything.
 *
 *     node bench/shared-globals.ts
 *
 * Each is run ten times; the best is shown, because other work on the machine only ever adds.
 */
import { looksIntact, SharedGlobals } from '../src/worker/shared-globals.ts'

const QUICK_LOOKS = 1_000_000
const FULL_LOOKS = 200
const ROUNDS = 10

/** @returns ns for each of `count` calls, at the best */
function best(count: number, look: () => unknown): number {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const startedAt = performance.now()
    for (let turn = 0; turn < count; turn++) look()
    least = Math.min(least, ((performance.now() - startedAt) * 1e6) / count)
  }
  return least
}

const startedAt = performance.now()
const globals = new SharedGlobals()
const tookMs = performance.now() - startedAt
const quickNs = best(QUICK_LOOKS, looksIntact)
const fullNs = best(FULL_LOOKS, () => globals.repair())
console.log(`node ${process.version}: ${globals.size} members, remembered in ${tookMs.toFixed(1)} ms`)
console.log(`quick look ${Math.round(quickNs)} ns, twice a request; full look ${Math.round(fullNs / 1000)} µs`)
