/**
 * What it costs that requests come and go: in a `Map`, and in the table that vhostel keeps them in.
 *
 *     node bench/id-table.ts
 *
 * Each has a process of its own, because collections are counted: 40 things of 1 KB each are in it at a time, and every
 * change puts one in and takes the oldest out, for three seconds. What is not looked at: anything else that a request does.
 */
import { spawnSync } from 'node:child_process'
import type { PerformanceEntry } from 'node:perf_hooks'
import { constants, PerformanceObserver } from 'node:perf_hooks'
import { getHeapSpaceStatistics } from 'node:v8'
import { IdTable } from '../src/core/id-table.ts'
import { printTable, whole } from './table.ts'

const FOR_MS = 3_000
const THERE_AT_A_TIME = 40
const CHANGES_A_TURN = 2_000
const FIELDS = 128
const NAMES = ['Map', 'IdTable'] as const

interface Collected {
  changes: number
  minor: number
  major: number
  oldMb: number
}

async function churn(table: Map<number, object> | IdTable<object>): Promise<Collected> {
  const found = { changes: 0, minor: 0, major: 0, oldMb: 0 }
  const observer = new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries() as (PerformanceEntry & { detail: { kind: number } })[]) {
      if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) found.minor++
      else found.major++
    }
  })
  observer.observe({ entryTypes: ['gc'] })
  const end = performance.now() + FOR_MS
  let id = 0
  while (performance.now() < end) {
    for (let turn = 0; turn < CHANGES_A_TURN; turn++) {
      table.set(++id, new Array(FIELDS).fill(id))
      table.delete(id - THERE_AT_A_TIME)
    }
    const old = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')
    found.oldMb = Math.max(found.oldMb, (old?.space_used_size ?? 0) / 1e6)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { ...found, changes: id }
}

/** In a process with the young generation of the dispatcher (bin/vhostel.js). */
function measure(name: string): Collected {
  const { stdout } = spawnSync(process.execPath, ['--max-semi-space-size=8', import.meta.filename, name])
  return JSON.parse(stdout.toString()) as Collected
}

const [name] = process.argv.slice(2)
if (name !== undefined) {
  console.log(JSON.stringify(await churn(name === 'Map' ? new Map<number, object>() : new IdTable<object>())))
} else {
  const rows = NAMES.map((each) => {
    const { changes, minor, major, oldMb } = measure(each)
    return [each, whole(changes / (FOR_MS / 1000)), String(minor), String(major), oldMb.toFixed(0)]
  })
  printTable(['', 'changes/s', 'minor collections', 'major', 'old generation, at most, MB'], rows)
}
