/**
 * Loads several contenders in turn (A B C A B C …), so that whatever else the machine does meets all of them, and takes
 * the median of each.
 */
import type { Contender } from './contenders.ts'
import { visit } from './contenders.ts'
import { cpuUs } from './process-tree.ts'
import { showProgress } from './progress.ts'
import { DISTURBING, quietMoment, watchOthers } from './quiet.ts'
import { median } from './table.ts'
import type { Load } from './wrk.ts'
import { runWrk } from './wrk.ts'

export interface Plan extends Pick<Load, 'sites' | 'connections' | 'closes'> {
  rounds: number
  /** Of each load. */
  seconds: number
}

/** Medians over the rounds. */
export interface Figures {
  contender: string
  connections: number
  perSecond: number
  /** Of the contender's whole process tree, wrk not counted, for one request. */
  cpuUs: number
  p50Us: number
  p99Us: number
  /** Requests/s of the slowest and the fastest round: how much of a difference is noise. */
  slowest: number
  fastest: number
  /** Rounds that count although others had much of the machine: no quiet one came within the attempts. */
  disturbed: number
}

/**
 * Each load comes behind one that does not count, of so many seconds: while the others had their turns, a contender may have
 * given back memory, and compiled code with it; it is as fast as before after some three seconds.
 */
const AGAIN_WARM_SECONDS = 4
/** A load is repeated so often, at most, when others disturbed it. */
const ATTEMPTS = 4

interface Sample extends Pick<Figures, 'perSecond' | 'cpuUs' | 'p50Us' | 'p99Us'> {
  /** Share of the machine's CPU time that went to processes that have nothing to do with the bench. */
  others: number
}

/** Visits every site once and loads each contender for a while, so that code is compiled and sites are where they stay. */
export async function warmUp(contenders: readonly Contender[], sites: number, seconds: number): Promise<void> {
  for (const contender of contenders) {
    for (let site = 1; site <= sites; site++) await visit(contender, site)
    await runWrk({ port: contender.port, sites, connections: 64, seconds })
  }
}

/** @returns the figures of each contender, in the order given */
export async function runRounds(contenders: readonly Contender[], plan: Plan): Promise<Figures[]> {
  const samples = new Map(contenders.map((contender) => [contender, [] as Sample[]]))
  for (let round = 1; round <= plan.rounds; round++) {
    for (const contender of contenders) {
      showProgress(`c=${plan.connections}, round ${round} of ${plan.rounds}: ${contender.name}`)
      samples.get(contender)?.push(await sample(contender, plan))
    }
  }
  showProgress('')
  return contenders.map((contender) => figures(contender.name, plan.connections, samples.get(contender) ?? []))
}

/** The first load that nobody disturbed, else the least disturbed one. */
async function sample(contender: Contender, plan: Plan): Promise<Sample> {
  const samples: Sample[] = []
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    await quietMoment()
    await runWrk({ port: contender.port, ...plan, seconds: AGAIN_WARM_SECONDS })
    const taken = await loadOnce(contender, plan)
    if (taken.others < DISTURBING) return taken
    samples.push(taken)
  }
  return samples.toSorted((a, b) => a.others - b.others)[0] as Sample
}

async function loadOnce({ port, pids }: Contender, plan: Plan): Promise<Sample> {
  const others = watchOthers()
  const before = cpuUs(pids)
  const { requests, perSecond, p50Us, p99Us } = await runWrk({ port, ...plan })
  return { perSecond, cpuUs: (cpuUs(pids) - before) / requests, p50Us, p99Us, others: others() }
}

function figures(contender: string, connections: number, samples: readonly Sample[]): Figures {
  const rates = samples.map(({ perSecond }) => perSecond)
  return {
    contender,
    connections,
    perSecond: median(rates),
    cpuUs: median(samples.map((each) => each.cpuUs)),
    p50Us: median(samples.map((each) => each.p50Us)),
    p99Us: median(samples.map((each) => each.p99Us)),
    slowest: Math.min(...rates),
    fastest: Math.max(...rates),
    disturbed: samples.filter(({ others }) => others >= DISTURBING).length,
  }
}
