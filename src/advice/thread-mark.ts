/**
 * The recorder's handle on one thread: which sites have requests in it, and how many since the last sample. When a sample
 * says how long the thread's event loop was busy, that time is divided among the sites.
 *
 * It is divided in proportion to the number of requests times what one of them costs (costs.ts). A request counts half at
 * its begin and half at its end.
 *
 * Invariant: what is given to sites adds up to what was measured; what no site had a request for is kept for the next
 * sample.
 */
import type { Count } from './costs.ts'
import type { Flow, PoolFlow } from './flow.ts'

interface Cell {
  open: number
  /** Requests begun, and ended, since the last sample. */
  started: number
  finished: number
}

export interface Share {
  flow: Flow
  loopMs: number
  cpuMs: number
}

export class ThreadMark {
  readonly pool: PoolFlow
  #inFlight = 0
  #gone = false
  readonly #cells = new Map<Flow, Cell>()
  #lastFlow: Flow | undefined
  #lastCell: Cell = newCell()
  #cpuTotalMs = 0
  /** Measured, and not yet divided. */
  readonly #left = { loopMs: 0, cpuMs: 0 }

  /** Made by `Recorder.thread`. */
  constructor(pool: PoolFlow, nowMs: number) {
    this.pool = pool
    pool.changeThreads(1, nowMs)
  }

  /** A request was handed to the thread. */
  started(flow: Flow, nowMs: number): void {
    if (this.#gone) return
    if (this.#inFlight++ === 0) this.pool.changeBusy(1, nowMs)
    const cell = this.#cell(flow)
    cell.open++
    cell.started++
  }

  /** A request that was handed to it is there no more, however it ended. */
  finished(flow: Flow, nowMs: number): void {
    if (this.#gone || this.#inFlight === 0) return
    if (--this.#inFlight === 0) this.pool.changeBusy(-1, nowMs)
    const cell = this.#cell(flow)
    cell.open--
    cell.finished++
  }

  /** The thread has ended. Whatever it had is lost; later calls do nothing. */
  gone(nowMs: number): void {
    if (this.#gone) return
    this.#gone = true
    if (this.#inFlight > 0) this.pool.changeBusy(-1, nowMs)
    this.pool.changeThreads(-1, nowMs)
    this.#cells.clear()
    this.#lastFlow = undefined
  }

  /**
   * Divides what was measured.
   *
   * @param loopMs busy time of the event loop since the last sample
   * @param cpuTotalMs processor time since the thread began
   */
  divide(loopMs: number, cpuTotalMs: number): Share[] {
    this.#left.loopMs += Math.max(0, loopMs)
    this.#left.cpuMs += Math.max(0, cpuTotalMs - this.#cpuTotalMs)
    this.#cpuTotalMs = cpuTotalMs
    const counts = this.#counts()
    if (counts.length === 0) return []
    this.pool.costs.learn(counts, this.#left.loopMs, this.#left.cpuMs)
    const loops = this.#split(counts, this.#left.loopMs, 'loop')
    const cpus = this.#split(counts, this.#left.cpuMs, 'cpu')
    this.#left.loopMs = 0
    this.#left.cpuMs = 0
    this.#forget()
    return counts.map(({ flow }, index) => ({ flow, loopMs: loops[index] as number, cpuMs: cpus[index] as number }))
  }

  #cell(flow: Flow): Cell {
    if (flow === this.#lastFlow) return this.#lastCell
    let cell = this.#cells.get(flow)
    if (cell === undefined) {
      cell = newCell()
      this.#cells.set(flow, cell)
    }
    this.#lastFlow = flow
    this.#lastCell = cell
    return cell
  }

  /** Requests of this sample; where none began or ended, those that are open. */
  #counts(): Count[] {
    const counts: Count[] = []
    const open: Count[] = []
    for (const [flow, cell] of this.#cells) {
      if (cell.started + cell.finished > 0) counts.push({ flow, count: (cell.started + cell.finished) / 2 })
      if (cell.open > 0) open.push({ flow, count: cell.open })
    }
    return counts.length > 0 ? counts : open
  }

  #split(counts: readonly Count[], totalMs: number, of: 'loop' | 'cpu'): number[] {
    const expected = counts.map(({ flow, count }) => count * this.pool.costs.of(flow, of))
    const sum = expected.reduce((total, each) => total + each, 0)
    if (sum > 0) return expected.map((each) => (totalMs * each) / sum)
    const requests = counts.reduce((total, { count }) => total + count, 0)
    return counts.map(({ count }) => (totalMs * count) / requests)
  }

  /** What was before this sample is over. */
  #forget(): void {
    this.#lastFlow = undefined
    for (const [flow, cell] of this.#cells) {
      cell.started = 0
      cell.finished = 0
      if (cell.open <= 0) this.#cells.delete(flow)
    }
  }
}

function newCell(): Cell {
  return { open: 0, started: 0, finished: 0 }
}
