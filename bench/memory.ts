/**
 * Memory of tiny Fastify sites, all of them visited: in vhostel, and as one Node process each (without the proxy before
 * them, which takes some more). Proportional set size of all processes; nobody is told to collect garbage first.
 */
import { resolve } from 'node:path'
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
  const ratio = (ours?.pssBytes ?? Number.NaN) / (processes?.pssBytes ?? Number.NaN)
  const what = `vhostel ÷ Node processes, memory of ${DECIDING} sites`
  return { figures, verdicts: [{ what, ratio, text: verdict(ratio, { most: 1 / 8 }) }] }
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
  const samples: number[] = []
  for (let sample = 0; sample < SAMPLES; sample++) {
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS))
    samples.push(pssBytes(contender.pids))
  }
  showProgress('')
  const processes = processTree(contender.pids).length
  return { sites, contender: contender.name, pssBytes: median(samples), processes }
}

function printFigures(figures: readonly MemoryFigures[]): void {
  const rows = figures.map(({ sites, contender, pssBytes: bytes, processes }) => {
    const peer = figures.find((each) => each.sites === sites)?.pssBytes ?? Number.NaN
    return [
      contender,
      String(sites),
      String(processes),
      megabytes(bytes),
      megabytes(bytes / sites),
      (bytes / peer).toFixed(3),
    ]
  })
  console.log('\nTiny Fastify sites, all visited:\n')
  printTable(['', 'sites', 'processes', 'PSS', 'a site', '× Node processes'], rows)
}
