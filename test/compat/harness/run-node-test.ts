/**
 * Runs the files of a suite with Node's own test runner, in the thread that calls it, as `run-mocha.ts` does for Mocha.
 *
 * Limits: `TEST_TIMEOUT_MS` a test. Files share the thread, where the suite's own run gives each a process; so what
 * passes on plain Node in the same way is what counts.
 */
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { join, relative } from 'node:path'
import { run } from 'node:test'
import { anyOf } from './any-of.ts'
import type { NoteOutcome, RunOrder } from './outcome.ts'

const TEST_TIMEOUT_MS = 8_000
/** Longer than any test may take. */
const QUIET_MS = 15_000

/** Resolves when all tests have ended. */
export async function runNodeTest(order: RunOrder, note: NoteOutcome): Promise<void> {
  const load = createRequire(join(order.dir, 'index.js'))
  for (const file of order.setup) load(join(order.dir, file))
  const files = order.files.map((file) => join(order.dir, file))
  const timeout = TEST_TIMEOUT_MS
  const skipped = order.skip.length > 0 ? { testSkipPatterns: anyOf(order.skip) } : {}
  const events = run({ files, isolation: 'none', concurrency: false, timeout, ...skipped })
  const titleOf = trackTitles(events)
  for (const [name, state] of [
    ['test:pass', 'passed'],
    ['test:fail', 'failed'],
  ] as const) {
    events.on(name, (event: TestEvent) => {
      const { error } = event.details
      note({
        ...titleOf(event, order.dir),
        state: event.skip !== undefined || event.todo !== undefined ? 'pending' : state,
        ...(error === undefined ? {} : { message: describe(error) }),
      })
    })
  }
  events.resume()
  await Promise.race([once(events, 'end'), untilQuiet(events)])
}

/** Node ends a run when its process has nothing left to do, which a hosted site's never comes to. */
function untilQuiet(events: ReturnType<typeof run>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, QUIET_MS)
    for (const name of ['test:start', 'test:pass', 'test:fail'] as const) events.on(name, () => timer.refresh())
  })
}

/** Puts full titles together: an event has only its test's own. */
function trackTitles(
  events: ReturnType<typeof run>,
): (event: TestEvent, dir: string) => { title: string; file: string } {
  const seen = new Map<string, number>()
  const path: string[] = []
  events.on('test:start', ({ name, nesting }) => {
    path.length = nesting
    path[nesting] = name
  })
  return ({ name, nesting, file: absolute }, dir) => {
    const file = relative(dir, absolute ?? dir)
    const fullTitle = [...path.slice(0, nesting), name].join(' > ')
    const count = (seen.get(`${file} ${fullTitle}`) ?? 0) + 1
    seen.set(`${file} ${fullTitle}`, count)
    return { file, title: count === 1 ? fullTitle : `${fullTitle} (${count})` }
  }
}

interface TestEvent {
  name: string
  nesting: number
  file?: string
  skip?: string | boolean
  todo?: string | boolean
  details: { error?: Error }
}

function describe(error: Error): string {
  const cause = error.cause instanceof Error ? error.cause : error
  return (cause.stack ?? cause.message).slice(0, 2_000)
}
