/**
 * The table of faults, docs/isolation.md:
 *
 *     node bench/chaos/chaos.ts [fault…] [--quick] [--alone] [--vhostel path/to/bin/vhostel.js]
 *
 * Twenty sites are visited while one more does each of the faults in turn, each in a vhostel of its own; then the same
 * with one shared in-process dispatcher, started afresh for every fault (`--alone`: without that). Some minutes; `--quick`:
 * shorter trials. What is tried is this checkout, compiled as it is published; `--vhostel` takes another one. Prints the
 * table, writes bench/results/*-chaos.json, ends with 1 when something was not as it should be. Linux only.
 *
 * Limits: 10,000 open requests are as many as `ulimit -n` lets there be, in the server and in its visitors.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { buildVhostel } from '../built.ts'
import { describeMachine, thisMachine } from '../machine.ts'
import { showProgress } from '../progress.ts'
import { startCluster } from './cluster-contender.ts'
import type { Contender } from './contender.ts'
import type { Fault } from './fault.ts'
import { FAULTS } from './faults.ts'
import { neighbourSites } from './neighbour-site.ts'
import { warmUp } from './neighbours.ts'
import type { Row } from './report.ts'
import { printReport, problemsOf, rowOf } from './report.ts'
import type { Trial, TrialPlan } from './trial.ts'
import { tryFault } from './trial.ts'
import { startVhostel } from './vhostel-contender.ts'

const NEIGHBOURS = 20
/** Some tenth of what two cores can do. */
const PER_SECOND = 400
const RESULTS = join(import.meta.dirname, '../results')
const BACK_MS = 15_000
/** The next one gets a server in which the neighbours are spread over all threads again: the pool fills one before the next. */
const FAULTS_PER_SERVER = 1

type Times = Pick<TrialPlan, 'calmMs' | 'faultMs' | 'backMs' | 'patienceMs'>

/** Enough requests before the fault for a p99, and enough time with it for every step. */
const FULL: Times = { calmMs: 2_000, faultMs: 4_000, backMs: BACK_MS, patienceMs: 20_000 }
const QUICK: Times = { calmMs: 1_500, faultMs: 2_000, backMs: BACK_MS, patienceMs: 20_000 }
/** It is known soon how that goes. */
const PEER: Times = { calmMs: 500, faultMs: 2_000, backMs: 500, patienceMs: 1_500 }

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      alone: { type: 'boolean', default: false },
      vhostel: { type: 'string' },
    },
  })
  const unknown = positionals.find((name) => !FAULTS.some((fault) => fault.name === name))
  if (unknown !== undefined) {
    console.error(`no fault is called '${unknown}': there are ${FAULTS.map(({ name }) => name).join(', ')}`)
    process.exitCode = 1
    return
  }
  const faults = FAULTS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
  const machine = thisMachine()
  console.log(describeMachine(machine))
  using built = values.vhostel === undefined ? await buildVhostel() : undefined
  const command = built?.command ?? resolve(values.vhostel ?? '')
  const rows = await tryAll(command, faults, { quick: values.quick, alone: values.alone })
  printReport(rows)
  writeResult({ machine, options: values, rows })
  if (rows.some(({ vhostel }) => problemsOf(vhostel).length > 0)) process.exitCode = 1
}

async function tryAll(
  command: string,
  faults: readonly Fault[],
  { quick, alone }: { quick: boolean; alone: boolean },
): Promise<Row[]> {
  const trials = await tryInVhostel(command, faults, quick ? QUICK : FULL)
  const rows: Row[] = []
  for (const [index, fault] of faults.entries()) {
    const trial = trials[index]
    if (trial !== undefined) rows.push(rowOf(fault, trial, alone ? undefined : await tryInCluster(fault)))
  }
  return rows
}

/** A server for some faults; when it does not come back from one, the next gets another. */
async function tryInVhostel(command: string, faults: readonly Fault[], times: Times): Promise<Trial[]> {
  const trials: Trial[] = []
  const left = [...faults]
  while (left.length > 0) {
    await using server = await startVhostel(command, neighbourSites(NEIGHBOURS), left)
    await warmUp(server.port, server.neighbours)
    for (const fault of left.splice(0, FAULTS_PER_SERVER)) {
      showProgress(`vhostel: ${fault.name}`)
      const trial = await tryFault(fault, server, planFor(server, times))
      trials.push(trial)
      server.forget(fault)
      console.log(`${fault.name}: ${problemsOf(trial).join('; ') || 'as wanted'}`)
      if (trial.backMs === undefined || !(await answers(server))) {
        left.unshift(...faults.slice(trials.length, faults.length - left.length))
        break
      }
    }
  }
  showProgress('')
  return trials
}

async function tryInCluster(fault: Fault): Promise<Trial | undefined> {
  showProgress(`cluster: ${fault.name}`)
  await using server = await startCluster(neighbourSites(NEIGHBOURS), fault)
  await warmUp(server.port, server.neighbours)
  const trial = await tryFault(fault, server, planFor(server, PEER))
  showProgress('')
  return trial
}

function planFor({ neighbours, journal }: Contender, times: Times): TrialPlan {
  return { neighbours, perSecond: PER_SECOND, journal, ...times }
}

async function answers(server: Contender): Promise<boolean> {
  return warmUp(server.port, server.neighbours).then(
    () => true,
    () => false,
  )
}

function writeResult(result: object): void {
  mkdirSync(RESULTS, { recursive: true })
  const time = new Date().toISOString().slice(0, 19).replaceAll(':', '-')
  writeFileSync(join(RESULTS, `${time}-chaos.json`), `${JSON.stringify(result, undefined, 2)}\n`)
}

await main()
