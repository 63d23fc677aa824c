/**
 * How many helper threads a worker process has (libuv's pool: files, hashes, compression, lookups), and how many of them slow
 * jobs may take. Invariant: however many slow jobs the sites of a process have, some helper threads are left for files.
 */

/** Slow jobs of a kind that a thread of a shared process has under way at once: of hashes and keys, and of compression. */
export const SLOW_JOBS_AT_ONCE = 1
const KINDS = 2
/** Left for all else: lookups take half of the helper threads, rounded up, before any other job has to wait for them. */
const LEAST_OTHERS = 3
/** libuv's own number, and the most that it takes. */
const USUAL = 4
const MOST = 1_024
const VARIABLE = 'UV_THREADPOOL_SIZE'

/**
 * The environment of a worker process that sites share.
 *
 * @param threads the most that it has
 * @returns a number of helper threads, if `env` has none
 */
export function withHelperThreads(env: NodeJS.ProcessEnv, threads: number): NodeJS.ProcessEnv {
  const helpers = Math.min(MOST, Math.max(USUAL, threads * KINDS * SLOW_JOBS_AT_ONCE + LEAST_OTHERS))
  return { [VARIABLE]: String(helpers), ...env }
}
