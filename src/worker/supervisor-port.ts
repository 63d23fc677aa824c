/**
 * The thread's way to its supervisor, and what it was told at its start: kept here, and hidden from sites, which see a
 * main thread, as on plain Node. A site could otherwise say hello in the thread's name, or take away its listener.
 *
 * Limit: `threadId` stays as it is; workers that a site starts itself have a parent port of their own.
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { ThreadOptions } from './thread-options.ts'

export const supervisorPort = parentPort
export const threadOptions = workerData as ThreadOptions

/** Once a thread, before any site is loaded; `syncBuiltinESMExports` afterwards. */
export function hideSupervisor(): void {
  Object.assign(process.getBuiltinModule('node:worker_threads'), {
    parentPort: null,
    workerData: null,
    isMainThread: true,
  })
}
