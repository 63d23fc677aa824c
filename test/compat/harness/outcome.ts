/**
 * What a run of a suite gives. Types only; plain runs and hosted ones both make these.
 */

export interface Outcome {
  /** Full title, with a number behind it where a file has several of that title. */
  title: string
  /** Relative to the suite's folder. */
  file: string
  state: 'passed' | 'failed' | 'pending'
  /** Why it failed. */
  message?: string
}

/** Called with what became of a test, as soon as it has ended. */
export type NoteOutcome = (outcome: Outcome) => void

export interface Progress {
  /** Whether all tests have ended, or there is a problem. */
  isOver: boolean
  /** So far. */
  outcomes: Outcome[]
  /** Why there will be no more outcomes. */
  problem?: string
}

/** What a run needs to know: JSON, in the file that the environment variable `COMPAT_RUN` names. */
export interface RunOrder {
  /** The suite's folder. */
  dir: string
  runner: 'mocha' | 'node:test'
  setup: string[]
  files: string[]
  /** Parts of the full titles of tests that are not run. */
  skip: string[]
  /** Where the front is, for a hosted run. */
  frontPort?: number
}
