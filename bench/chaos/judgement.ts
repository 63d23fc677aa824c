/**
 * What a fault cost the neighbours, from what became of their requests and from the journal of what ran. Pure.
 *
 * Of POSTs and streams those are excused that had begun in the one process that was lost at the first offence, each
 * answered by 502, or cut after its first byte. A POST is acknowledged just before it begins, so a process can end in between:
 * `MAX_ACKNOWLEDGED` of those moments, which left no trace in the journal, are excused too. Everything else that failed is
 * a breach.
 */
import type { Kind, Visit } from './neighbours.ts'

export interface Judgement {
  /** Requests that were sent from the first offence on, or were open then. */
  sent: number
  failedGets: number
  failedPosts: number
  failedStreams: number
  ranTwice: number
  /** Times of right answers without the fault, and from 500 ms after the first offence on, in ms. */
  p50Before: number
  p99Before: number
  p50After: number
  p99After: number
  /** What may not be: one line each. */
  breaches: string[]
}

/** The first moments of the first offence, which times do not count. */
const GRACE_MS = 500
const MAX_BREACHES = 12
const MAX_ACKNOWLEDGED = 2

interface Run {
  id: string
  place: string
}

/**
 * @param visits all of them, before the fault as well
 * @param journal lines `ran ID PLACE`
 * @param offenceAt when the first visitor of the offender was sent
 */
export function judge(visits: readonly Visit[], journal: string, offenceAt: number): Judgement {
  const runs = runsOf(journal)
  const failed = visits.filter(({ outcome }) => outcome !== 'ok')
  const before = timesOf(visits.filter(({ at, tookMs }) => at + tookMs < offenceAt))
  const after = timesOf(visits.filter(({ at }) => at >= offenceAt + GRACE_MS))
  const twice = visits.filter(({ id, kind }) => kind === 'post' && (runs.get(id)?.length ?? 0) > 1)
  return {
    sent: visits.filter(({ at, tookMs }) => at + tookMs >= offenceAt).length,
    failedGets: count(failed, 'get') + count(failed, 'wait'),
    failedPosts: count(failed, 'post'),
    failedStreams: count(failed, 'stream'),
    ranTwice: twice.length,
    p50Before: quantile(before, 0.5),
    p99Before: quantile(before, 0.99),
    p50After: quantile(after, 0.5),
    p99After: quantile(after, 0.99),
    breaches: breachesOf(failed, twice, runs, offenceAt).slice(0, MAX_BREACHES),
  }
}

function breachesOf(
  failed: readonly Visit[],
  twice: readonly Visit[],
  runs: ReadonlyMap<string, Run[]>,
  offenceAt: number,
): string[] {
  const lost = failed.map((visit) => processOf(runs.get(visit.id)?.[0]?.place)).find((process) => process !== undefined)
  const traceless = failed.filter((visit) => isTraceless(visit, runs, offenceAt))
  const excused = new Set(traceless.slice(0, MAX_ACKNOWLEDGED))
  const breaches = twice.map(({ id, site }) => `${site}: ${id} ran ${runs.get(id)?.length} times`)
  for (const visit of failed) {
    const problem = problemOf(visit, runs.get(visit.id), lost)
    if (problem === undefined || excused.has(visit)) continue
    const when = Math.round(visit.at - offenceAt)
    breaches.push(`${visit.site}: ${visit.id} at ${when} ms came to '${visit.outcome}': ${problem}`)
  }
  return breaches
}

/** A POST of the first moments that was lost and, as far as can be seen, had not begun. */
function isTraceless({ id, kind, outcome, at }: Visit, runs: ReadonlyMap<string, Run[]>, offenceAt: number): boolean {
  return kind === 'post' && outcome === 502 && !runs.has(id) && at < offenceAt + GRACE_MS
}

function problemOf(
  { kind, outcome }: Visit,
  runs: readonly Run[] | undefined,
  lost: string | undefined,
): string | undefined {
  if (kind === 'get' || kind === 'wait') return 'a GET may not fail'
  if (runs === undefined) return 'it had not begun, so it had to run elsewhere'
  if (runs.every(({ place }) => processOf(place) !== lost))
    return `it ran in ${runs[0]?.place}, not in the lost ${lost}`
  return outcome === 502 || outcome === 'cut' ? undefined : 'it should be answered by 502, or cut'
}

function processOf(place: string | undefined): string | undefined {
  return place?.split('/')[0]
}

function runsOf(journal: string): Map<string, Run[]> {
  const runs = new Map<string, Run[]>()
  for (const [, id = '', place = ''] of journal.matchAll(/^ran (\S+) (\S+)$/gm)) {
    const known = runs.get(id)
    if (known === undefined) runs.set(id, [{ id, place }])
    else known.push({ id, place })
  }
  return runs
}

function count(visits: readonly Visit[], kind: Kind): number {
  return visits.filter((visit) => visit.kind === kind).length
}

function timesOf(visits: readonly Visit[]): number[] {
  return visits
    .filter(({ outcome }) => outcome === 'ok')
    .map(({ tookMs }) => tookMs)
    .sort((a, b) => a - b)
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
