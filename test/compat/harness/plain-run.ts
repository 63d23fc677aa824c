/**
 * A run of a suite on plain Node: a process of its own, real ports. Prints the outcomes as its last line.
 */
import { readFileSync } from 'node:fs'
import type { Outcome, RunOrder } from './outcome.ts'
import { runSuite } from './run-suite.ts'

const order = JSON.parse(readFileSync(process.env.COMPAT_RUN ?? '', 'utf8')) as RunOrder
const outcomes: Outcome[] = []
await runSuite(order, (outcome) => outcomes.push(outcome))
// The callback, because what is written to a pipe would be lost with the exit. Tests may leave servers open.
process.stdout.write(`\n${JSON.stringify(outcomes)}\n`, () => process.exit(0))
