/**
 * Looks for faults by chance: one server with sites of every kind, visited in every way, while an operator edits, reloads,
 * kills and faults; a model says what each answer may be.
 *
 *     node bench/soak/soak.ts [--seed N] [--minutes M] [--rate R] [--actions PATTERN] [--vhostel path/to/bin/vhostel.js]
 *         [--keep folder-for-logs]
 *
 * `--actions` names, as a regular expression, the only things that are done besides the visits. Prints what is done, and what was not as it should be; ends with 1 then. The order of actions is the seed's; their times are the machine's, so a seed
 * finds a fault more often than others, not always. Linux only.
 */
import { cpSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { baseline, calmDown, endServer, tellMemory } from './aftermath.ts'
import { DomainActions } from './domain-actions.ts'
import { operate } from './operator.ts'
import { Random } from './random.ts'
import { judge, Record } from './record.ts'
import { ServerActions } from './server-actions.ts'
import { SiteActions } from './site-actions.ts'
import type { SoakSite } from './sites.ts'
import { plainAsk, SITES } from './sites.ts'
import { Tools } from './tools.ts'
import { Visitors } from './visitors.ts'
import { World } from './world.ts'

const COMMAND = resolve(import.meta.dirname, '../../bin/vhostel.js')
const MS_PER_MINUTE = 60_000
const MAX_TOLD = 60

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: String(Date.now() % 100_000) },
      minutes: { type: 'string', default: '1' },
      actions: { type: 'string', default: '' },
      rate: { type: 'string', default: '40' },
      vhostel: { type: 'string', default: COMMAND },
      keep: { type: 'string' },
    },
  })
  const seed = Number(values.seed)
  console.log(`seed ${seed}`)
  const world = new World()
  const record = new Record()
  world.onEnd = (output) => {
    console.log(`the server ended by itself: ${output}`)
    record.problem('the server ended by itself')
  }
  await world.start(resolve(values.vhostel))
  const visitors = new Visitors(world, record, new Random(seed))
  const random = new Random(seed + 1)
  for (const site of SITES) await visitors.visit(site, plainAsk(site))
  const before = await baseline(world)
  visitors.start(Number(values.rate))
  const tools = new Tools(world, record, visitors, random)
  const all = [...new SiteActions(tools).all, ...new DomainActions(tools).all, ...new ServerActions(tools).all]
  const actions = all.filter(({ name }) => new RegExp(values.actions).test(name))
  const stopTelling = tellMemory(world)
  await operate(actions, tools, AbortSignal.timeout(Number(values.minutes) * MS_PER_MINUTE))
  await delay(1_000)
  await visitors.stop()
  await calmDown(world, record, visitors, before)
  stopTelling()
  await endServer(world, record)
  if (values.keep !== undefined) cpSync(`${world.folder}/log`, values.keep, { recursive: true })
  report(record)
  for (const child of world.upstreams.values()) await child.stop()
}

/** Prints what was not as it should be. */
function report(record: Record): void {
  const named = (which: (site: SoakSite) => boolean): Set<string> =>
    new Set(SITES.filter(which).map(({ name }) => name))
  const offenders = named(({ isOffender }) => isOffender)
  const problems = [
    ...record.problems,
    ...judge(
      record,
      offenders,
      named(({ isRated }) => isRated),
    ),
  ]
  const { visits, events } = record
  const right = visits.filter(({ outcome }) => outcome === 'ok').length
  console.log(`${visits.length} visits, ${right} right; ${events.length} events; ${problems.length} problems`)
  for (const problem of problems.slice(0, MAX_TOLD)) console.log(problem)
  if (problems.length > 0) process.exitCode = 1
}

await main()
