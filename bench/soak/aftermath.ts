/** After the storm: whether the server is whole again, has given back what it took, and ends as it should. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { StatusReport } from '../../src/admin/reports.ts'
import { checkAccessLog, checkServerLog } from './logs.ts'
import type { Record } from './record.ts'
import { ranTwice } from './record.ts'
import type { SoakSite } from './sites.ts'
import { plainAsk, SITES } from './sites.ts'
import type { Visitors } from './visitors.ts'
import type { World } from './world.ts'
import { RUN_VARIABLE } from './world.ts'

const CALM_WITHIN_MS = 60_000
const TELL_EVERY_MS = 15_000
const GIVEN_BACK_WITHIN_MS = 30_000
/** Small numbers of descriptors come and go: files that are kept open, watches. */
const MORE_DESCRIPTORS = 12
const MORE_BYTES = 80 * 1024 ** 2

/** What stays in the run folder. */
const KEPT: ReadonlySet<string> = new Set(['commands', 'compile-cache'])

export interface Baseline {
  descriptors: Map<string, number>
  residentBytes: number
}

export async function baseline(world: World): Promise<Baseline> {
  await delay(500)
  return { descriptors: descriptorsOf(world.pid), residentBytes: residentBytes(world.pid) }
}

/** Prints now and then what the server takes. @returns to be called when that is enough */
export function tellMemory(world: World): () => void {
  const timer = setInterval(() => {
    const descriptors = [...descriptorsOf(world.pid).values()].reduce((sum, count) => sum + count, 0)
    console.log(`${Math.round(performance.now())} ms: ${inMb(residentBytes(world.pid))}, ${descriptors} descriptors`)
  }, TELL_EVERY_MS)
  return () => clearInterval(timer)
}

/** Waits until nothing is wrong, then compares. */
export async function calmDown(world: World, record: Record, visitors: Visitors, before: Baseline): Promise<void> {
  const deadline = performance.now() + CALM_WITHIN_MS
  let wrong = ['no status']
  while (wrong.length > 0 && performance.now() < deadline) {
    for (const site of SITES) await visitors.visit(site, plainAsk(site))
    await delay(1_000)
    const status = await world.status()
    wrong = status === undefined ? ['no status'] : wrongIn(status)
  }
  for (const each of wrong) record.problem(`after the storm: ${each}`)
  await Promise.all(SITES.map((site) => askAll(site, record, visitors)))
  await visitors.stop()
  await givenBack(world, record, before)
}

async function askAll(site: SoakSite, record: Record, visitors: Visitors): Promise<void> {
  for (const ask of new Set(site.asks)) {
    const { outcome, detail } = await visitors.visit(site, ask)
    if (outcome !== 'ok' && outcome !== 429)
      record.problem(`after the storm: ${site.name} ${ask}: ${outcome} ${detail}`)
  }
}

/** Kept connections, and memory, are given back some seconds after the last visitor. */
async function givenBack(world: World, record: Record, before: Baseline): Promise<void> {
  const deadline = performance.now() + GIVEN_BACK_WITHIN_MS
  let more = moreThan(before, world.pid)
  while (more.length > 0 && performance.now() < deadline) {
    await delay(1_000)
    more = moreThan(before, world.pid)
  }
  console.log(`memory ${inMb(before.residentBytes)} -> ${inMb(residentBytes(world.pid))}`)
  for (const each of more) record.problem(each)
}

function moreThan(before: Baseline, pid: number): string[] {
  const more: string[] = []
  for (const [what, count] of descriptorsOf(pid)) {
    const was = before.descriptors.get(what) ?? 0
    if (count > was + MORE_DESCRIPTORS) more.push(`descriptors: ${what} ${was} -> ${count}`)
  }
  const bytes = residentBytes(pid)
  if (bytes > before.residentBytes + MORE_BYTES) more.push(`memory: ${inMb(before.residentBytes)} -> ${inMb(bytes)}`)
  return more
}

function inMb(bytes: number): string {
  return `${Math.round(bytes / 1024 ** 2)} MB`
}

function wrongIn({ sites, pool, problems }: StatusReport): string[] {
  const wrong = problems.map((problem) => `vhostel.ini: ${problem}`)
  for (const site of sites) {
    const { name, state, inFlight, waiting } = site
    if (state !== 'live' && state !== 'idle') wrong.push(`${name} is ${state}: ${JSON.stringify(site)}`)
    if (inFlight !== 0 || waiting !== 0) wrong.push(`${name}: ${inFlight} in flight, ${waiting} waiting`)
    if (site.problems.length > 0) wrong.push(`${name}: ${site.problems.join()}`)
  }
  for (const { name, ready, least, processes } of pool.groups) {
    if (ready < least) wrong.push(`pool ${name}: ${ready} of ${least} threads`)
    for (const { threads } of processes) {
      for (const { thread, state, lateSince, inFlight } of threads) {
        // Threads are replaced in calm times too.
        if (state === 'retiring' && lateSince === undefined) continue
        if (state !== 'ready' || lateSince !== undefined || inFlight > 0)
          wrong.push(`thread ${thread} of ${name} is ${state}, late since ${lateSince}, ${inFlight} in flight`)
      }
    }
  }
  const names = new Set(sites.map(({ name }) => name))
  for (const { name } of SITES) if (!names.has(name)) wrong.push(`${name} is not there`)
  return wrong
}

/** Ends the server, and looks at what is left, and at what it wrote. */
export async function endServer(world: World, record: Record): Promise<void> {
  try {
    console.log(`ended in ${await world.end()} ms`)
  } catch (error) {
    record.problem((error as Error).message)
  }
  await delay(3_000)
  const upstreams = new Set([...world.upstreams.values()].map(({ pid }) => pid))
  for (const { pid, command } of processesOf(world.run)) {
    if (!upstreams.has(pid)) record.problem(`process ${pid} is left: ${command}`)
  }
  const run = join(world.folder, 'run')
  const left = existsSync(run) ? readdirSync(run).filter((name) => !KEPT.has(name)) : []
  if (left.length > 0) record.problem(`left in the run folder: ${left.join()}`)
  for (const twice of ranTwice(world.read('journal'))) record.problem(twice)
  checkAccessLog(world.folder, record)
  checkServerLog(world.folder, record)
}

function descriptorsOf(pid: number): Map<string, number> {
  const counts = new Map<string, number>()
  for (const fd of ifThere(() => readdirSync(`/proc/${pid}/fd`), [])) {
    const target = ifThere(() => readlinkSync(`/proc/${pid}/fd/${fd}`), '')
    const what = target.replace(/:\[\d+\]$/, '')
    counts.set(what, (counts.get(what) ?? 0) + 1)
  }
  return counts
}

function residentBytes(pid: number): number {
  return (
    Number(/^VmRSS:\s+(\d+) kB/m.exec(ifThere(() => readFileSync(`/proc/${pid}/status`, 'utf8'), ''))?.[1] ?? 0) * 1024
  )
}

function processesOf(run: string): { pid: number; command: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    const environment = ifThere(() => readFileSync(`/proc/${name}/environ`, 'utf8'), '')
    if (!environment.includes(`${RUN_VARIABLE}=${run}`)) return []
    return [
      {
        pid: Number(name),
        command: ifThere(() => readFileSync(`/proc/${name}/cmdline`, 'utf8'), '').replaceAll('\0', ' '),
      },
    ]
  })
}

function ifThere<T>(read: () => T, otherwise: T): T {
  try {
    return read()
  } catch {
    return otherwise
  }
}
