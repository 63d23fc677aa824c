/**
 * A server with 10,000 enabled sites of which hardly any is visited, beside one with 10: how long it takes to start,
 * what it holds, and how long one change takes until a request meets it.
 */
import type { BenchOptions } from './bench-options.ts'
import { ask } from './contenders.ts'
import { pssBytes } from './process-tree.ts'
import { showProgress } from './progress.ts'
import { median, megabytes, printTable, whole } from './table.ts'
import type { SiteFolder, Vhostel } from './vhostel.ts'
import { makeSites, startVhostel } from './vhostel.ts'

const FEW = 10
const MANY = 10_000
const MANY_QUICKLY = 1_000
const LIVE_DEADLINE_MS = 60_000
/** Between two requests that look whether a change is live. */
const POLL_MS = 2
/** After the start, before memory is taken and anything is changed. */
const SETTLE_MS = 3_000
/** Between two changes: a person's pace, so that none is gathered with the one before it. */
const PAUSE_MS = 1_000
/** Answers with what its INI says, so that a request shows which INI is in force. */
const CODE = 'export default (request, response) => response.end(process.env.MARKER)\n'

type Change = 'a value in the INI of a site in use' | 'a domain more for a site not visited yet' | 'a site more'

export interface ManyFigures {
  sites: number
  /** From the start of the command to the first answer of a site, which is loaded for it. */
  firstAnswerMs: number
  /** Proportional set size of all processes while no site was visited. */
  idlePssBytes: number
  changes: { change: Change; medianMs: number; slowestMs: number }[]
}

export async function many(options: BenchOptions): Promise<{ figures: ManyFigures[]; verdicts: [] }> {
  const figures: ManyFigures[] = []
  for (const sites of [FEW, options.quick ? MANY_QUICKLY : MANY]) {
    showProgress(`${whole(sites)} sites enabled`)
    figures.push(await measure(sites, options))
    showProgress('')
  }
  printFigures(figures)
  return { figures, verdicts: [] }
}

async function measure(sites: number, options: BenchOptions): Promise<ManyFigures> {
  const firstAnswerMs = await timeToFirstAnswer(sites, options)
  await using server = await startVhostel({ ...options, sites, writeSite })
  await pause(SETTLE_MS)
  const idlePssBytes = pssBytes([server.pid])
  return { sites, firstAnswerMs, idlePssBytes, changes: await measureChanges(server, sites, options.quick ? 3 : 9) }
}

async function timeToFirstAnswer(sites: number, options: BenchOptions): Promise<number> {
  const folder = makeSites({ sites, writeSite })
  const startedAt = performance.now()
  await using server = await startVhostel({ ...options, sites }, folder)
  await answers(server, `site${sites}.test`, 'first')
  return performance.now() - startedAt
}

function writeSite(folder: SiteFolder, site: number): void {
  folder.writeModule(site, 'site.mjs', CODE)
  folder.writeIni(site, iniLines('first'))
}

function iniLines(marker: string): string {
  return `module = site.mjs\ntype = handler\n[env]\nMARKER = ${marker}`
}

async function measureChanges(server: Vhostel, sites: number, times: number): Promise<ManyFigures['changes']> {
  const tookMs: Record<Change, number[]> = {
    'a value in the INI of a site in use': [],
    'a domain more for a site not visited yet': [],
    'a site more': [],
  }
  await answers(server, 'site1.test', 'first')
  for (let time = 1; time <= times; time++) {
    const marker = `marker${time}`
    tookMs['a value in the INI of a site in use'].push(
      await change(server, 'site1.test', marker, (folder) => folder.writeIni(1, iniLines(marker))),
    )
    tookMs['a domain more for a site not visited yet'].push(
      await change(server, `more${time}.test`, 'first', (folder) =>
        folder.writeIni(2, iniLines('first'), `site2.test more${time}.test`),
      ),
    )
    tookMs['a site more'].push(
      await change(server, `site${sites + time}.test`, 'first', (folder) => {
        writeSite(folder, sites + time)
        folder.enable(sites + time)
      }),
    )
  }
  return Object.entries(tookMs).map(([name, all]) => ({
    change: name as Change,
    medianMs: median(all),
    slowestMs: Math.max(...all),
  }))
}

/** Makes a change. @returns ms until a request to `host` is answered with `body` */
async function change(
  server: Vhostel,
  host: string,
  body: string,
  make: (folder: SiteFolder) => void,
): Promise<number> {
  await pause(PAUSE_MS)
  const startedAt = performance.now()
  make(server.folder)
  await answers(server, host, body)
  return performance.now() - startedAt
}

async function answers(server: Vhostel, host: string, body: string): Promise<void> {
  const deadline = performance.now() + LIVE_DEADLINE_MS
  for (;;) {
    const answer = await ask(server.port, host)
    if (answer === body) return
    if (performance.now() > deadline) throw new Error(`${host} still answers ${answer}`)
    await pause(POLL_MS)
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function printFigures(figures: readonly ManyFigures[]): void {
  const rows = [
    ['from the command to the first answer', ...figures.map(({ firstAnswerMs }) => `${whole(firstAnswerMs)} ms`)],
    ['memory while no site was visited (PSS)', ...figures.map(({ idlePssBytes }) => megabytes(idlePssBytes))],
    ...(figures[0]?.changes ?? []).map(({ change: name }) => [
      `${name}, until live: median (slowest)`,
      ...figures.map(({ changes }) => {
        const found = changes.find((each) => each.change === name)
        return `${whole(found?.medianMs ?? Number.NaN)} ms (${whole(found?.slowestMs ?? Number.NaN)})`
      }),
    ]),
  ]
  console.log('\nMany sites enabled:\n')
  printTable(['', ...figures.map(({ sites }) => `${whole(sites)} sites`)], rows)
}
