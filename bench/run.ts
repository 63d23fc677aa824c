/**
 * The figures of docs/performance.md:
 *
 *     node bench/run.ts [throughput] [sites] [memory] [many] [cold] [cache] [static] [--quick] [--vhostel path/to/vhostel.js]
 *
 * Without a name, all, in some 30 minutes; `--quick` in some 5. What is measured is this checkout, compiled as it is
 * published; `--vhostel` takes another one, as it is. Prints tables, writes bench/results/*.json. Linux only. What was
 * wanted and not reached is said; it is no failure, because a figure of one run on one machine is none.
 *
 * Timings on a shared machine differ by up to 40 % between runs: compare only what is in one table.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { BenchOptions, Verdict } from './bench-options.ts'
import { buildVhostel } from './built.ts'
import { cache } from './cache.ts'
import { cold } from './cold.ts'
import { describeMachine, missingTools, thisMachine } from './machine.ts'
import { many } from './many.ts'
import { memory } from './memory.ts'
import { staticFiles } from './static.ts'
import { printTable } from './table.ts'
import { sites, throughput } from './throughput.ts'

type Bench = (options: BenchOptions) => Promise<{ figures: object[]; verdicts: Verdict[] }>

const BENCHES: Record<string, Bench> = { throughput, sites, memory, many, cold, cache, static: staticFiles }
const RESULTS = join(import.meta.dirname, 'results')

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: 'boolean', default: false }, vhostel: { type: 'string' } },
  })
  const unknown = positionals.find((name) => !Object.hasOwn(BENCHES, name))
  if (unknown !== undefined)
    return fail(`no bench is called '${unknown}': there are ${Object.keys(BENCHES).join(', ')}`)
  const missing = missingTools({ wrk: 'wrk', nginx: 'nginx-light' })
  if (missing !== undefined) return fail(missing)
  if (values.vhostel !== undefined) {
    return runBenches(positionals, { quick: values.quick, command: resolve(values.vhostel) })
  }
  using built = await buildVhostel()
  await runBenches(positionals, { quick: values.quick, command: built.command })
}

function fail(message: string): void {
  console.error(message)
  process.exitCode = 1
}

async function runBenches(names: readonly string[], options: BenchOptions): Promise<void> {
  const machine = thisMachine()
  console.log(describeMachine(machine))
  const verdicts: Verdict[] = []
  for (const [name, bench] of Object.entries(BENCHES)) {
    if (names.length > 0 && !names.includes(name)) continue
    const found = await bench(options)
    verdicts.push(...found.verdicts)
    writeResult(name, { machine, options, ...found })
  }
  if (verdicts.length === 0) return
  console.log()
  printTable(
    ['wanted', 'found'],
    verdicts.map(({ what, text }) => [what, text]),
  )
}

function writeResult(name: string, result: object): void {
  mkdirSync(RESULTS, { recursive: true })
  const time = new Date().toISOString().slice(0, 19).replaceAll(':', '-')
  writeFileSync(join(RESULTS, `${time}-${name}.json`), `${JSON.stringify(result, undefined, 2)}\n`)
}

await main()
