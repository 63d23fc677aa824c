/**
 * The board of a thread: a few shared words through which its supervisor sees what it does without asking it, and takes
 * back requests that it has not begun.
 *
 * A request is begun by exactly one: the thread claims it as it starts, the supervisor revokes it, and both do so by one
 * atomic exchange of the same word. Limits: numbers that are `CLAIMS` apart share a word. So a request that is that much
 * older than the newest is not revoked (`isRevocable`), and neither is one whose word tells of a newer one already (the
 * order to revoke was overtaken) or of one that was revoked and that the thread has not come to. The thread claims in the
 * order of the numbers. Invariant: an id that `revoke` was true for is never begun, and one that was begun is never revoked.
 */

/** Words of the board. */
const KERNEL_ID = 0
const RUNNING_ID = 1
const RUNNING_GENERATION = 2
const PULSE = 3
const FIRST_CLAIM = 4

/** Requests that can be told apart; a power of two. */
const CLAIMS = 4096
/** No request of this word was claimed or revoked yet: no number is 0 or 2^32 - 1. */
const EMPTY = 0

/** What runs in a thread at this moment, as far as it is marked. */
export interface Running {
  /** The request whose code was called and has not come back; 0 where none has. */
  id: number
  /** The generation whose code was called, also while it is loaded; 0 where none is. */
  generation: number
}

export class ThreadBoard {
  readonly #words: Int32Array

  /** @param memory of `boardMemory`, shared by both sides */
  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory)
  }

  /** The kernel's number of the thread; 0 until it has told. */
  get kernelId(): number {
    return Atomics.load(this.#words, KERNEL_ID)
  }

  set kernelId(id: number) {
    Atomics.store(this.#words, KERNEL_ID, id)
  }

  /** The thread's event loop has come round; see `pulse`. */
  beat(): void {
    Atomics.add(this.#words, PULSE, 1)
  }

  /** Changes whenever the thread was heard of. */
  get pulse(): number {
    return Atomics.load(this.#words, PULSE)
  }

  /** Marks whose code is called now. @param id 0 for code that belongs to no request */
  enter(id: number, generation: number): void {
    // Not atomic: read only once the thread has been in that code for a while.
    this.#words[RUNNING_ID] = id | 0
    this.#words[RUNNING_GENERATION] = generation | 0
  }

  /** The code that was called has come back. */
  leave(): void {
    this.#words[RUNNING_ID] = 0
    this.#words[RUNNING_GENERATION] = 0
  }

  get running(): Running {
    const id = Atomics.load(this.#words, RUNNING_ID) >>> 0
    return { id, generation: Atomics.load(this.#words, RUNNING_GENERATION) >>> 0 }
  }

  /** The thread's side. @returns false when the request was taken away before it began */
  claim(id: number): boolean {
    const word = wordOf(id)
    const mine = id | 0
    for (;;) {
      const present = Atomics.load(this.#words, word)
      // Of a newer one: it stays for when its turn comes. This one cannot have been revoked before it.
      if (isRevoked(present, id) && isNewer(~present, mine)) return true
      if (Atomics.compareExchange(this.#words, word, present, mine) === present) return present !== ~mine
    }
  }

  /** The supervisor's side. @returns whether the request was taken away, now and before it began */
  revoke(id: number): boolean {
    const word = wordOf(id)
    const mine = id | 0
    for (;;) {
      const present = Atomics.load(this.#words, word)
      if (present === mine || isRevoked(present, id) || (present !== EMPTY && isNewer(present, mine))) return false
      if (Atomics.compareExchange(this.#words, word, present, ~mine) === present) return true
    }
  }
}

function wordOf(id: number): number {
  return FIRST_CLAIM + (id % CLAIMS)
}

/** Whether the word that `id` shares tells of a revoked request: all low bits differ from those of a claimed one. */
function isRevoked(present: number, id: number): boolean {
  return present !== EMPTY && ((present ^ ~id) & (CLAIMS - 1)) === 0
}

/** Numbers go round at 2^32. */
function isNewer(a: number, b: number): boolean {
  return ((a - b) | 0) > 0
}

/** Memory for one board. */
export function boardMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer((FIRST_CLAIM + CLAIMS) * Int32Array.BYTES_PER_ELEMENT)
}

/** Whether a request can be revoked when `newestId` is the last that was sent to its thread. */
export function isRevocable(id: number, newestId: number): boolean {
  return newestId >= id && newestId - id < CLAIMS
}
