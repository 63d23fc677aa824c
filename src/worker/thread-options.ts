/**
 * What a supervisor hands to a thread that it starts, and what they say to each other. Types, and one name.
 */
import type { HelperUse } from '../core/worker-orders.ts'

/** The function of a thread's global object that tells what runs there (look.ts, thread-stack.ts). */
export const LOOK_FUNCTION = '__vhostelLook'

export interface ThreadOptions {
  thread: number
  /** The secret that the thread says hello with. */
  token: string
  /** Path of the dispatcher's unix socket. */
  socket: string
  /** Folder for compiled code; undefined keeps none. */
  compileCache: string | undefined
  /** Memory of its board (core/thread-board.ts). */
  board: SharedArrayBuffer
  /** Whether the process is one site's own: nothing is kept from it then. */
  alone: boolean
}

/** From a thread to its supervisor, which alone can change these for the process. The thread waits for the answer. */
export interface ProcessQuestion {
  /** `chdir`: to `value`, a path. `umask`: to `value`, a number. `timezone`: `value`, as in `TZ`; threads take it that have no date yet. */
  type: 'chdir' | 'umask' | 'timezone'
  value: string | number
  /** Two words: 1 when it is answered, and the answer: the old mask, 0, or the negative error number. */
  answer: SharedArrayBuffer
}

/** From a thread to its supervisor: what was counted. */
export interface HelperCount {
  type: 'helpers'
  uses: Omit<HelperUse, 'thread'>[]
}

/** From the supervisor to a thread. */
export type ThreadMessage =
  /** Close your sites and leave, within so many ms. */
  | { type: 'stop'; graceMs: number }
  /** Show on the board that your event loop comes round. */
  | { type: 'ping' }
  /** Give back memory that you hold and do not need. */
  | { type: 'trim' }
  /** Count for so long, in ms, which sites have jobs for the helper threads, and tell. */
  | { type: 'helpers'; forMs: number }
