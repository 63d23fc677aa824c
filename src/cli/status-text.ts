/**
 * `vhostel status` as a person reads it who was woken by it: what runs, the pool, then what is wrong, and last how the rest is.
 *
 * Limit: of each kind of trouble the first `MAX_SHOWN` sites are shown.
 */
import type { SiteState, SiteStatus, StatusReport } from '../admin/reports.ts'
import { counted } from '../advice/words.ts'
import { VERSION } from '../core/version.ts'
import { certificateLines } from './certificate-text.ts'
import { clock, lasting } from './moments.ts'
import type { Style } from './output.ts'
import { oneLine, paint } from './output.ts'
import { groupLines, groupName, lateText } from './pool-text.ts'
import { quarantineLines } from './quarantine-text.ts'
import { problemLines, stateText } from './site-table.ts'
import type { PlacedThread, Troubles } from './troubles.ts'
import { isWell } from './troubles.ts'

const MAX_SHOWN = 50
const MAX_OFFENCES = 3

/** The whole report. @param nowMs Unix time */
export function statusLines(status: StatusReport, troubles: Troubles, nowMs: number): string[] {
  return [
    ...headLines(status, nowMs),
    '',
    ...status.pool.groups.flatMap((group) => groupLines(group, nowMs)),
    '',
    ...quarantinedLines(status, troubles, nowMs),
    ...lateLines(troubles, nowMs),
    ...shortLines(troubles),
    ...faultyLines(troubles),
    ...uncertifiedLines(troubles, nowMs),
    ...problemsOfServer(troubles),
    ...failingLogs(troubles),
    ...restartLines(status.awaitsRestart),
    ...versionLines(status),
    summary(status, troubles),
  ]
}

function headLines({ version, pid, startedAt, listen, configFile }: StatusReport, nowMs: number): string[] {
  const since = `${clock(startedAt, nowMs)} (for ${lasting(nowMs - startedAt)})`
  return [
    `vhostel ${version}, pid ${pid}, runs since ${since}   ${paint('dim', configFile)}`,
    `listens on ${listen.join(', ')}`,
  ]
}

// ---- what is wrong ---------------------------------------------------------------------------------------------

function quarantinedLines({ pool }: StatusReport, { quarantined }: Troubles, nowMs: number): string[] {
  return section('yellow', `${isOrAre(quarantined.length, 'site')} quarantined:`, quarantined, (site) => [
    title(site),
    ...quarantineLines(site, pool.groups, MAX_OFFENCES, nowMs).map((line) => `    ${line}`),
    ...problemLines(site),
  ])
}

function lateLines({ late }: Troubles, nowMs: number): string[] {
  return section('red', `${isOrAre(late.length, 'thread')} blocked:`, late, (thread) => [lateLine(thread, nowMs)])
}

function lateLine(thread: PlacedThread, nowMs: number): string {
  const more = thread.keptBy === undefined ? '' : `: vhostel stack ${thread.keptBy}`
  return `  thread ${thread.thread} of process ${thread.pid ?? '?'} is ${lateText(thread, nowMs)}${more}`
}

function shortLines({ short }: Troubles): string[] {
  return section('red', `${isOrAre(short.length, 'pool')} too small:`, short, ({ name, ready, least }) => [
    `  ${groupName(name)}: only ${ready} of ${counted(least, 'thread')} ready; the log says why`,
  ])
}

function faultyLines({ faulty }: Troubles): string[] {
  return section('red', `${isOrAre(faulty.length, 'site')} wrong:`, faulty, (site) => [
    title(site),
    ...problemLines(site),
  ])
}

function problemsOfServer({ problems }: Troubles): string[] {
  return section('red', 'vhostel.ini is wrong; the settings before serve on:', problems, (line) => [
    `  ${oneLine(line)}`,
  ])
}

function failingLogs({ logs }: Troubles): string[] {
  return section('red', `${counted(logs.length, 'log file')} cannot be written:`, logs, (line) => [
    `  ${oneLine(line)}`,
  ])
}

/** @param settings undefined from a server of before 0.3.0 */
export function restartLines(settings: readonly string[] | undefined): string[] {
  return section('yellow', 'changed, and takes effect when the server is restarted:', settings ?? [], (one) => [
    `  ${one}`,
  ])
}

/** The package may have been replaced under the server: this command is of the new one already. */
function versionLines({ version }: StatusReport): string[] {
  if (version === VERSION) return []
  return [
    paint('yellow', `this command is vhostel ${VERSION}, and the server is ${version}: restart it for both to be one`),
    '',
  ]
}

function uncertifiedLines({ uncertified }: Troubles, nowMs: number): string[] {
  const headline = `${isOrAre(uncertified.length, 'site')} without the certificate that ${uncertified.length === 1 ? 'it' : 'they'} should have:`
  return section('yellow', headline, uncertified, (site) => [
    title(site),
    ...certificateLines(site, nowMs).map((line) => `    ${line}`),
  ])
}

/** `1 site is`, `2 sites are` */
function isOrAre(number: number, one: string): string {
  return `${counted(number, one)} ${number === 1 ? 'is' : 'are'}`
}

function title({ name, state }: SiteStatus): string {
  return `  ${paint('bold', name)}: ${stateText(state)}`
}

/** Headline, lines for each, and an empty one; nothing where there are none. */
function section<T>(style: Style, headline: string, all: readonly T[], linesOf: (one: T) => string[]): string[] {
  if (all.length === 0) return []
  const left = all.length - MAX_SHOWN
  const more = left > 0 ? [`  … and ${left.toLocaleString('en')} more: vhostel list shows all`] : []
  return [paint(style, headline), ...all.slice(0, MAX_SHOWN).flatMap(linesOf), ...more, '']
}

// ---- and the rest ----------------------------------------------------------------------------------------------

/** `All else is well: 20 sites (17 live, 3 idle).` */
function summary({ sites }: StatusReport, troubles: Troubles): string {
  const told = new Set([...troubles.quarantined, ...troubles.faulty, ...troubles.uncertified])
  const rest = sites.filter((site) => !told.has(site))
  const words = paint('green', isWell(troubles) ? 'All is well' : 'All else is well')
  if (rest.length === 0) return `${words}: ${sites.length === 0 ? 'no site is enabled' : 'there is no other site'}.`
  return `${words}: ${counted(rest.length, 'site')} (${tally(rest)}).`
}

function tally(sites: readonly SiteStatus[]): string {
  const counts = new Map<SiteState, number>()
  for (const { state } of sites) counts.set(state, (counts.get(state) ?? 0) + 1)
  return [...counts].map(([state, number]) => `${number.toLocaleString('en')} ${state}`).join(', ')
}
