/**
 * Situations of a server as its recorder would have them after ten minutes, made up request by request.
 */
import { randomNumbers } from '../../src/advice/access-log.ts'
import { Recorder } from '../../src/advice/recorder.ts'
import type { ThreadMark } from '../../src/advice/thread-mark.ts'
import type { AdviceSnapshot } from '../../src/core/advice-report.ts'
import { exponential } from './queues.ts'

export interface SiteLoad {
  name: string
  perSecond: number
  /** Mean time of a request, exponential; the part of it that the event loop is busy, and of that the processor. */
  serviceMs: number
  loopShare: number
  cpuShare: number
  /** Every `blockEvery`th request keeps the thread from coming round for so long. */
  block?: { every: number; forMs: number }
  /** The queue's wait of each request. */
  waitMs?: number
  /** The first so many came while it was not loaded, and waited for that. */
  cold?: { requests: number; waitMs: number }
  preload?: true
  refused?: number
  memoryBytes?: number
  maxThreads?: number
}

export interface Situation {
  threads: number
  processes: number
  concurrency: number
  sites: SiteLoad[]
}

export const START_MS = Date.parse('2026-03-02T10:00:00')
const LENGTH_MS = 600_000
const SAMPLE_MS = 1000
export const MEGABYTE = 1024 ** 2

/** What a thread did: its event loop since its last sample, a processor since it began. */
interface Spent {
  loopMs: number
  cpuMs: number
}

interface Event {
  atMs: number
  run(): void
}

/** Ten minutes of it. Arrivals are Poisson, and go to the threads in turn. */
export function recorded({ threads, processes, concurrency, sites }: Situation): AdviceSnapshot {
  const recorder = new Recorder(0, START_MS)
  const pool = recorder.pool('default', concurrency, 0)
  const marks = Array.from({ length: threads }, () => recorder.thread(pool, 0))
  const spent: Spent[] = marks.map(() => ({ loopMs: 0, cpuMs: 0 }))
  const events = sites.flatMap((site, seed) => eventsOf(recorder, pool, marks, spent, site, seed + 1))
  for (let atMs = SAMPLE_MS; atMs < LENGTH_MS; atMs += SAMPLE_MS) {
    events.push({ atMs, run: () => sample(recorder, marks, spent, atMs) })
  }
  events.sort((a, b) => a.atMs - b.atMs)
  for (const event of events) if (event.atMs < LENGTH_MS) event.run()
  const snapshot = recorder.snapshot({
    nowMs: LENGTH_MS,
    windowMs: LENGTH_MS,
    machine: { cores: 2, memoryBytes: 8192 * MEGABYTE },
    pid: 1,
    processes: Array.from({ length: processes }, (_, index) => ({
      pid: 100 + index,
      pool: 'default',
      threads: threads / processes,
      rssBytes: 120 * MEGABYTE,
    })),
  })
  const settings = new Map(
    sites.map(({ name, maxThreads, preload }) => [
      name,
      { ...(maxThreads !== undefined && { maxThreads }), ...(preload !== undefined && { preload }) },
    ]),
  )
  const withLimits = snapshot.sites.map((record) => ({ ...record, ...settings.get(record.site) }))
  return { ...snapshot, sites: withLimits }
}

function eventsOf(
  recorder: Recorder,
  pool: ReturnType<Recorder['pool']>,
  marks: readonly ThreadMark[],
  spent: readonly Spent[],
  site: SiteLoad,
  seed: number,
): Event[] {
  const flow = recorder.flow(pool, site.name)
  const random = randomNumbers(seed)
  const events: Event[] = []
  let count = 0
  for (let atMs = 0; atMs < LENGTH_MS; atMs += exponential(1000 / site.perSecond)(random)) {
    const index = count++ % marks.length
    const mark = marks[index] as ThreadMark
    const serviceMs = exponential(site.serviceMs)(random)
    const wasCold = count <= (site.cold?.requests ?? 0)
    const startMs = atMs + ((wasCold ? site.cold?.waitMs : site.waitMs) ?? 0)
    const { block } = site
    const computes = (): void => {
      const own = spent[index] as Spent
      own.loopMs += (serviceMs * site.loopShare) / 2
      own.cpuMs += (serviceMs * site.loopShare * site.cpuShare) / 2
    }
    const ends = (): void => {
      computes()
      recorder.finished(flow, mark, startMs + serviceMs, atMs, startMs, wasCold)
    }
    const starts = (): void => {
      computes()
      recorder.started(flow, mark, startMs)
    }
    events.push(
      { atMs, run: () => recorder.arrived(flow, atMs) },
      { atMs: startMs, run: starts },
      { atMs: startMs + serviceMs, run: ends },
    )
    if (block !== undefined && count % block.every === 0)
      events.push({ atMs: startMs, run: () => recorder.blocked(flow, startMs, block.forMs) })
  }
  for (let index = 0; index < (site.refused ?? 0); index++)
    events.push({ atMs: 1, run: () => recorder.refused(flow, 1) })
  const { memoryBytes } = site
  if (memoryBytes !== undefined) events.push({ atMs: 1, run: () => recorder.memory(flow, 1, memoryBytes) })
  return events
}

/** What a supervisor would have measured. */
function sample(recorder: Recorder, marks: readonly ThreadMark[], spent: readonly Spent[], atMs: number): void {
  for (const [index, mark] of marks.entries()) {
    const own = spent[index] as Spent
    recorder.sampled(mark, atMs, own.loopMs, own.cpuMs)
    own.loopMs = 0
  }
}
