/** After the storm: whether the server is whole again, has given back what it took, and ends as it should. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { StatusReport } from '../../src/admin/reports.ts'
import { checkAccessLog, checkServerLog } from './logs.ts'
import type { Record } from './record.ts'
import { ranTwice } from './record.ts'
import { SITES } from './sites.ts'
import type { Visitors } from './visitors.ts'
import type { World } from './world.ts'
import { RUN_VARIABLE } from './world.ts'

const CALM_WITHIN_MS = 60_000
const ENDS_WITHIN_MS = 40_000
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

/** Waits until nothing is wrong, then compares. */
export async function calmDown(world: World, record: Record, visitors: Visitors, before: Baseline): Promise<void> {
  const deadline = performance.now() + CALM_WITHIN_MS
  let wrong = ['no status']
  while (wrong.length > 0 && performance.now() < deadline) {
    for (const site of SITES) await visitors.visit(site, site.kind === 'static' ? 'file' : 'get')
    await delay(1_000)
    const status = await world.status()
    wrong = status === undefined ? ['no status'] : wrongIn(status)
  }
  for (const each of wrong) record.problem(`after the storm: ${each}`)
  for (const site of SITES) {
    for (const ask of new Set(site.asks)) {
      const { outcome, detail } = await visitors.visit(site, ask)
      if (outcome !== 'ok' && outcome !== 429)
        record.problem(`after the storm: ${site.name} ${ask}: ${outcome} ${detail}`)
    }
  }
  await visitors.stop()
  compare(world, record, before)
}

function compare(world: World, record: Record, before: Baseline): void {
  const now = descriptorsOf(world.pid)
  for (const [what, count] of now) {
    const was = before.descriptors.get(what) ?? 0
    if (count > was + MORE_DESCRIPTORS) record.problem(`descriptors: ${what} ${was} -> ${count}`)
  }
  const bytes = residentBytes(world.pid)
  const text = (size: number): string => `${Math.round(size / 1024 ** 2)} MB`
  console.log(`memory ${text(before.residentBytes)} -> ${text(bytes)}`)
  if (bytes > before.residentBytes + MORE_BYTES)
    record.problem(`memory: ${text(before.residentBytes)} -> ${text(bytes)}`)
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
  const { child } = world
  const from = performance.now()
  process.kill(child.pid, 'SIGTERM')
  await Promise.race([child.ended, delay(ENDS_WITHIN_MS, undefined, { ref: false })])
  const tookMs = Math.round(performance.now() - from)
  if (child.exitCode !== 0)
    record.problem(`the server ended with ${child.exitCode} after ${tookMs} ms: ${child.output}`)
  console.log(`ended in ${tookMs} ms`)
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
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const target = ifThere(() => readlinkSync(`/proc/${pid}/fd/${fd}`), '')
    const what = target.replace(/:\[\d+\]$/, '')
    counts.set(what, (counts.get(what) ?? 0) + 1)
  }
  return counts
}

function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
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
