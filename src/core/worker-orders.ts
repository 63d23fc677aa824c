/**
 * What the dispatcher and a supervisor say to each other over the process' IPC channel: threads to start and stop, what
 * became of them, and what holds them up. Requests never go this way. Types only, so that neither side imports the other.
 */

import type { Running } from './thread-board.ts'

/** From the dispatcher to a supervisor. */
export type SupervisorOrder =
  /**
   * Starts a thread that connects to `socket` and says hello with `token`. `memoryBytes`: heap and external memory at
   * which it is ended while it does not come round. `compileCache`: a folder for compiled code. `alone`: only one site is
   * ever loaded in this process, and has it as its own.
   */
  | {
      type: 'start'
      thread: number
      token: string
      socket: string
      memoryBytes?: number
      compileCache?: string
      alone?: boolean
    }
  /** Lets the thread close its sites; terminates it when `graceMs` have passed. */
  | { type: 'stop'; thread: number; graceMs: number }
  /** Asks for a `sample`. */
  | { type: 'sample' }
  /** Takes these requests away from the thread where it has not begun them; answered by `revoked`. */
  | { type: 'revoke'; thread: number; ids: number[] }
  /** Gives the thread the lowest priority, for good: it is kept by a loop, and others need the processor. */
  | { type: 'standBack'; thread: number }
  /** Asks how long the thread was kept waiting for a processor; answered by `delay`. */
  | { type: 'delay'; thread: number; question: number }
  /** Lets these threads, and the supervisor itself, give back memory that they hold and do not need. */
  | { type: 'trim'; threads: number[] }
  /** Asks what runs in the thread; answered by `look`. */
  | { type: 'look'; thread: number; question: number }

/** What a supervisor measured of one thread, from outside it. */
export interface ThreadSample {
  thread: number
  /** Share of the time since the last sample in which the event loop was busy and had a processor, 0 to 1. */
  utilisation: number
  /** That time, in ms. */
  busyMs: number
  /** Processor time of the thread since it began, in ms; 0 where the kernel does not say. */
  cpuMs: number
  /** The same with the time for which it waited for a processor. */
  wantedMs: number
  heapUsedBytes: number
  externalBytes: number
}

/** What ran in a thread at one moment. */
export interface ThreadLook {
  /** One frame a line, as V8 prints them; empty where nothing ran. */
  stack: string
  /** The generation whose code it was, as far as its async context says; 0 for none. */
  generation: number
  /** Whether it ran for a request that is open. */
  forRequest: boolean
}

/** What one site had for the helper threads of its process while it was counted; see worker/helper-use.ts. */
export interface HelperUse {
  thread: number
  generation: number
  /** What its jobs cost, as far as their kind says it, in ms. */
  costMs: number
  /** Jobs of native addons. */
  natives: number
}

/** From a supervisor to the dispatcher. */
export type SupervisorReport =
  /** `version`: of the program that the process runs. */
  | { type: 'up'; pid: number; version: string }
  /** The thread is gone, by order or not. `error`: what nothing in it caught. */
  | { type: 'ended'; thread: number; code: number; error?: string; running: Running }
  /** The thread is being ended by its supervisor, for this; it may take seconds until it is gone. */
  | { type: 'ending'; thread: number; error: string; running: Running }
  | { type: 'sample'; threads: ThreadSample[]; rssBytes: number }
  /** `ids` will never be begun by this thread. `running`: whose code it is in, 0 where that is not marked. */
  | { type: 'revoked'; thread: number; ids: number[]; running: Running; delayedMs: number }
  /** `delayedMs`: time since its beginning in which the thread was ready to run and got no processor; 0 where unknown. */
  | { type: 'delay'; thread: number; question: number; delayedMs: number }
  /** `look` is undefined where the thread did not say. */
  | { type: 'look'; thread: number; question: number; look: ThreadLook | undefined }
  /** The event loop of this thread has not come round for so long, in ms, though nothing may wait for it. */
  | { type: 'stuck'; thread: number; forMs: number; running: Running }
  /**
   * The helper threads of the process do not come to what they have to do: a small job waits, or has waited, for `lateMs`.
   * `ranMs`: their processor time in the `countedMs` in which it was counted whose jobs there are.
   */
  | { type: 'helpers'; lateMs: number; ranMs: number; countedMs: number; uses: HelperUse[] }
