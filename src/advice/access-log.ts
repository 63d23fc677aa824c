/**
 * Makes a snapshot of an access log, as if the recorder had been there: for somebody who wants to know what a pool would
 * have to be before moving in.
 *
 * Most logs have whole seconds only. The requests of one second are put at random moments of it, as those of independent
 * clients are, always the same for the same log. Limits: memory as of a recorder, whatever the length of the log; the last
 * 24 hours of it. Lines that cannot be read are counted, and the first of them is told.
 */
import type { Readable } from 'node:stream'
import type { AdviceSnapshot } from '../core/advice-report.ts'
import type { Flow, PoolFlow } from './flow.ts'
import { MAX_BUSY } from './flow.ts'
import type { LogLine, TimeUnit } from './log-line.ts'
import { readLogLine } from './log-line.ts'
import { OTHER_SITES, Recorder } from './recorder.ts'
import { Seconds } from './seconds.ts'
import { textLines } from './text-lines.ts'

export interface AccessLogOptions {
  /** Name for the requests of a log without hosts. */
  site: string
  /** How far back from the last line. */
  windowMs: number
  machine: AdviceSnapshot['machine']
  /** Unit of the request times, where it is not what log-line.ts says. */
  unit?: TimeUnit
}

/** Lines of one kind. */
export interface Lines {
  count: number
  /** Number of the first one, counted from 1; 0 where there is none. */
  first: number
  /** Its text, shortened. */
  text: string
}

export interface AccessLogResult {
  /** Undefined where no line could be used. */
  snapshot: AdviceSnapshot | undefined
  lines: number
  /** Not of the format. */
  garbage: Lines
  /** Of the format, but without a request time. */
  timeless: Lines
  /** Of vhostel's own logs: requests that reached no thread. */
  elsewhere: Lines
  /** More than a minute earlier than a line before. */
  early: Lines
}

/** The one pool that a log's requests are taken to be in. */
const LOG_POOL = 'default'
const MAX_SITES = 10_000
const MAX_BACK_MS = 60_000
/** Requests that are held back until their second is over; beyond, they are counted in portions. */
const MAX_HELD = 50_000
const SHOWN = 120

/** Reads a log to its end. @param stream of its bytes, uncompressed; rejects when it fails */
export async function readAccessLog(stream: Readable, options: AccessLogOptions): Promise<AccessLogResult> {
  const reader = new LogReader(options.site)
  const result = { lines: 0, garbage: none(), timeless: none(), elsewhere: none(), early: none() }
  for await (const line of textLines(stream)) {
    result.lines++
    if (line === '') continue
    const read = readLogLine(line, options.unit)
    if (read === 'garbage') note(result.garbage, result.lines, line)
    else if (read === 'time') note(result.timeless, result.lines, line)
    else if (read === 'elsewhere') note(result.elsewhere, result.lines, line)
    else if (!reader.take(read)) note(result.early, result.lines, line)
  }
  return { ...result, snapshot: reader.snapshot(options) }
}

function none(): Lines {
  return { count: 0, first: 0, text: '' }
}

function note(lines: Lines, number: number, text: string): void {
  if (lines.count++ > 0) return
  lines.first = number
  lines.text = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text
}

class LogReader {
  readonly #site: string
  readonly #seconds = new Seconds()
  readonly #flows = new Map<string, Flow>()
  readonly #random = randomNumbers()
  #recorder: Recorder | undefined
  #pool: PoolFlow | undefined
  /** Requests of the second that is being read. */
  #held: { flow: Flow; serviceMs: number }[] = []
  #secondMs = 0
  #nowMs = 0

  constructor(site: string) {
    this.#site = site
  }

  /** Takes the next line. @returns false when it is too early to be this log's next */
  take({ host, atMs, serviceMs }: LogLine): boolean {
    const second = Math.floor(atMs / 1000) * 1000
    if (this.#recorder === undefined) {
      this.#recorder = new Recorder(second, second)
      this.#pool = this.#recorder.pool(LOG_POOL, 0, second)
      this.#secondMs = second
      this.#nowMs = second
    }
    if (atMs < this.#secondMs - MAX_BACK_MS) return false
    if (second > this.#secondMs || this.#held.length >= MAX_HELD) this.#release(this.#recorder)
    // Servers write in portions: a line that is some seconds early belongs to those that are being read.
    this.#secondMs = Math.max(this.#secondMs, second)
    this.#held.push({ flow: this.#flow(this.#recorder, host ?? this.#site), serviceMs })
    return true
  }

  snapshot({ windowMs, machine }: AccessLogOptions): AdviceSnapshot | undefined {
    const recorder = this.#recorder
    if (recorder === undefined) return undefined
    this.#release(recorder)
    const nowMs = Math.max(this.#nowMs, this.#secondMs + 1000)
    const made = recorder.snapshot({ nowMs, windowMs, machine, processes: [], source: 'log' })
    const { busyMs, found } = this.#seconds.busy(made.fromMs, MAX_BUSY)
    const pool = { pool: LOG_POOL, concurrency: 0, threads: 0, threadMs: 0, busyMs, found }
    return { ...made, pools: [pool] }
  }

  /** Records the requests of a second at random moments of it. */
  #release(recorder: Recorder): void {
    const moments = Float64Array.from(this.#held, () => this.#secondMs + 1000 * this.#random()).sort()
    for (const [index, { flow, serviceMs }] of this.#held.entries()) {
      // A portion of a second that did not fit begins where the one before ended: the clock never goes back.
      this.#nowMs = Math.max(this.#nowMs, moments[index] as number)
      const fromMs = this.#nowMs - serviceMs
      recorder.arrived(flow, this.#nowMs)
      recorder.ended(flow, this.#nowMs, fromMs, fromMs)
      this.#seconds.add(fromMs, this.#nowMs)
    }
    this.#held = []
  }

  #flow(recorder: Recorder, name: string): Flow {
    const site = this.#flows.has(name) || this.#flows.size < MAX_SITES ? name : OTHER_SITES
    let flow = this.#flows.get(site)
    if (flow === undefined) {
      flow = recorder.flow(this.#pool as PoolFlow, site)
      this.#flows.set(site, flow)
    }
    return flow
  }
}

/** Numbers from 0 to 1, the same in every run (mulberry32). */
export function randomNumbers(seed = 1): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
