/**
 * A file of 1 KB and one of 100 KB at 64 connections: vhostel; nginx as its manual sets it up for files; and nginx before
 * a Node process that has the file in memory, which is the proxy hop that vhostel spares.
 *
 * What counts is the CPU time of a request (utime + stime of all processes). Others on the machine change that little, so
 * no quiet moment is waited for; the contenders take turns all the same.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BenchOptions, Verdict } from './bench-options.ts'
import type { Contender } from './contenders.ts'
import { nginxFiles, nginxToFile } from './contenders.ts'
import { cpuUs } from './process-tree.ts'
import { showProgress } from './progress.ts'
import { median, printTable, verdict, whole } from './table.ts'
import { removeFolder, temporaryFolder } from './temporary-folder.ts'
import type { SiteFolder } from './vhostel.ts'
import { startVhostel } from './vhostel.ts'
import { runWrk } from './wrk.ts'

const SIZES_KB = [1, 100]
const CONNECTIONS = 64
/** Part of nginx's speed that is wanted. */
const WANTED = 0.5

interface StaticFigures {
  contender: string
  kilobytes: number
  /** Medians over the rounds. */
  cpuUs: number
  perSecond: number
  /** Of the cheapest and the dearest round: how much of a difference is noise. */
  least: number
  most: number
}

/** What files cost. */
export async function staticFiles(options: BenchOptions): Promise<{ figures: StaticFigures[]; verdicts: Verdict[] }> {
  const figures: StaticFigures[] = []
  const verdicts: Verdict[] = []
  for (const kilobytes of SIZES_KB) {
    const found = await oneSize(kilobytes, options)
    printFigures(kilobytes, found)
    figures.push(...found)
    verdicts.push(compare(`nginx ÷ vhostel, CPU of a file of ${kilobytes} KB`, found, 1, WANTED))
    verdicts.push(compare(`nginx → Node ÷ vhostel, CPU of a file of ${kilobytes} KB`, found, 2, 1))
  }
  return { figures, verdicts }
}

async function oneSize(kilobytes: number, options: BenchOptions): Promise<StaticFigures[]> {
  await using stack = new AsyncDisposableStack()
  const folder = temporaryFolder('files')
  stack.defer(() => removeFolder(folder))
  const file = join(folder, 'index.html')
  writeFileSync(file, 'x'.repeat(kilobytes * 1024))
  const contenders = [
    stack.use(await vhostelFiles(folder, options)),
    stack.use(await nginxFiles(folder)),
    stack.use(await nginxToFile(file)),
  ]
  const seconds = options.quick ? 1 : 3
  for (const { port } of contenders) await runWrk({ port, sites: 1, connections: CONNECTIONS, seconds: 2 * seconds })
  const samples = contenders.map((): { cpuUs: number; perSecond: number }[] => [])
  const rounds = options.quick ? 3 : 7
  for (let round = 1; round <= rounds; round++) {
    for (const [at, contender] of contenders.entries()) {
      showProgress(`${kilobytes} KB, round ${round} of ${rounds}: ${contender.name}`)
      samples[at]?.push(await sample(contender, seconds))
    }
  }
  showProgress('')
  return contenders.map(({ name }, at) => summary(name, kilobytes, samples[at] ?? []))
}

async function sample({ port, pids }: Contender, seconds: number): Promise<{ cpuUs: number; perSecond: number }> {
  const before = cpuUs(pids)
  const { requests, perSecond } = await runWrk({ port, sites: 1, connections: CONNECTIONS, seconds })
  return { cpuUs: (cpuUs(pids) - before) / requests, perSecond }
}

function summary(contender: string, kilobytes: number, samples: { cpuUs: number; perSecond: number }[]): StaticFigures {
  const costs = samples.map((each) => each.cpuUs)
  const perSecond = median(samples.map((each) => each.perSecond))
  return { contender, kilobytes, cpuUs: median(costs), perSecond, least: Math.min(...costs), most: Math.max(...costs) }
}

/** One static site, everything as it comes. */
async function vhostelFiles(root: string, { command }: BenchOptions): Promise<Contender> {
  const writeSite = ({ path }: SiteFolder): void => {
    writeFileSync(join(path, 'sites-available/site1.ini'), `[site]\ndomains = site1.test\nroot = ${root}\n`)
  }
  const running = await startVhostel({ sites: 1, command, writeSite })
  const { pid, port } = running
  return {
    name: 'vhostel',
    port,
    sitePorts: [],
    pids: [pid],
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  }
}

function printFigures(kilobytes: number, figures: readonly StaticFigures[]): void {
  const rows = figures.map((each) => [
    each.contender,
    each.cpuUs.toFixed(1),
    `${each.least.toFixed(1)} – ${each.most.toFixed(1)}`,
    ((figures[1]?.cpuUs ?? Number.NaN) / each.cpuUs).toFixed(2),
    whole(each.perSecond),
  ])
  console.log(`\nA file of ${kilobytes} KB, ${CONNECTIONS} connections:\n`)
  printTable(['', 'CPU µs/request', 'least – most', 'nginx ÷ it', 'requests/s'], rows)
}

function compare(what: string, figures: readonly StaticFigures[], theirs: number, least: number): Verdict {
  const ratio = (figures[theirs]?.cpuUs ?? 0) / (figures[0]?.cpuUs ?? 0)
  return { what, ratio, text: verdict(ratio, { least }) }
}
