/**
 * Whose code ran in a thread when it was looked at. Its async context says so; where it has none, the stack: the innermost frame
 * that belongs to exactly one site. Pure.
 *
 * A file is of the site whose folder it is in, or that loaded it; where one site's folder is inside another's, of the inner
 * one. Limits: a file that several sites share (loaded by both, or in a `node_modules` that both find) belongs to none of
 * them, and the frames that called it decide.
 */
import type { ThreadLook } from '../core/worker-orders.ts'
import type { PoolSite } from './pool-site.ts'
import type { PoolThread } from './pool-thread.ts'

/** A frame as V8 prints it: `at call (/path:line:column)` or `at /path:line:column`; a path may have any characters. */
const FRAME = /^\s*at (?:.*? \()?(?:async )?(?:file:\/\/)?(\/.*?):\d+(?::\d+)?\)?$/
const PACKAGES = '/node_modules/'

/** The site whose code a look found in `thread`; undefined where nothing says whose it is. */
export function ownerOf({ generation, stack }: ThreadLook, thread: PoolThread): PoolSite | undefined {
  return thread.siteOf(generation) ?? culpritOf(stack, thread.sites())
}

/** @param stack one frame a line, each with the path of its file */
export function culpritOf(stack: string, sites: Iterable<PoolSite>): PoolSite | undefined {
  const candidates = [...sites]
  for (const line of stack.split('\n')) {
    const file = FRAME.exec(line)?.[1]
    if (file === undefined) continue
    const owners = ownersOf(file, candidates)
    if (owners.length === 1) return owners[0]
  }
  return undefined
}

function ownersOf(file: string, sites: readonly PoolSite[]): PoolSite[] {
  const loaders = sites.filter(({ order, loaded }) => order?.module === file || loaded?.files.includes(file))
  const packagesAt = file.indexOf(PACKAGES)
  const byFolder =
    packagesAt === -1 ? innermost(file, sites) : sites.filter((site) => findsPackages(site, file.slice(0, packagesAt)))
  return [...new Set([...loaders, ...byFolder])]
}

/** The sites in whose folder the file is, without those that have another of them inside theirs. */
function innermost(file: string, sites: readonly PoolSite[]): PoolSite[] {
  const around = sites.filter(({ order }) => order !== undefined && file.startsWith(folder(order.root)))
  const deepest = Math.max(0, ...around.map(({ order }) => folder(order?.root ?? '').length))
  return around.filter(({ order }) => folder(order?.root ?? '').length === deepest)
}

/** Whether `node_modules` in `parent` is where the site's code looks, or is inside the site. */
function findsPackages({ order }: PoolSite, parent: string): boolean {
  if (order === undefined) return false
  return folder(order.root).startsWith(folder(parent)) || folder(parent).startsWith(folder(order.root))
}

function folder(path: string): string {
  return path.endsWith('/') ? path : `${path}/`
}
