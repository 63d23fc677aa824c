/** A process that has no file descriptor left, for a test of what it does then. */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import type { TestContext } from 'node:test'

/** More than are open, so that a program can be started once they are given back. */
const ROOM = 40

/**
 * Takes all that this process may have. Files that are open, sockets and watches go on.
 *
 * @returns gives them back
 */
export function takeDescriptors(t: TestContext): () => void {
  const [, soft, hard] = /^Max open files\s+(\d+)\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? []
  const limit = (most: number | string | undefined): unknown =>
    execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${most}:${hard}`])
  limit(Math.max(...readdirSync('/proc/self/fd').map(Number)) + ROOM)
  const taken: number[] = []
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'))
  } catch {
    // That was the last.
  }
  const giveBack = (): void => {
    for (const descriptor of taken.splice(0)) closeSync(descriptor)
  }
  t.after(() => {
    giveBack()
    limit(soft)
  })
  return giveBack
}
