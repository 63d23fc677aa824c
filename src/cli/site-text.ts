/**
 * `vhostel status SITE` as a person reads it: everything that the server knows of one site.
 */
import type { ProgramStatus, SiteStatus, StatusReport } from '../admin/reports.ts'
import { counted } from '../advice/words.ts'
import { certificateLines } from './certificate-text.ts'
import { clock, lasting } from './moments.ts'
import type { Cell } from './output.ts'
import { columns, paint } from './output.ts'
import { groupName, lateText, memoryText } from './pool-text.ts'
import { offenceText, quarantineLines } from './quarantine-text.ts'
import { addresses, problemLines, stateText } from './site-table.ts'
import type { PlacedThread } from './troubles.ts'
import { isQuarantined, threadsOf } from './troubles.ts'

/** More than the server keeps: all that there are. */
const ALL_OFFENCES = 100

/** The site's lines. @param nowMs Unix time */
export function siteLines(site: SiteStatus, status: StatusReport, nowMs: number): string[] {
  return [
    `${paint('bold', site.name)}: ${stateText(site.state)}`,
    ...problemLines(site).map((line) => paint('red', line)),
    ...quarantineLines(site, status.pool.groups, ALL_OFFENCES, nowMs).map((line) => `    ${line}`),
    '',
    ...columns([
      ...aboutRows(site, nowMs),
      ...rows('certificate', certificateLines(site, nowMs)),
      ...threadRows(site, status, nowMs),
      ...offenceRows(site, nowMs),
    ]),
  ]
}

/** The threads that have the site loaded, and those that it keeps. */
export function threadsOfSite({ name }: SiteStatus, { pool }: StatusReport): PlacedThread[] {
  return threadsOf(pool.groups).filter(({ sites, keptBy }) => sites.includes(name) || keptBy === name)
}

function aboutRows(site: SiteStatus, nowMs: number): Cell[][] {
  const { kind, shape, generation, requests, inFlight, waiting } = site
  const module = shape === undefined ? '' : ` (${shape}), generation ${generation}`
  return [
    ...rows('urls', addresses(site)),
    ...rows('file', [site.file]),
    ...rows('kind', kind === undefined ? [] : [`${kind}${module}`]),
    ...rows('requests', [
      `${requests.toLocaleString('en')} since the start, ${inFlight} in flight, ${waiting} waiting`,
    ]),
    ...rows('lives in', [livesIn(site)]),
    ...rows('last end', lastEnd(site, nowMs)),
  ]
}

function livesIn(site: SiteStatus): string {
  if (site.kind === undefined) return 'nowhere: its file is refused'
  if (site.kind === 'proxy') return 'other servers, as its file says'
  if (site.program !== undefined) return programText(site.program)
  if (site.residency === undefined) return 'the dispatcher: its files are served without a thread'
  const { group } = site.residency
  const why = group === `site:${site.name}` && !isQuarantined(site) ? ', as its file says' : ''
  return groupName(group) + why
}

function programText({ state, pid, starts }: ProgramStatus): string {
  const place = pid === undefined ? '' : ` (${pid})`
  return `a program of its own${place}: ${state}, started ${counted(starts, 'time')}`
}

/** When its program ended last, and nobody wanted that: it is started again, and the rest is in the log. */
function lastEnd({ program }: SiteStatus, nowMs: number): string[] {
  if (program?.lastEnd === undefined) return []
  const { at, why } = program.lastEnd
  return [`${clock(at, nowMs)} (${lasting(nowMs - at)} ago): ${why}`]
}

function threadRows(site: SiteStatus, status: StatusReport, nowMs: number): Cell[][] {
  if (site.residency === undefined) return []
  const threads = threadsOfSite(site, status)
  return rows('threads', threads.length === 0 ? ['loaded in none'] : threads.map((one) => threadText(one, nowMs)))
}

function threadText(thread: PlacedThread, nowMs: number): string {
  const { state, inFlight, memoryBytes, sites } = thread
  const late = lateText(thread, nowMs)
  const figures = `${inFlight} in flight, ${counted(sites.length, 'site')}${memoryText(memoryBytes, ', ')}`
  const place = `${thread.thread} of process ${thread.pid ?? '?'}`
  return `${place}: ${state}, ${figures}${late === '' ? '' : `, ${late}`}`
}

/** Small things that count against a site which is not quarantined. */
function offenceRows(site: SiteStatus, nowMs: number): Cell[][] {
  if (site.residency === undefined || isQuarantined(site)) return []
  return rows(
    'offences',
    site.residency.offences.map((offence) => offenceText(offence, nowMs)),
  )
}

function rows(title: string, texts: readonly string[]): Cell[][] {
  return texts.map((text, index) => [{ text: index === 0 ? title : '', style: 'dim' }, { text }])
}
