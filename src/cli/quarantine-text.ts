/**
 * What is held against a site, in words: what it did, since when it is kept apart, what was done, and when it comes back.
 */
import type { GroupStatus, SiteStatus } from '../admin/reports.ts'
import type { ResidencyStatus } from '../core/residency.ts'
import { clock, lasting } from './moments.ts'
import type { Cell } from './output.ts'
import { columns, oneLine } from './output.ts'

type Offence = ResidencyStatus['offences'][number]

/**
 * Why a site is kept apart, what was done, and when it ends; no line for a site that is not.
 *
 * @param maxOffences the last ones of these are shown
 * @param nowMs Unix time
 */
export function quarantineLines(
  site: SiteStatus,
  groups: readonly GroupStatus[],
  maxOffences: number,
  nowMs: number,
): string[] {
  const { residency } = site
  if (residency?.quarantinedSince === undefined) return []
  const { quarantinedSince: since, offences } = residency
  const left = offences.length - maxOffences
  return columns([
    row('since', `${clock(since, nowMs)} (for ${lasting(nowMs - since)})`),
    ...offences.slice(-maxOffences).map((one, index) => row(index === 0 ? 'why' : '', offenceText(one, nowMs))),
    ...(left > 0 ? [row('', `… and ${left} before: vhostel status ${site.name}`)] : []),
    row('done', doneText(site, groups, nowMs)),
    row('back', backText(residency, nowMs)),
  ])
}

/** `12:01:03 blocked: kept its thread for 1001 ms` */
export function offenceText({ kind, text, at }: Offence, nowMs: number): string {
  return `${clock(at, nowMs)} ${kind}: ${oneLine(text)}`
}

function row(title: string, text: string): Cell[] {
  return [{ text: title, style: 'dim' }, { text }]
}

function doneText({ residency, throttledUntil }: SiteStatus, groups: readonly GroupStatus[], nowMs: number): string {
  if (throttledUntil !== undefined) {
    const when = `${clock(throttledUntil, nowMs)} (in ${lasting(throttledUntil - nowMs)})`
    return `its own process keeps ending and is started again at ${when}; visitors get 503 until then`
  }
  const pids = groups.find(({ name }) => name === residency?.group)?.processes.map(({ pid }) => pid) ?? []
  if (pids.length === 0) return 'it gets a process of its own with its next request'
  const up = pids.filter((pid) => pid !== undefined)
  return up.length === 0
    ? 'a process of its own is being started for it'
    : `it is alone in a process of its own (pid ${up.join(', ')})`
}

function backText({ releasedAt, group }: ResidencyStatus, nowMs: number): string {
  if (releasedAt === undefined) return `not known; it stays in ${group}`
  if (releasedAt <= nowMs) return 'among the others now'
  return `among the others at ${clock(releasedAt, nowMs)} (in ${lasting(releasedAt - nowMs)}), if it behaves until then`
}
