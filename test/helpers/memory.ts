/**
 * Memory of a process and all its descendants, from /proc.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** Highest resident memory so far of each process in the tree, summed, in bytes. */
export function peakRssOf(pid: number): number {
  return sumOver(pid, (one) => kilobytes(`/proc/${one}/status`, 'VmHWM'))
}

/** Proportional memory of the tree now, in bytes: shared pages are counted once. */
export function pssOf(pid: number): number {
  return sumOver(pid, (one) => kilobytes(`/proc/${one}/smaps_rollup`, 'Pss'))
}

/** The same without pages of files, of which a process counts more when others end. */
export function anonymousOf(pid: number): number {
  return sumOver(pid, (one) => kilobytes(`/proc/${one}/smaps_rollup`, 'Pss_Anon'))
}

/** The process and all its descendants. */
export function treeOf(pid: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = read(`/proc/${name}/stat`)
    // The name in brackets may hold anything; what follows the last bracket is: state, parent, …
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
    parents.set(Number(name), parent)
  }
  const tree = [pid]
  for (const one of tree) for (const [child, parent] of parents) if (parent === one) tree.push(child)
  return tree
}

function sumOver(pid: number, measure: (pid: number) => number): number {
  return treeOf(pid).reduce((sum, one) => sum + measure(one), 0)
}

function kilobytes(file: string, key: string): number {
  return Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(read(file))?.[1] ?? 0) * 1024
}

/** Empty for a process that ended meanwhile. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
