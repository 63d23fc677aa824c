/** The table of faults: what each cost the neighbours, in vhostel and in one shared in-process dispatcher. */
import { DISTURBING } from '../quiet.ts'
import { printTable, whole } from '../table.ts'
import type { Fault } from './fault.ts'
import type { Judgement } from './judgement.ts'
import type { Trial } from './trial.ts'

/** A fault and its trials; a trial is undefined when the server could not even be started for it. */
export interface Row {
  fault: string
  what: string
  vhostel: Trial
  cluster: Trial | undefined
}

/** How many times as long the neighbours' p99 may be with a fault. */
const MOST_P99 = 2
const HEAD = [
  'fault',
  'GETs',
  'POSTs',
  'streams',
  'twice',
  'p99 ms',
  'with',
  '×',
  'whole after',
  'the log said first',
] as const

export function rowOf(fault: Fault, vhostel: Trial, cluster: Trial | undefined): Row {
  return { fault: fault.name, what: fault.what, vhostel, cluster }
}

/** Failed requests of the neighbours, their p99 without and with the fault, and what followed. */
export function printReport(rows: readonly Row[]): void {
  console.log('\nFailed requests of the neighbours; p99 of the others without the fault and with it:\n')
  printTable(
    [...HEAD],
    rows.map(({ fault, vhostel }) => cellsOf(fault, vhostel)),
  )
  console.log('\nSide by side with one shared in-process dispatcher (node:cluster and a Map of hosts):\n')
  printTable(
    ['fault', 'vhostel: GETs', 'POSTs, streams', 'p99', 'cluster: GETs', 'POSTs, streams', 'p99'],
    rows.map(({ fault, vhostel, cluster }) => [fault, ...shortCells(vhostel), ...shortCells(cluster)]),
  )
  printBreaches(rows)
}

/** @returns what is not as it should be, one line each */
export function problemsOf(trial: Trial): string[] {
  const { neighbours, wrongAnswers, backMs, isLogged, convicted, others } = trial
  const problems = [...neighbours.breaches]
  if (trial.inSameThread === 0) problems.push('no neighbour was in its thread: little is proved')
  if (wrongAnswers.length > 0) problems.push(`its visitors saw ${wrongAnswers.join(', ')}`)
  if (convicted.length > 0) problems.push(`quarantined, and innocent: ${convicted.join(', ')}`)
  if (!isLogged) problems.push('the log does not say it')
  if (backMs === undefined) problems.push('the pool was not whole again')
  const ratio = neighbours.p99After / neighbours.p99Before
  const excuse = others < DISTURBING ? '' : `, while others had ${Math.round(others * 100)} % of the machine`
  if (ratio > MOST_P99) problems.push(`p99 of the neighbours was ${ratio.toFixed(1)} times as long${excuse}`)
  return problems
}

function cellsOf(fault: string, trial: Trial): string[] {
  const { neighbours, backMs, logged } = trial
  const { failedGets, failedPosts, failedStreams, ranTwice } = neighbours
  return [
    fault,
    ...[failedGets, failedPosts, failedStreams, ranTwice].map(whole),
    ms(neighbours.p99Before),
    ms(neighbours.p99After),
    (neighbours.p99After / neighbours.p99Before).toFixed(1),
    backMs === undefined ? 'NOT' : `${whole(backMs)} ms`,
    (logged[0] ?? '').slice(0, 60),
  ]
}

function shortCells(trial: Trial | undefined): string[] {
  if (trial === undefined) return ['', '', '']
  const { failedGets, failedPosts, failedStreams, p99After, sent } = trial.neighbours
  return [`${share(failedGets, trial.neighbours)}`, whole(failedPosts + failedStreams), sent === 0 ? '' : ms(p99After)]
}

function share(failed: number, { sent }: Judgement): string {
  return failed === 0 ? '0' : `${whole(failed)} (${((failed / sent) * 100).toFixed(0)} %)`
}

function ms(time: number): string {
  return Number.isNaN(time) ? 'none' : time.toFixed(time < 10 ? 1 : 0)
}

function printBreaches(rows: readonly Row[]): void {
  const wrong = rows.filter(({ vhostel }) => problemsOf(vhostel).length > 0)
  if (wrong.length === 0) return console.log(`\nAll ${rows.length} faults were survived as wanted.`)
  console.log(`\nNot as wanted: ${wrong.length} of ${rows.length}`)
  for (const { fault, vhostel } of wrong) console.log(`  ${fault}\n    ${problemsOf(vhostel).join('\n    ')}`)
}
