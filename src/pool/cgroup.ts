/**
 * Where a process is in the tree of cgroup v2, and what the kernel lets it take there (cgroups(7), the kernel's
 * cgroup-v2.rst). Reads only; kernel-memory.ts writes.
 *
 * Limits: Linux only; controllers that are mounted as cgroup v1 are not looked at, their limits Node itself counts.
 */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export interface Cgroup {
  /** The folder of the cgroup that the process is in. */
  folder: string
  /** Where the tree is mounted: nothing above it can be seen. */
  top: string
}

/** A line of mountinfo (proc(5)): root and mount point, then the type after a lone `-`. */
const MOUNT = /^\d+ \d+ \S+ (\S+) (\S+) .* - cgroup2 /m
const OWN = /^0::(\/.*)$/m

/**
 * Finds the cgroup that a process is in.
 *
 * @param mountinfo what /proc/PID/mountinfo says @param membership what /proc/PID/cgroup says
 * @returns undefined where no cgroup v2 is mounted, or another part of the tree
 */
export function findCgroup(mountinfo: string, membership: string): Cgroup | undefined {
  const [, root, top] = MOUNT.exec(mountinfo)?.map(unescaped) ?? []
  const path = OWN.exec(membership)?.[1]
  if (root === undefined || top === undefined || path === undefined) return undefined
  const inside = root === '/' ? path : withoutFolder(path, root)
  // `/..` is what a process sees that is outside the namespace of this mount.
  if (inside === undefined || path.startsWith('/..')) return undefined
  return { folder: join(top, inside).replace(/(?<=.)\/$/, ''), top }
}

/** The cgroup of this process; undefined where there is none to be seen. */
export function ownCgroup(): Cgroup | undefined {
  try {
    return findCgroup(readFileSync('/proc/self/mountinfo', 'latin1'), readFileSync('/proc/self/cgroup', 'utf8'))
  } catch {
    return undefined // no /proc: not Linux
  }
}

/** The lowest limit of memory from a cgroup up to the top of its tree, in bytes; infinite where there is none. */
export function memoryLimit({ folder, top }: Cgroup): number {
  let lowest = Number.POSITIVE_INFINITY
  for (let at = folder; at.length >= top.length; at = dirname(at)) {
    // "max", or no such file in the uppermost: no limit.
    const limit = Number.parseInt(readIfThere(join(at, 'memory.max')), 10)
    if (limit < lowest) lowest = limit
    if (at === dirname(at)) break
  }
  return lowest
}

/** Processes of a cgroup that the kernel has killed for want of memory, by what its `memory.events` says. */
export function countOomKills(events: string): number {
  return Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0)
}

/** @returns an empty text where the file is not there or may not be read */
export function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** mountinfo writes blanks and backslashes as three octal digits. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}

function withoutFolder(path: string, folder: string): string | undefined {
  if (path === folder) return '/'
  return path.startsWith(`${folder}/`) ? path.slice(folder.length) : undefined
}
