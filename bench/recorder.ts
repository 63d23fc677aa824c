/**
 * What the recorder costs a request. Run: `node bench/recorder.ts`
 *
 * Requests of many sites go through the four calls that the pool makes for each, in threads that become busy and idle all
 * the time (the dearest case), and through a pool that is never idle. The cost of going through them without any call is
 * measured alone and taken off. The figure is the median of rounds; the clock is made up, so no clock is read.
 */
import { randomNumbers } from '../src/advice/access-log.ts'
import { Recorder } from '../src/advice/recorder.ts'

const ROUNDS = 15
const REQUESTS = 200_000
const SITES = [1, 20, 200]
const THREADS = 4
/** Time between two requests, in ms: 20,000 requests/s. */
const STEP_MS = 0.05

interface Load {
  sites: number
  /** Requests that are in each thread besides: 0 makes it busy and idle with every request. */
  open: number
}

function nsPerRequest({ sites, open }: Load, isRecording: boolean): number {
  const recorder = new Recorder(0, 0)
  const pool = recorder.pool('default', 500, 0)
  const flows = Array.from({ length: sites }, (_, site) => recorder.flow(pool, `site${site}`))
  const threads = Array.from({ length: THREADS }, () => recorder.thread(pool, 0))
  const random = randomNumbers(7)
  const order = Uint16Array.from({ length: 4096 }, () => Math.floor(random() * sites))
  const times = Float64Array.from({ length: 4096 }, () => 0.2 - 3 * Math.log(1 - random()))
  const background = recorder.flow(pool, 'background')
  for (const thread of threads) for (let index = 0; index < open; index++) recorder.started(background, thread, 0)
  let nowMs = 0
  const startedAt = process.hrtime.bigint()
  for (let index = 0; index < REQUESTS; index++) {
    const flow = flows[order[index & 4095] as number]
    const thread = threads[index & (THREADS - 1)]
    const serviceMs = times[index & 4095] as number
    if (flow === undefined || thread === undefined) throw new Error('no such flow')
    nowMs += STEP_MS
    if (!isRecording) {
      sink += serviceMs + flow.number + thread.pool.busy
      continue
    }
    recorder.arrived(flow, nowMs)
    recorder.started(flow, thread, nowMs)
    recorder.finished(flow, thread, nowMs, nowMs - serviceMs, nowMs - serviceMs * 0.9)
  }
  return Number(process.hrtime.bigint() - startedAt) / REQUESTS
}

let sink = 0

function median(numbers: number[]): number {
  return numbers.sort((a, b) => a - b)[numbers.length >> 1] ?? 0
}

console.log('| sites | threads busy and idle at each request | threads always busy |')
console.log('|---:|---:|---:|')
for (const sites of SITES) {
  const cells = [0, 1].map((open) => {
    const costs: number[] = []
    for (let round = -2; round < ROUNDS; round++) {
      const cost = nsPerRequest({ sites, open }, true) - nsPerRequest({ sites, open }, false)
      if (round >= 0) costs.push(cost) // rounds below 0 warm up
    }
    return `${median(costs).toFixed(0)} ns`
  })
  console.log(`| ${sites} | ${cells.join(' | ')} |`)
}
const big = new Recorder(0, 0)
const pool = big.pool('default', 500, 0)
const flows = Array.from({ length: 200 }, (_, site) => big.flow(pool, `site${site}`))
const thread = big.thread(pool, 0)
for (let index = 0; index < 4_000_000; index++) {
  const nowMs = index * 20 // 22 hours
  const flow = flows[index % flows.length]
  if (flow === undefined) throw new Error('no such flow')
  big.arrived(flow, nowMs)
  big.started(flow, thread, nowMs)
  big.finished(flow, thread, nowMs, nowMs - 10 - (index % 97), nowMs - 10)
}
for (const windowMs of [3_600_000, 86_400_000]) {
  const times: number[] = []
  let bytes = 0
  for (let round = 0; round < 5; round++) {
    const startedAt = performance.now()
    const machine = { cores: 2, memoryBytes: 2 ** 34 }
    const snapshot = big.snapshot({ nowMs: 80_000_000, windowMs, machine, processes: [] })
    bytes = JSON.stringify(snapshot).length
    times.push(performance.now() - startedAt)
  }
  console.log(
    `\nsnapshot of ${windowMs / 3_600_000} h, 200 sites, as JSON: ${median(times).toFixed(0)} ms, ${(bytes / 1e6).toFixed(1)} MB`,
  )
}
process.exitCode = Number.isNaN(sink) ? 1 : 0
