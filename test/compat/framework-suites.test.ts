/**
 * The frameworks' own tests are the measure of the adapter: what passes on plain Node has to pass in a hosted site, but
 * for one in a hundred.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareSuite, describeComparison, shareOf, WANTED_SHARE } from './compare-suite.ts'
import { SUITES } from './suites.ts'

const TIMEOUT_MS = 700_000
/** Many of their tests are about time, and fail on a busy machine, hosted or not: they are run by hand. */
const BY_HAND = new Set(['fastify', 'ws'])

for (const suite of SUITES.filter(({ name }) => !BY_HAND.has(name))) {
  test(`${suite.title}: what passes on plain Node passes in a hosted site`, { timeout: TIMEOUT_MS }, async (t) => {
    const comparison = await compareSuite(suite)

    t.diagnostic(describeComparison(comparison))
    assert.ok(shareOf(comparison) >= WANTED_SHARE, describeComparison(comparison))
  })
}
