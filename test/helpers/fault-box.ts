/**
 * A box in which one site goes wrong while some others are visited. What is tried, and what counts as survived, is the
 * same as in `npm run chaos`; only the load is smaller.
 */
import assert from 'node:assert/strict'
import { readFileSync, readlinkSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Fault } from '../../bench/chaos/fault.ts'
import { SHORT_LIMITS } from '../../bench/chaos/faults.ts'
import { neighbourSites } from '../../bench/chaos/neighbour-site.ts'
import { warmUp } from '../../bench/chaos/neighbours.ts'
import type { Target, Trial } from '../../bench/chaos/trial.ts'
import { isPoolWhole, NOTE_PLACE, tryFault } from '../../bench/chaos/trial.ts'
import type { Box, SiteFixture } from './box.ts'
import { makeBox } from './box.ts'
import { treeOf } from './memory.ts'

const NEIGHBOURS = 6
const PER_SECOND = 150
const CALM_MS = 300
const PATIENCE_MS = 15_000
const FAULT_MS = 2_500
const BACK_DEADLINE_MS = 20_000
/** Until a worker process has noticed that its server is gone. */
const ORPHANS_DEADLINE_MS = 5_000
/** More visitors than a pool of this size takes at once, and than wait. */
const CROWD = 4_000
/** One thread a process, so that every site has neighbours in its own. */
const POOL = '[pool]\nprocesses = 2\nthreads = 1'
/** All visitors come from one address. */
const SERVER = 'max_connections_per_address = 0'

/** Starts a box for this fault, tries it, and fails when anything was not as it should be. */
export async function assertSurvived(t: TestContext, fault: Fault): Promise<Trial> {
  const sites = neighbourSites(NEIGHBOURS)
  const box = makeBox(t, {}, { server: SERVER, config: POOL })
  const journal = `${box.dir}/journal`
  const more = `[env]\nJOURNAL = ${journal}\n`
  box.write('journal', '')
  for (const { name, files } of sites) box.addSite(name, { files, more })
  box.addSite(fault.name, offender(box, fault, more))
  const workers = new Set<number>()
  t.after(() => assertNoneLeft(box, workers))
  await box.start()
  const names = sites.map(({ name }) => name)
  assert.deepEqual((await box.site(fault.name))?.problems, [])
  await warmUp(box.port, names)

  const tried = fault.crowd === undefined ? fault : { ...fault, crowd: Math.min(fault.crowd, CROWD) }
  const trial = await tryFault(tried, target(box, workers), {
    neighbours: names,
    perSecond: PER_SECOND,
    patienceMs: PATIENCE_MS,
    calmMs: CALM_MS,
    faultMs: FAULT_MS,
    journal,
    backMs: BACK_DEADLINE_MS,
  })
  const { breaches, ranTwice, failedGets } = trial.neighbours
  const { wrongAnswers, convicted, isLogged } = trial
  t.diagnostic(JSON.stringify({ ...trial, lines: [] }))

  assert.deepEqual(
    { breaches, ranTwice, failedGets, wrongAnswers, convicted, isLogged },
    { breaches: [], ranTwice: 0, failedGets: 0, wrongAnswers: [], convicted: [], isLogged: true },
    `${trial.lines.join('\n')}\n${JSON.stringify({ ...trial, lines: [] })}`,
  )
  assert.notEqual(trial.inSameThread, 0, 'no neighbour was in the thread of the site: nothing is proved')
  assert.notEqual(trial.backMs, undefined, `the pool was not whole again:\n${box.output.slice(-8_000)}`)
  return trial
}

function offender(box: Box, fault: Fault, env: string): SiteFixture {
  for (const [file, content] of Object.entries(fault.files ?? {})) box.write(`sites/${fault.name}/${file}`, content)
  return { files: { 'app.mjs': NOTE_PLACE + fault.code }, more: `type = handler\n${env}${SHORT_LIMITS}` }
}

/** Which of its processes it has had is noted in `workers`. */
function target(box: Box, workers: Set<number>): Target {
  const look = (): number[] => {
    const found = treeOf(box.pid).slice(1)
    for (const pid of found) workers.add(pid)
    return found
  }
  return {
    port: box.port,
    workers: look,
    isWhole: async () => isPoolWhole(await box.status()),
    log: () => {
      look()
      return box.output.split('\n')
    },
  }
}

/** After the server's end: fails when one of its worker processes has outlived it, and kills that one. */
export async function assertNoneLeft(box: Box, workers: ReadonlySet<number>): Promise<void> {
  const isLeft = (pid: number): boolean => {
    try {
      return readlinkSync(`/proc/${pid}/cwd`).startsWith(box.dir) && commandOf(pid).includes('supervisor')
    } catch {
      return false
    }
  }
  const left = (): number[] => [...workers].filter(isLeft)
  const deadline = performance.now() + ORPHANS_DEADLINE_MS
  while (left().length > 0 && performance.now() < deadline) await delay(20)
  const orphans = left()
  for (const pid of orphans) process.kill(pid, 'SIGKILL')
  assert.deepEqual(orphans, [], 'worker processes outlived their server')
}

function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
}
