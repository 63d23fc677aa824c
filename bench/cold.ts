/**
 * What a site costs that nobody has used for a while: the time to its first byte when it is loaded again, and the memory
 * of two hundred that were visited once and then dropped, beside that of twenty.
 *
 * The first load of all sites compiles their code, and fills the compile cache that the loads measured here find.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchOptions, Verdict } from './bench-options.ts'
import { ask } from './contenders.ts'
import { cpuUs, pssBytes } from './process-tree.ts'
import { showProgress } from './progress.ts'
import { median, megabytes, printTable, verdict } from './table.ts'
import type { SiteFolder, Vhostel } from './vhostel.ts'
import { startVhostel } from './vhostel.ts'

const MOST = 200
const FEW = 20
const IDLE = '3s'
const DROP_DEADLINE_MS = 180_000
const LOOK_EVERY_MS = 250
/** A cold start is wanted within so many ms. */
const WANTED_MS = 150
const CPU_WINDOW_MS = 10_000
/** Then all that is not needed has been given back (docs/architecture.md). */
const CALM_MS = 25_000

export interface ColdFigures {
  coldMs: number[]
  warmMs: number[]
  /** By the number of sites, just after they were dropped. */
  pssBytes: Record<number, number>
  /** The same after `CALM_MS` without a request. */
  calmBytes: Record<number, number>
  /** Processor time of all processes in a second without requests, in ms. */
  idleCpuMs: number
}

export async function cold({ command, quick }: BenchOptions): Promise<{ figures: ColdFigures[]; verdicts: Verdict[] }> {
  const most = quick ? MOST / 4 : MOST
  const few = await idleMemory(command, FEW)
  const many = await idleMemory(command, most)
  const { coldMs, warmMs, idleCpuMs } = many
  const figures: ColdFigures = {
    coldMs,
    warmMs,
    idleCpuMs,
    pssBytes: { [FEW]: few.pssBytes, [most]: many.pssBytes },
    calmBytes: { [FEW]: few.calmBytes, [most]: many.calmBytes },
  }
  console.log('\nSites that nobody used for a while:\n')
  printTable(
    ['', 'figure'],
    [
      [
        'first byte of a site that is loaded again: median (slowest)',
        `${ms(median(coldMs))} (${ms(Math.max(...coldMs))})`,
      ],
      ['first byte of one that is loaded: median', ms(median(warmMs))],
      ...[FEW, most].map((sites) => [
        `memory when ${sites} sites were visited and dropped; calm`,
        `${megabytes(figures.pssBytes[sites] ?? 0)}; ${megabytes(figures.calmBytes[sites] ?? 0)}`,
      ]),
      ['processor time of all processes in a second without requests', ms(idleCpuMs)],
    ],
  )
  const ratio = many.calmBytes / few.calmBytes
  return {
    figures: [figures],
    verdicts: [
      {
        what: 'cold start of a tiny site ÷ 150 ms',
        ratio: median(coldMs) / WANTED_MS,
        text: verdict(median(coldMs) / WANTED_MS, { most: 1 }),
      },
      { what: `memory of ${most} idle sites ÷ ${FEW} idle ones, calm`, ratio, text: verdict(ratio, { most: 1.05 }) },
    ],
  }
}

async function idleMemory(
  command: string,
  sites: number,
): Promise<{ pssBytes: number; calmBytes: number; coldMs: number[]; warmMs: number[]; idleCpuMs: number }> {
  await using server = await startVhostel({ sites, command, writeSite: writeIdleSite })
  showProgress(`${sites} sites that nobody uses`)
  for (let site = 1; site <= sites; site++) await visitSite(server.port, site)
  await dropped(server)
  const pss = pssBytes([server.pid])
  await sleep(CALM_MS)
  const calmBytes = pssBytes([server.pid])
  const idleCpuMs = await cpuPerSecond(server)
  const coldMs: number[] = []
  const warmMs: number[] = []
  for (let site = 1; site <= Math.min(sites, FEW); site++) {
    coldMs.push(await visitSite(server.port, site))
    warmMs.push(await visitSite(server.port, site))
  }
  showProgress('')
  return { pssBytes: pss, calmBytes, coldMs, warmMs, idleCpuMs }
}

function writeIdleSite(folder: SiteFolder, site: number): void {
  folder.writeModule(site, 'site.mjs', "export default async (app) => { app.get('/', () => ({ message: 'hello' })) }\n")
  folder.writeIni(site, `module = site.mjs\ntype = fastify\nidle = ${IDLE}`)
}

/** Waits until no site is loaded and no thread more than at the start is there. */
async function dropped(server: Vhostel): Promise<void> {
  const deadline = performance.now() + DROP_DEADLINE_MS
  for (;;) {
    const { sites, pool } = await server.status()
    const isCalm = pool.groups.every(({ ready, size }) => ready === size)
    if (isCalm && sites.every(({ threads }) => threads === 0)) return
    if (performance.now() > deadline) throw new Error('sites that nobody uses were not dropped in time')
    await sleep(LOOK_EVERY_MS)
  }
}

async function cpuPerSecond(server: Vhostel): Promise<number> {
  const before = cpuMs(server)
  await sleep(CPU_WINDOW_MS)
  return ((cpuMs(server) - before) / CPU_WINDOW_MS) * 1000
}

function cpuMs({ pid }: Vhostel): number {
  return cpuUs([pid]) / 1000
}

/** @returns how long the whole answer took, in ms */
async function visitSite(port: number, site: number): Promise<number> {
  const from = performance.now()
  await ask(port, `site${site}.test`)
  return performance.now() - from
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`
}
