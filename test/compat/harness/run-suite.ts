/** Runs a suite with the runner that it is written for, in the thread that calls. */
import type { NoteOutcome, RunOrder } from './outcome.ts'
import { runMocha } from './run-mocha.ts'
import { runNodeTest } from './run-node-test.ts'

/** Resolves when all tests have ended. */
export function runSuite(order: RunOrder, note: NoteOutcome): Promise<void> {
  return order.runner === 'mocha' ? runMocha(order, note) : runNodeTest(order, note)
}
