/**
 * What a stored answer costs: one site of 18 bytes of JSON, asked for with `cache = on` and without,
 * beside bare `node:http` that answers the same body. A client here takes no compression.
 */
import type { BenchOptions, Verdict } from './bench-options.ts'
import type { Contender } from './contenders.ts'
import { bareNode } from './contenders.ts'
import type { Figures } from './rounds.ts'
import { runRounds, warmUp } from './rounds.ts'
import { milliseconds, printTable, verdict, whole } from './table.ts'
import type { SiteFolder } from './vhostel.ts'
import { startVhostel } from './vhostel.ts'

const HEAD = ['', 'requests/s', 'slowest – fastest round', 'CPU µs/request', 'p50', 'p99']

const SITE = `export default (req, res) => {
  const body = '{"hello":"world!"}'
  res.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'content-length': body.length, 'cache-control': 'max-age=86400' })
  res.end(body)
}
`

/** One module that says how long its answer is good, stored and not. */
export async function cache(options: BenchOptions): Promise<{ figures: Figures[]; verdicts: Verdict[] }> {
  await using stack = new AsyncDisposableStack()
  const bare = stack.use(await bareNode())
  const contenders = [bare, await serve(stack, options, 'no'), await serve(stack, options, 'yes')]
  await warmUp(contenders, 1, options.quick ? 2 : 5)
  const plan = { sites: 1, connections: 64, rounds: options.quick ? 3 : 7, seconds: options.quick ? 1 : 4 }
  const figures = await runRounds(contenders, plan)
  printFigures(figures)
  return {
    figures,
    verdicts: [
      compare('stored ÷ not stored, requests/s', figures, (one) => one.perSecond, 2, 1, 2),
      compare('not stored ÷ stored, CPU/request', figures, (one) => one.cpuUs, 1, 2, 2),
      compare('stored ÷ bare node:http, requests/s', figures, (one) => one.perSecond, 2, 0, 1),
    ],
  }
}

async function serve(
  stack: AsyncDisposableStack,
  { command }: BenchOptions,
  isStored: 'yes' | 'no',
): Promise<Contender> {
  const writeSite = (folder: SiteFolder, site: number): void => {
    folder.writeModule(site, 'site.mjs', SITE)
    folder.writeIni(site, `module = site.mjs\ntype = handler\ncache = ${isStored}`)
  }
  const running = stack.use(await startVhostel({ sites: 1, command, writeSite }))
  return {
    name: isStored === 'yes' ? 'vhostel, stored' : 'vhostel, not stored',
    port: running.port,
    sitePorts: [],
    pids: [running.pid],
    [Symbol.asyncDispose]: async () => {},
  }
}

function printFigures(figures: readonly Figures[]): void {
  const rows = figures.map((each) => [
    each.contender,
    whole(each.perSecond),
    `${whole(each.slowest)} – ${whole(each.fastest)}`,
    each.cpuUs.toFixed(1),
    milliseconds(each.p50Us),
    milliseconds(each.p99Us),
  ])
  console.log('\nOne answer, 64 connections:\n')
  printTable(HEAD, rows)
}

function compare(
  what: string,
  figures: readonly Figures[],
  of: (one: Figures) => number,
  ours: number,
  theirs: number,
  least: number,
): Verdict {
  const [one, other] = [figures[ours], figures[theirs]]
  const ratio = one === undefined || other === undefined ? Number.NaN : of(one) / of(other)
  return { what, ratio, text: verdict(ratio, { least }) }
}
