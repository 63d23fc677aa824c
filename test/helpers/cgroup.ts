/**
 * A cgroup (v2) for a test, that a vhostel may divide as systemd's `Delegate=` lets it. Gone with the test file.
 *
 * Limit: needs root, and a kernel with its memory controller in cgroup v2: that cannot be installed, so `whyNoCgroup` says
 * what is missing where it is.
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { ownCgroup } from '../../src/pool/cgroup.ts'

const REMOVE_DEADLINE_MS = 10_000
const made: string[] = []

// Not with the test that made it: its server is still there when its own hooks begin.
after(() => Promise.all(made.map(removeCgroup)))

/** Starts a command in a cgroup, as systemd starts a unit in its own: a shell that goes there and becomes the command. */
export function underCgroup(folder: string): readonly string[] {
  return ['/bin/sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', folder]
}

/** Why this machine has no cgroup for a test; undefined where it has. */
export function whyNoCgroup(): string | undefined {
  const top = ownCgroup()?.top
  if (top === undefined) return 'no cgroup v2 is mounted here (mount -t cgroup2 cgroup2 /sys/fs/cgroup)'
  if (!readFileSync(join(top, 'cgroup.controllers'), 'utf8').includes('memory'))
    return `${top}/cgroup.controllers has no memory: the kernel keeps it for cgroup v1 (boot with cgroup_no_v1=all)`
  const probe = join(top, `vhostel-probe-${process.pid}`)
  try {
    writeFileSync(join(top, 'cgroup.subtree_control'), '+memory')
    mkdirSync(probe)
    rmdirSync(probe)
    return undefined
  } catch (error) {
    return `${top} may not be divided: ${String(error)} (run as root, outside a container)`
  }
}

/** Makes a cgroup. @returns its folder */
export function makeCgroup(): string {
  const folder = join(ownCgroup()?.top ?? '', `test-${process.pid}-${made.length}`)
  mkdirSync(folder)
  made.push(folder)
  return folder
}

/** The cgroups in a cgroup, by name. */
export function cgroupsIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
}

/** Once its last process has ended. */
async function removeCgroup(folder: string): Promise<void> {
  const deadline = performance.now() + REMOVE_DEADLINE_MS
  while (!isRemoved(folder)) {
    if (performance.now() > deadline) throw new Error(`${folder} still has processes`)
    await delay(20)
  }
}

function isRemoved(folder: string): boolean {
  try {
    for (const name of cgroupsIn(folder)) isRemoved(join(folder, name))
    rmdirSync(folder)
    return true
  } catch {
    return false
  }
}
