/**
 * Keeps requests as the replay needs them: when each arrived, how long it took, whose it was. Whole runs of requests
 * ("stretches"), because a queue is made by those that come close together, which a random sample of them would lose.
 *
 * Limits: `MAX_STRETCHES` stretches of at most `LENGTH` requests, 10 bytes each: 5.2 MB, reached only by a server that had
 * half a million requests. When all are in use the one that is missed least makes room: where the gap that it would leave is
 * smallest for its age. So the last ten minutes are covered evenly, and what is older more and more thinly.
 *
 * Invariant: `first` numbers are those of all requests ever finished, so how many each kept stretch stands for is exact.
 */
import type { ArrivalStretch } from '../core/advice-report.ts'
import type { Flow } from './flow.ts'

const LENGTH = 4096
const MAX_STRETCHES = 128
/** A stretch ends after this time at the latest: times in it are float32, and shall be exact to 0.1 ms. */
const MAX_SPAN_MS = 600_000
/** Up to this age all stretches are equally worth keeping. */
const EVEN_MS = 600_000
const MAX_AGE_MS = 86_400_000

interface Stretch {
  /** Of the first finish, and of the last one. */
  fromMs: number
  toMs: number
  /** Which finished request its first one was, counted from the start of the recorder. */
  first: number
  count: number
  readonly flows: [pool: string, site: string][]
  readonly arrived: Float32Array
  readonly service: Float32Array
  readonly flow: Uint16Array
}

export class Stretches {
  readonly #kept: Stretch[] = []
  #open: Stretch
  #serial = 1
  /** Requests that were recorded, kept or not. */
  #finished = 0

  constructor(nowMs: number) {
    this.#open = emptyStretch(nowMs, 0)
  }

  /** A request has ended now. `nowMs` never goes back. */
  record(flow: Flow, nowMs: number, arrivedMs: number, serviceMs: number): void {
    let open = this.#open
    if (open.count === LENGTH || nowMs - open.fromMs >= MAX_SPAN_MS) open = this.#next(nowMs)
    if (flow.stretch !== this.#serial) {
      flow.stretch = this.#serial
      flow.number = open.flows.push([flow.pool.name, flow.site]) - 1
    }
    const index = open.count++
    open.arrived[index] = arrivedMs - open.fromMs
    open.service[index] = serviceMs
    open.flow[index] = flow.number
    open.toMs = nowMs
    this.#finished++
  }

  /** What was kept of the time since `fromMs`, oldest first. @param originMs what is taken off every time stamp */
  since(fromMs: number, originMs: number): ArrivalStretch[] {
    const all = [...this.#kept, this.#open].filter((stretch) => stretch.count > 0 && stretch.toMs > fromMs)
    return all.map((stretch, index) => {
      const before = all[index - 1]
      return {
        fromMs: stretch.fromMs - originMs,
        toMs: stretch.toMs - originMs,
        follows: (before === undefined ? 0 : before.first + before.count) === stretch.first,
        represents: (all[index + 1]?.first ?? this.#finished) - stretch.first,
        flows: stretch.flows,
        count: stretch.count,
        columns: packColumns(stretch),
      }
    })
  }

  #next(nowMs: number): Stretch {
    const kept = this.#kept
    const full = this.#open
    this.#serial++
    if (full.count > 0) kept.push(full.count < LENGTH ? shortened(full) : full)
    while (kept[0] !== undefined && kept[0].toMs < nowMs - MAX_AGE_MS) kept.shift()
    const free = kept.length >= MAX_STRETCHES ? kept.splice(leastMissed(kept, nowMs), 1)[0] : undefined
    this.#open =
      free?.arrived.length === LENGTH ? reused(free, nowMs, this.#finished) : emptyStretch(nowMs, this.#finished)
    return this.#open
  }
}

/** Index of the stretch that may go: neither the oldest nor the newest. */
function leastMissed(kept: readonly Stretch[], nowMs: number): number {
  let best = 1
  let bestLoss = Number.POSITIVE_INFINITY
  for (let index = 1; index < kept.length - 1; index++) {
    const gapMs = (kept[index + 1] as Stretch).fromMs - (kept[index - 1] as Stretch).toMs
    const loss = gapMs / Math.max(nowMs - (kept[index] as Stretch).toMs, EVEN_MS)
    if (loss >= bestLoss) continue
    best = index
    bestLoss = loss
  }
  return best
}

function emptyStretch(nowMs: number, first: number): Stretch {
  return {
    fromMs: nowMs,
    toMs: nowMs,
    first,
    count: 0,
    flows: [],
    arrived: new Float32Array(LENGTH),
    service: new Float32Array(LENGTH),
    flow: new Uint16Array(LENGTH),
  }
}

/** The memory of one that is not kept, for the next. */
function reused(stretch: Stretch, nowMs: number, first: number): Stretch {
  return { ...stretch, fromMs: nowMs, toMs: nowMs, first, count: 0, flows: [] }
}

/** One that ended by its span holds no more memory than it needs. */
function shortened(stretch: Stretch): Stretch {
  const { count } = stretch
  return {
    ...stretch,
    arrived: stretch.arrived.slice(0, count),
    service: stretch.service.slice(0, count),
    flow: stretch.flow.slice(0, count),
  }
}

function packColumns({ count, arrived, service, flow }: Stretch): string {
  const bytes = Buffer.allocUnsafe(count * 10)
  bytes.set(new Uint8Array(arrived.buffer, arrived.byteOffset, count * 4), 0)
  bytes.set(new Uint8Array(service.buffer, service.byteOffset, count * 4), count * 4)
  bytes.set(new Uint8Array(flow.buffer, flow.byteOffset, count * 2), count * 8)
  return bytes.toString('base64')
}
