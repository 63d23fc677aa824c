/**
 * Memory of tiny Fastify sites, all of them visited: in vhostel, and as one Node process each (without the proxy before
 * them, which takes some more). Proportional set size of all processes, right after the visits and some time later; nobody is
 * told to collect garbage first.
 */
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchOptions, Verdict } from './bench-options.ts'
import type { Contender } from './contenders.ts'
import { nodeProcesses, vhostel, visit } from './contenders.ts'
import { processTree, pssBytes } from './process-tree.ts'
import { showProgress } from './progress.ts'
import { median, megabytes, printTable, verdict } from './table.ts'

/** Requests to each site before memory is taken. */
const VISITS = 20
const SAMPLES = 5
const SAMPLE_MS = 500
/** What came to rest has given memory back by then. */
const CALM_MS = 25_000
const MOST_QUICKLY = 50
const COUNTS = [1, 10, 50, 200]
/** At this many sites the ratio is wanted, and more is measured. */
const DECIDING = 50
/** Run where it is, this checkout is TypeScript. */
const SOURCES = resolve(import.meta.dirname, '../bin/vhostel.js')

export interface MemoryFigures {
  sites: number
  contender: string
  pssBytes: number
  /** After `CALM_MS` without a request. */
  calmBytes: number
  processes: number
}

export async function memory(options: BenchOptions): Promise<{ figures: MemoryFigures[]; verdicts: Verdict[] }> {
  const figures: MemoryFigures[] = []
  for (const sites of COUNTS.filter((count) => !options.quick || count <= MOST_QUICKLY)) {
    figures.push(await measure(sites, () => nodeProcesses(sites)))
    figures.push(await measure(sites, () => vhostel(sites, options)))
    if (sites === DECIDING) figures.push(...(await measureOthers(sites, options)))
  }
  printFigures(figures)
  const [processes, ours] = figures.filter(({ sites }) => sites === DECIDING)
  const what = `vhostel ÷ Node processes, memory of ${DECIDING} sites`
  return {
    figures,
    verdicts: [
      compare(`${what}, just visited`, ours?.pssBytes, processes?.pssBytes),
      compare(`${what}, calm`, ours?.calmBytes, processes?.calmBytes),
    ],
  }
}

function compare(what: string, ours = Number.NaN, theirs = Number.NaN): Verdict {
  return { what, ratio: ours / theirs, text: verdict(ours / theirs, { most: 1 / 8 }) }
}

/** What costs more: sites that bring their own packages, and vhostel run from its TypeScript sources. */
async function measureOthers(sites: number, options: BenchOptions): Promise<MemoryFigures[]> {
  const own = { ...options, ownFastify: true }
  const sources = { ...options, command: SOURCES }
  return [
    await measure(sites, () => vhostel(sites, own, ', each site with a Fastify of its own')),
    await measure(sites, () => vhostel(sites, sources, ', run from its sources')),
  ]
}

async function measure(sites: number, start: () => Promise<Contender>): Promise<MemoryFigures> {
  await using contender = await start()
  showProgress(`memory of ${sites} sites: ${contender.name}`)
  for (let round = 0; round < VISITS; round++) {
    for (let site = 1; site <= sites; site++) await visit(contender, site)
  }
  const visited = await sample(contender)
  await sleep(CALM_MS)
  const calmBytes = await sample(contender)
  showProgress('')
  const processes = processTree(contender.pids).length
  return { sites, contender: contender.name, pssBytes: visited, calmBytes, processes }
}

async function sample(contender: Contender): Promise<number> {
  const samples: number[] = []
  for (let count = 0; count < SAMPLES; count++) {
    await sleep(SAMPLE_MS)
    samples.push(pssBytes(contender.pids))
  }
  return median(samples)
}

function printFigures(figures: readonly MemoryFigures[]): void {
  const rows = figures.map(({ sites, contender, pssBytes: bytes, calmBytes, processes }) => {
    const peer = figures.find((each) => each.sites === sites)
    return [
      contender,
      String(sites),
      String(processes),
      megabytes(bytes),
      megabytes(bytes / sites),
      (bytes / (peer?.pssBytes ?? Number.NaN)).toFixed(3),
      megabytes(calmBytes),
      (calmBytes / (peer?.calmBytes ?? Number.NaN)).toFixed(3),
    ]
  })
  console.log('\nTiny Fastify sites, all visited:\n')
  printTable(['', 'sites', 'processes', 'PSS', 'a site', '× Node processes', 'calm', '× Node processes'], rows)
}
