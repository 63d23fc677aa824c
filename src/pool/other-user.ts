/**
 * Lets processes of another user reach the pool's socket, where each thread needs a secret of its own, and nothing else
 * of the run folder. Invariant: the admin socket stays its owner's.
 */
import { chmodSync, chownSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { RunUnreachable } from '../core/errors.ts'
import type { ProcessOptions } from './worker-process.ts'

/**
 * Opens the way for the user of a process, if it has one of its own.
 *
 * @param cache folder for compiled code, which becomes that user's
 * @throws VHOSTEL_RUN_UNREACHABLE when a folder above the socket is closed to that user
 */
export function admit({ uid, gid = uid }: ProcessOptions, socketPath: string, cache: string): void {
  if (uid === undefined || gid === undefined || uid === 0) return
  chmodSync(dirname(socketPath), 0o711)
  chmodSync(socketPath, 0o666)
  checkWay({ uid, gid }, dirname(socketPath))
  mkdirSync(cache, { recursive: true, mode: 0o700 })
  chownSync(cache, uid, gid)
}

/**
 * Lets a user pass through the run folder, to a folder of its own in it.
 *
 * @throws VHOSTEL_RUN_UNREACHABLE when a folder above is closed to that user
 */
export function openRunFolder(identity: { uid: number; gid: number }, run: string): void {
  if (identity.uid === 0) return
  chmodSync(run, 0o711)
  checkWay(identity, run)
}

function checkWay({ uid, gid }: { uid: number; gid: number }, lowest: string): void {
  for (let folder = lowest; folder !== dirname(folder); folder = dirname(folder)) {
    if (!isPassable(folder, uid, gid)) throw new RunUnreachable(uid, folder, folder)
  }
}

/** Whether the search bit is set that counts for this user; path_resolution(7). */
function isPassable(folder: string, uid: number, gid: number): boolean {
  const { mode, uid: owner, gid: group } = statSync(folder)
  const bit = owner === uid ? 0o100 : group === gid ? 0o010 : 0o001
  return (mode & bit) !== 0
}
