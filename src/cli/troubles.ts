/**
 * What is wrong with a running server, out of its report: what `vhostel status` shows first, and what its exit code goes by.
 * Pure: report in, findings out.
 *
 * A site that did harm is told once, as quarantined, whatever else is wrong with it. What every server has now and then (a
 * thread that is late for a moment, one that is being replaced, one of a site's own in which it is being loaded) is no trouble.
 */
import type { GroupStatus, SiteStatus, StatusReport, ThreadStatus } from '../admin/reports.ts'
import { isUncertified } from './certificate-text.ts'
import { isFaulty } from './site-table.ts'

/** A thread, and where it is. */
export interface PlacedThread extends ThreadStatus {
  group: string
  pid: number | undefined
}

export interface Troubles {
  /** Sites that are kept apart, whatever their state. */
  quarantined: SiteStatus[]
  /** The other sites whose file or code is wrong. */
  faulty: SiteStatus[]
  /** The other sites that cannot get the certificate that they should have. */
  uncertified: SiteStatus[]
  /** Threads that have not come round for a second or more. */
  late: PlacedThread[]
  /** Pools with fewer threads than their settings want. */
  short: GroupStatus[]
  /** Of vhostel.ini, one line each. */
  problems: string[]
  /** Log files that cannot be written, one line each. */
  logs: string[]
}

const LATE_MS = 1_000
/** As src/pool names the process of one site. */
const OWN_PREFIX = 'site:'

/** @param nowMs Unix time */
export function troublesOf({ sites, pool, problems, logs = [] }: StatusReport, nowMs: number): Troubles {
  const quarantined = sites.filter(isQuarantined)
  return {
    quarantined,
    faulty: sites.filter((site) => isFaulty(site) && !isQuarantined(site)),
    uncertified: sites.filter((site) => isUncertified(site) && !isFaulty(site) && !isQuarantined(site)),
    late: threadsOf(pool.groups).filter((thread) => isKept(thread, nowMs)),
    // A process of a site's own comes and goes with its requests.
    short: pool.groups.filter((group) => ownerOf(group.name) === undefined && group.ready < group.least),
    problems,
    logs,
  }
}

/** One that only starts has not been given to anybody who could keep it, and one that only loads its own site keeps nobody waiting. */
function isKept({ state, lateSince, group, loading }: PlacedThread, nowMs: number): boolean {
  if (state === 'starting' || (ownerOf(group) !== undefined && loading.length > 0)) return false
  return lateSince !== undefined && nowMs - lateSince >= LATE_MS
}

/** Whether there are none. */
export function isWell({ quarantined, faulty, uncertified, late, short, problems, logs }: Troubles): boolean {
  const sites = quarantined.length + faulty.length + uncertified.length
  return sites + late.length + short.length + problems.length + logs.length === 0
}

/** Whether the site is kept apart because of what it did, or may have done. */
export function isQuarantined({ residency }: SiteStatus): boolean {
  return residency?.quarantinedSince !== undefined
}

/** All threads, each with where it is. */
export function threadsOf(groups: readonly GroupStatus[]): PlacedThread[] {
  return groups.flatMap((group) =>
    group.processes.flatMap(({ pid, threads }) => threads.map((thread) => ({ ...thread, group: group.name, pid }))),
  )
}

/** The site whose own process a group is; undefined for pools. */
export function ownerOf(group: string): string | undefined {
  return group.startsWith(OWN_PREFIX) ? group.slice(OWN_PREFIX.length) : undefined
}
