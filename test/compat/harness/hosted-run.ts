/**
 * A run of a suite inside a hosted site: this is the site's module. It starts the tests itself, and tells whoever asks
 * from outside how far they are.
 */
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { closeLoop } from './loop-back.ts'
import type { Progress, RunOrder } from './outcome.ts'
import { runSuite } from './run-suite.ts'

const order = JSON.parse(readFileSync(process.env.COMPAT_RUN ?? '', 'utf8')) as RunOrder
const progress: Progress = { isOver: false, outcomes: [] }

closeLoop(order.frontPort ?? 0, (response: ServerResponse) => {
  response.setHeader('Content-Type', 'application/json')
  response.end(JSON.stringify(progress))
})

// Once the site is live: before that no request of the tests would come in.
setTimeout(async () => {
  try {
    await runSuite(order, (outcome) => progress.outcomes.push(outcome))
  } catch (error) {
    progress.problem = error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
  progress.isOver = true
}, 100)
