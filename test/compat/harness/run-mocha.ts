/**
 * Runs the files of a suite with Mocha, in the thread that calls it, and collects what became of each test. The same
 * code for plain Node and for a hosted site, so that the two differ in nothing else.
 *
 * Limits: `TEST_TIMEOUT_MS` a test. No test is tried twice.
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { anyOf } from './any-of.ts'
import type { NoteOutcome, Outcome, RunOrder } from './outcome.ts'

/** More than Mocha's own 2 s: the machine may be busy, and what hangs is found all the same. */
const TEST_TIMEOUT_MS = 8_000

// What is used of Mocha. Its own types are not there for the root's type check, which does without these packages.
interface MochaTest {
  fullTitle(): string
}
interface MochaRunner {
  on(event: 'pass' | 'pending', listener: (test: MochaTest) => void): void
  on(event: 'fail', listener: (test: MochaTest, error: unknown) => void): void
}
interface MochaInstance {
  addFile(file: string): void
  grep(title: RegExp): MochaInstance
  invert(): MochaInstance
  run(onEnd: () => void): MochaRunner
  dispose(): void
}
type MochaClass = new (options: { timeout: number; reporter: unknown }) => MochaInstance

const Mocha = createRequire(import.meta.url)('mocha') as MochaClass

/** Resolves when all tests have ended. */
export async function runMocha(order: RunOrder, note: NoteOutcome): Promise<void> {
  const load = createRequire(join(order.dir, 'index.js'))
  for (const file of order.setup) load(join(order.dir, file))
  for (const file of order.files) await runFile(order, file, note)
}

/** One file in a Mocha of its own, so that one that cannot be loaded does not keep the others from running. */
function runFile({ dir, skip }: RunOrder, file: string, note: NoteOutcome): Promise<void> {
  const mocha = new Mocha({ timeout: TEST_TIMEOUT_MS, reporter: class {} })
  mocha.addFile(join(dir, file))
  if (skip.length > 0) mocha.grep(anyOf(skip)).invert()
  const titles = new Map<string, number>()

  function noteTest(fullTitle: string, state: Outcome['state'], error?: unknown): void {
    const count = (titles.get(fullTitle) ?? 0) + 1
    titles.set(fullTitle, count)
    const title = count === 1 ? fullTitle : `${fullTitle} (${count})`
    note({ title, file, state, ...(error === undefined ? {} : { message: describe(error) }) })
  }

  return new Promise((resolve) => {
    process.removeListener('uncaughtException', ignore)
    try {
      const runner = mocha.run(() => {
        // Else its listeners for uncaught errors stay, and throw what comes later.
        mocha.dispose()
        process.on('uncaughtException', ignore)
        resolve()
      })
      runner.on('pass', (test) => noteTest(test.fullTitle(), 'passed'))
      runner.on('pending', (test) => noteTest(test.fullTitle(), 'pending'))
      runner.on('fail', (test, error) => noteTest(test.fullTitle(), 'failed', error))
    } catch (error) {
      noteTest('the file is loaded', 'failed', error)
      resolve()
    }
  })
}

/** What a test throws after its file has ended belongs to no outcome, and must not end the run. */
function ignore(): void {}

function describe(error: unknown): string {
  return (error instanceof Error ? (error.stack ?? error.message) : String(error)).slice(0, 2_000)
}
