/**
 * Replaces a worker process that cannot be used any more, though most of what it has goes on: its threads take nothing new,
 * their sites are loaded elsewhere, what they have begun gets some seconds to end; then it is killed, and starts again.
 *
 * Limit: in a group with one process its sites wait for the next one. Invariant: it ends within the two graces, whatever it
 * does.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { PoolThread } from './pool-thread.ts'
import type { WatchedPool } from './watch.ts'
import type { WorkerProcess } from './worker-process.ts'

/** How long the threads that take over may take to start, and the requests of those that go to end, in ms. */
const START_GRACE_MS = 1_000
const MOVE_GRACE_MS = 3_000

/** @param stuck the thread because of which it is done: nothing is waited for there, and once it has ended nothing is killed */
export async function replaceProcess(pool: WatchedPool, process: WorkerProcess, stuck?: PoolThread): Promise<void> {
  const { workforce } = pool
  const { pid } = process
  const others = [...workforce.threads.values()].filter((one) => one.process === process && one !== stuck)
  process.isDoomed = true
  // Before they go, their sites have to be in other threads, which have to be there first.
  await Promise.race([
    Promise.all(others.map((thread) => workforce.startThread(thread.group))),
    delay(START_GRACE_MS, undefined, { ref: false }),
  ])
  await pool.loadElsewhere(others, MOVE_GRACE_MS)
  await Promise.all(others.map((other) => workforce.retire(other, MOVE_GRACE_MS)))
  // It may have ended meanwhile, and be another.
  if (process.pid !== pid) return
  process.isDoomed = false
  if (stuck?.state !== 'ended') process.kill()
}
