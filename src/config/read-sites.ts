/**
 * The sites folder as it is now: one reading for each site's file, in the order of the sites' names. A file that is as it
 * was at the last reading is not read again; what makes it the same is its link's target, and the inode, size and times
 * of the file itself and of the other files that its outcome depends on. What is to be said of a certificate changes with time alone.
 *
 * Works in short slices of synchronous work, so that requests are answered in between even with ten thousand sites.
 *
 * Invariant: an unchanged file keeps its reading, as the very same object.
 */

import type { Dirent } from 'node:fs'
import { readlinkSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setImmediate as yieldToOthers } from 'node:timers/promises'
import type { SiteLoad, SiteSurroundings } from './load-site.ts'
import { loadSite } from './load-site.ts'
import { passedOver } from './passed-over.ts'
import type { Problem } from './problems.ts'
import { fileProblem } from './problems.ts'
import { errorCode, missedReads, noteMissedRead } from './text-file.ts'
import { isConfigFile } from './watched-paths.ts'

/** Most files that are read in a sites folder. */
const MAX_SITES = 100_000
/** Longest stretch of synchronous work. */
const SLICE_MS = 5
/**
 * A file that was changed this shortly before it was looked at can be changed once more without its times showing it
 * (the kernel's clock for them ticks every 4 to 10 ms), so it is read again the next time.
 */
const FRESH_MS = 50
/** No file's print is this. */
const UNREAD = 'unread'

/** One site's file as found, and what to recognise it by. */
interface SiteReading extends SiteLoad {
  readonly print: string
}

/** The whole folder as found. */
export interface SitesReading {
  /** By site, in the order of their names. */
  sites: Map<string, SiteReading>
  /** What is wrong with the folder itself. Then `sites` is what the reading before had. */
  problems: Problem[]
  /** What a person should know of the folder. */
  warnings: Problem[]
  /** What all readings depend on: with another one, none of them is used again. */
  surroundings: string
}

/**
 * Reads the sites folder.
 *
 * A folder that is missing or cannot be read is a problem, and takes no site away: a folder that is being put back is
 * far more common than one that is gone for good.
 *
 * @param before the last reading; its sites are used again where their files are as they were
 * @param env the server's environment, for `$NAME`
 * @param now the clock by which files are fresh, in ms
 */
export async function readSites(
  server: SiteSurroundings,
  before?: SitesReading,
  env: NodeJS.ProcessEnv = process.env,
  now: () => number = Date.now,
): Promise<SitesReading> {
  const surroundings = JSON.stringify([server.file, server.dir, server.sites, server.defaults])
  const known = before?.surroundings === surroundings ? before.sites : undefined
  let entries: Dirent[]
  try {
    entries = await readdir(server.sites, { withFileTypes: true })
  } catch (error) {
    noteMissedRead(errorCode(error))
    const reason = errorCode(error) === 'ENOENT' ? 'does not exist: make it' : `cannot be read (${errorCode(error)})`
    const problems = [fileProblem(server.sites, `the sites folder ${reason}`)]
    return {
      sites: before?.sites ?? new Map(),
      problems,
      warnings: before?.warnings ?? [],
      surroundings: before?.surroundings ?? surroundings,
    }
  }
  const files = entries.filter(({ name }) => isConfigFile(name)).sort(byName)
  const problems = files.length > MAX_SITES ? [tooMany(server.sites, files.length)] : []
  const sites = new Map<string, SiteReading>()
  const context: ReadContext = { server, known, env, now }
  let sliceEnd = performance.now() + SLICE_MS
  for (const entry of files.slice(0, MAX_SITES)) {
    const reading = readOne(join(server.sites, entry.name), entry, context)
    sites.set(reading.name, reading)
    if (performance.now() < sliceEnd) continue
    await yieldToOthers()
    sliceEnd = performance.now() + SLICE_MS
  }
  return { sites, problems, warnings: await passedOver(server.sites, entries), surroundings }
}

/** By the names of the sites, as everywhere: with their endings, `shop-old.ini` would come before `shop.ini`. */
function byName(a: Dirent, b: Dirent): number {
  return siteNameOf(a) < siteNameOf(b) ? -1 : 1
}

function siteNameOf(entry: Dirent): string {
  return basename(entry.name, '.ini')
}

function tooMany(folder: string, count: number): Problem {
  return fileProblem(folder, `the sites folder has ${count} sites; only the first ${MAX_SITES} are read`)
}

interface ReadContext {
  server: SiteSurroundings
  known: Map<string, SiteReading> | undefined
  env: NodeJS.ProcessEnv
  now: () => number
}

function readOne(file: string, entry: Dirent, { server, known, env, now }: ReadContext): SiteReading {
  const before = known?.get(siteNameOf(entry))
  const others = (paths: readonly string[]) => paths.map((path) => `|${printOf(path, false, now())}`).join('')
  // Looked at before it is read: a change in between then makes it different the next time, never unnoticed.
  const own = printOf(file, entry.isSymbolicLink(), now())
  const isSame = before !== undefined && before.print === own + others(before.dependencies)
  if (isSame && now() < before.goodUntil) return before
  const missed = missedReads()
  const load = loadSite(file, server, env, now())
  // What could not be read for now is read the next time, though nothing about the file will have changed.
  return { ...load, print: missedReads() > missed ? UNREAD : own + others(load.dependencies) }
}

/** Changes whenever the file does. Never the same twice while the file is too fresh to tell. */
function printOf(file: string, isLink: boolean, nowMs: number): string {
  try {
    const target = isLink ? readlinkSync(file) : ''
    const stats = statSync(file, { throwIfNoEntry: false })
    if (stats === undefined) return `${target}:missing`
    const fresh = nowMs - stats.ctimeMs < FRESH_MS ? `:${performance.now()}` : ''
    return `${target}:${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeMs}:${stats.ctimeMs}${fresh}`
  } catch (error) {
    return errorCode(error)
  }
}
