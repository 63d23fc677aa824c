/**
 * What the dispatcher and a supervisor say to each other over the process' IPC channel: threads to start and stop, and
 * what became of them. Requests never go this way. Types only, so that neither side imports the other.
 */

/** From the dispatcher to a supervisor. */
export type SupervisorOrder =
  /** Starts a thread that connects to `socket` and says hello with `token`. `compileCache`: a folder for compiled code. */
  | { type: 'start'; thread: number; token: string; socket: string; heapMb?: number; compileCache?: string }
  /** Lets the thread close its sites; terminates it when `graceMs` have passed. */
  | { type: 'stop'; thread: number; graceMs: number }
  /** Asks for a `sample`. */
  | { type: 'sample' }

/** What a supervisor measured of one thread, from outside it. */
export interface ThreadSample {
  thread: number
  /** Share of the time since the last sample in which the event loop was busy and had a processor, 0 to 1. */
  utilisation: number
  /** That time, in ms. */
  busyMs: number
  heapUsedBytes: number
  externalBytes: number
}

/** From a supervisor to the dispatcher. */
export type SupervisorReport =
  | { type: 'up'; pid: number }
  /** The thread is gone, by order or not. `error`: what nothing in it caught. */
  | { type: 'ended'; thread: number; code: number; error?: string }
  | { type: 'sample'; threads: ThreadSample[]; rssBytes: number }
