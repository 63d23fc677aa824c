/**
 * The suites by hand: prints for each how many of the tests that pass on plain Node pass hosted, and which do not. Exits
 * with 1 when one is below what is wanted. `framework-suites.test.ts` is the same as a test.
 *
 * `node test/compat/framework-suites.ts [SUITE …]`; without names, all of them.
 */
import { compareSuite, describeComparison, shareOf, WANTED_SHARE } from './compare-suite.ts'
import { SUITES } from './suites.ts'

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !SUITES.some((suite) => suite.name === name))
if (unknown.length > 0) {
  console.error(`no suite ${unknown.join(', ')}; there are ${SUITES.map(({ name }) => name).join(', ')}`)
  process.exit(2)
}
for (const suite of SUITES.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  const comparison = await compareSuite(suite)
  console.log(describeComparison(comparison))
  if (shareOf(comparison) < WANTED_SHARE) process.exitCode = 1
}
