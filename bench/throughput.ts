/**
 * One site of 18 bytes of JSON at 64, 1 and 256 connections, and with a connection for each request: bare `node:http`, Fastify
 * alone, vhostel, and nginx before one Node process. And 50 sites visited in turn: vhostel, and nginx before 50 Node processes.
 */
import type { BenchOptions, Verdict } from './bench-options.ts'
import { bareNode, fastifyAlone, nginxToNode, vhostel } from './contenders.ts'
import type { Figures, Plan } from './rounds.ts'
import { runRounds, warmUp } from './rounds.ts'
import { milliseconds, printTable, verdict, whole } from './table.ts'

const CONNECTIONS = [64, 1, 256]
const SITES = 50
const HEAD = ['', 'requests/s', '× first', 'slowest – fastest round', 'CPU µs/request', 'p50', 'p99']

/** What one site answers. */
export async function throughput(options: BenchOptions): Promise<{ figures: Figures[]; verdicts: Verdict[] }> {
  await using stack = new AsyncDisposableStack()
  const bare = stack.use(await bareNode())
  const fastify = stack.use(await fastifyAlone())
  const ours = stack.use(await vhostel(1, options))
  const nginx = stack.use(await nginxToNode(1))
  const contenders = [bare, fastify, ours, nginx]
  const all: Figures[] = []
  await warmUp(contenders, 1, options.quick ? 2 : 5)
  for (const connections of CONNECTIONS) {
    const figures = await runRounds(contenders, plan(options, 1, connections))
    printFigures(`One site, ${connections} connection${connections === 1 ? '' : 's'}`, figures)
    all.push(...figures)
  }
  const newcomers = await runRounds(contenders, { ...plan(options, 1, CONNECTIONS[0] as number), closes: true })
  printFigures(`One site, a connection for each request, ${CONNECTIONS[0]} at a time`, newcomers)
  all.push(...newcomers)
  const at64 = all.slice(0, contenders.length)
  return {
    figures: all,
    verdicts: [
      compare('vhostel ÷ bare node:http, requests/s at c=64', at64, 2, 0, 0.7),
      compare('vhostel ÷ nginx → Node, requests/s at c=64', at64, 2, 3, 1.3),
    ],
  }
}

/** What 50 sites answer, each asked in turn. */
export async function sites(options: BenchOptions): Promise<{ figures: Figures[]; verdicts: Verdict[] }> {
  await using stack = new AsyncDisposableStack()
  const bare = stack.use(await bareNode())
  const ours = stack.use(await vhostel(SITES, options))
  const nginx = stack.use(await nginxToNode(SITES))
  const contenders = [bare, ours, nginx]
  await warmUp(contenders, SITES, options.quick ? 2 : 5)
  const figures = await runRounds(contenders, plan(options, SITES, 64))
  printFigures(`${SITES} sites in turn, 64 connections`, figures)
  return {
    figures,
    verdicts: [compare(`vhostel ÷ nginx → ${SITES} Node processes, requests/s`, figures, 1, 2, 3)],
  }
}

function plan({ quick }: BenchOptions, siteCount: number, connections: number): Plan {
  return { sites: siteCount, connections, rounds: quick ? 3 : 7, seconds: quick ? 1 : 4 }
}

function printFigures(title: string, figures: readonly Figures[]): void {
  const first = figures[0]?.perSecond ?? Number.NaN
  const rows = figures.map((each) => [
    each.contender,
    whole(each.perSecond),
    (each.perSecond / first).toFixed(2),
    `${whole(each.slowest)} – ${whole(each.fastest)}`,
    each.cpuUs.toFixed(1),
    milliseconds(each.p50Us),
    milliseconds(each.p99Us),
  ])
  console.log(`\n${title}:\n`)
  printTable(HEAD, rows)
  const disturbed = figures.reduce((sum, each) => sum + each.disturbed, 0)
  if (disturbed > 0) console.log(`\n(${disturbed} of the loads were disturbed by other work on the machine)`)
}

function compare(what: string, figures: readonly Figures[], ours: number, theirs: number, least: number): Verdict {
  const ratio = (figures[ours]?.perSecond ?? 0) / (figures[theirs]?.perSecond ?? 0)
  return { what, ratio, text: verdict(ratio, { least }) }
}
