/**
 * One fault, tried: neighbours are visited, a site goes wrong, and it is seen what the neighbours noticed of it, what the
 * site's own visitors got, what the log said, and how long the pool took to be whole again.
 *
 * Limits: every wait has a deadline. Invariant: no load of a trial is left when it resolves.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { StatusReport } from '../../src/admin/reports.ts'
import { watchOthers } from '../quiet.ts'
import type { Answer, Fault } from './fault.ts'
import type { Judgement } from './judgement.ts'
import { judge } from './judgement.ts'
import type { Visit } from './neighbours.ts'
import { Neighbours } from './neighbours.ts'
import { visitOffender } from './offender.ts'

/** A server on trial. */
export interface Target {
  readonly port: number
  /** Worker processes that run now. */
  workers(): number[]
  /** Whether as many threads or processes serve as at the start. */
  isWhole(): Promise<boolean>
  /** Everything that it has logged so far, a line an entry; the last one may not be whole. */
  log(): readonly string[]
}

export interface TrialPlan {
  neighbours: readonly string[]
  perSecond: number
  /** Until a visitor of a neighbour gives up, in ms. */
  patienceMs: number
  /** How long the neighbours are visited before the fault, and with it, in ms. */
  calmMs: number
  faultMs: number
  /** The file that the neighbours' journal is in. */
  journal: string
  /** How long the pool may take to be whole again once the visitors of the site have left. */
  backMs: number
}

export interface Trial {
  fault: string
  neighbours: Judgement
  /** What the visitors of the site saw, and how often. */
  seen: [Answer, number][]
  /** What they saw and may not, and the other way round. */
  wrongAnswers: string[]
  /** From the first offence until the pool was whole for good, in ms; undefined when it was not in time. */
  backMs: number | undefined
  /** What the log said, each sentence once, in its order; the first of many. */
  logged: string[]
  /** Its first lines from level `warn` on, shortened. */
  lines: string[]
  /** Whether what it should say of the site is there. */
  isLogged: boolean
  /** Neighbours that were quarantined for what they did not do. */
  convicted: string[]
  /** Share of the machine's CPU that others had meanwhile, 0 to 1: from `DISTURBING` on, times say little. */
  others: number
  /** Neighbours that were served by the thread where the site did it, and by the process; undefined where unknown. */
  inSameThread: number | undefined
  inSameProcess: number | undefined
}

/** The threads of the default pool serve as many as at the start, and none of them is kept by a site. */
export function isPoolWhole({ pool }: StatusReport): boolean {
  const shared = pool.groups.find(({ name }) => name === 'default')
  if (shared === undefined || shared.ready < pool.processes * pool.threadsPerProcess) return false
  return shared.processes.every(({ threads }) => threads.every(({ lateSince }) => lateSince === undefined))
}

const POLL_MS = 20
/** pino's number of the level. */
const WARN = 40
const CONVICTED = 'site is quarantined'
const MAX_SENTENCES = 12
const MAX_LINES = 80
const MAX_ALIKE = 5
const MAX_LINE_CHARS = 500

/** Notes where a site was loaded; for the head of an offender's module. */
export const NOTE_PLACE = `import { appendFileSync as note } from 'node:fs'
import { threadId as thread } from 'node:worker_threads'
note(process.env.JOURNAL, 'offender in ' + process.pid + '/' + thread + '\\n')
`

/** Tries one fault. Its site is there and was not visited yet; the neighbours are loaded. */
export async function tryFault(fault: Fault, target: Target, plan: TrialPlan): Promise<Trial> {
  const { neighbours: sites, perSecond, patienceMs } = plan
  const neighbours = new Neighbours({ port: target.port, sites, perSecond, patienceMs })
  const loggedBefore = target.log().length - 1
  const journalBefore = readFileSync(plan.journal).length
  const others = watchOthers()
  neighbours.start()
  await delay(plan.calmMs)
  if (fault.descriptors !== undefined) limitDescriptors(target, fault.descriptors)
  const offenceAt = performance.now()
  const wholeness = watchWholeness(target, offenceAt)
  const seen = await offend(fault, target, neighbours.visits, Math.max(plan.faultMs, fault.lastsMs ?? 0))
  await neighbours.stop()
  const backMs = await wholeness.settled(plan.backMs)
  const journal = readFileSync(plan.journal, 'utf8').slice(journalBefore)
  return {
    fault: fault.name,
    neighbours: judge(neighbours.visits, journal, offenceAt),
    seen: [...seen],
    wrongAnswers: wrongAnswers(fault, seen),
    others: others(),
    backMs,
    ...readLog(fault, target.log().slice(loggedBefore)),
    ...placesOf(journal, neighbours.visits, offenceAt),
  }
}

/** Has the site do it for so long. @returns what its visitors saw */
async function offend(
  fault: Fault,
  target: Target,
  visits: readonly Visit[],
  forMs: number,
): Promise<Map<Answer, number>> {
  const seen = visitOffender(target.port, fault, AbortSignal.timeout(forMs))
  const victim = visits.findLast(({ place }) => place !== undefined)?.place?.split('/')[0]
  // Only a process that this server has started, and that answers for it.
  if (fault.signal !== undefined && target.workers().includes(Number(victim)))
    process.kill(Number(victim), fault.signal)
  return seen
}

/** prlimit(1), because Node has no way to it. */
function limitDescriptors(target: Target, descriptors: number): void {
  for (const pid of target.workers()) {
    spawnSync('prlimit', ['--pid', String(pid), `--nofile=${descriptors}:${descriptors}`], { timeout: 2_000 })
  }
}

/** Looks from now on whether the pool is whole. */
function watchWholeness(target: Target, since: number): { settled(deadlineMs: number): Promise<number | undefined> } {
  let isOver = false
  let lastBroken = since
  const loop = async (deadline: () => number): Promise<number | undefined> => {
    for (;;) {
      const whole = await target.isWhole()
      if (!whole) lastBroken = performance.now()
      if (isOver && whole) return lastBroken - since
      if (performance.now() > deadline()) return undefined
      await delay(POLL_MS)
    }
  }
  let deadline = Number.POSITIVE_INFINITY
  const looking = loop(() => deadline)
  return {
    settled(deadlineMs) {
      isOver = true
      deadline = performance.now() + deadlineMs
      return looking
    },
  }
}

function wrongAnswers(fault: Fault, seen: ReadonlyMap<Answer, number>): string[] {
  const wrong = [...seen].filter(([answer]) => !fault.mayAnswer.includes(answer))
  const problems = wrong.map(([answer, count]) => `${count} × '${answer}'`)
  const { mustAnswer } = fault
  if (mustAnswer !== undefined && !mustAnswer.some((answer) => seen.has(answer))) {
    problems.push(`never '${mustAnswer.join("' or '")}'`)
  }
  return problems
}

function readLog(fault: Fault, text: readonly string[]): Pick<Trial, 'logged' | 'lines' | 'isLogged' | 'convicted'> {
  const all = text.map(parsed).filter((line) => line !== undefined)
  const told = all.filter(({ level }) => Number(level) >= WARN)
  const bySentence = Map.groupBy(told, ({ site, msg }) => `${site ?? 'vhostel'}: ${String(msg).split('\n')[0]}`)
  // Of many that say the same, the first few: a flood would hide the rest.
  const lines = [...bySentence.values()].flatMap((same) => same.slice(0, MAX_ALIKE))
  const convicted = all.filter(({ site, msg }) => site !== fault.name && String(msg).startsWith(CONVICTED))
  const own = all.filter(({ site }) => site === fault.name)
  return {
    logged: [...bySentence.keys()].slice(0, MAX_SENTENCES),
    lines: shortened(lines.slice(0, MAX_LINES)),
    convicted: [...new Set(convicted.map(({ site }) => String(site)))],
    isLogged: fault.log === undefined || own.some((line) => fault.log?.test(textOf(line))),
  }
}

/** In the order of their times. */
function shortened(lines: readonly LogLine[]): string[] {
  const sorted = lines.toSorted((a, b) => (String(a.time) < String(b.time) ? -1 : 1))
  return sorted.map((line) => JSON.stringify(line).slice(0, MAX_LINE_CHARS))
}

type LogLine = Record<string, unknown>

/** @returns undefined for what is no JSON */
function parsed(line: string): LogLine | undefined {
  try {
    return JSON.parse(line) as LogLine
  } catch {
    return undefined
  }
}

function textOf(line: LogLine): string {
  return Object.values(line)
    .map((value) => (typeof value === 'string' ? value : JSON.stringify(value)))
    .join('\n')
}

function placesOf(
  journal: string,
  visits: readonly Visit[],
  offenceAt: number,
): Pick<Trial, 'inSameThread' | 'inSameProcess'> {
  const place = /^offender in (\S+)$/m.exec(journal)?.[1]
  if (place === undefined) return { inSameThread: undefined, inSameProcess: undefined }
  const process = `${place.split('/')[0]}/`
  const before = visits.filter(({ at }) => at < offenceAt)
  const inThread = before.filter((visit) => visit.place === place)
  const inProcess = before.filter((visit) => visit.place?.startsWith(process))
  return { inSameThread: sitesIn(inThread), inSameProcess: sitesIn(inProcess) }
}

function sitesIn(visits: readonly Visit[]): number {
  return new Set(visits.map(({ site }) => site)).size
}
