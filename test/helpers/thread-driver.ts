/**
 * Plays the dispatcher for one worker process: forks the real supervisor, listens on a unix socket, loads real sites into
 * real threads, and exchanges frames with them. Every wait has a deadline.
 */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { Server, Socket } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { SupervisorOrder, SupervisorReport } from '../../src/core/worker-orders.ts'
import type { Channel } from '../../src/protocol/channel.ts'
import { openChannel } from '../../src/protocol/channel.ts'
import type { Frame, LoadOrder, LoadReport, RequestHead, ResponseHead } from '../../src/protocol/frames.ts'
import { BODY_WINDOW_BYTES } from '../../src/protocol/frames.ts'

const DEADLINE_MS = 15_000
const OVER = new Set(['abort', 'failed', 'end'])
const SITES = fileURLToPath(new URL('../fixtures/sites/', import.meta.url))

/** Path of a fixture site's file. */
export function fixture(name: string): string {
  return join(SITES, name)
}

/** Resolves when `check` gives something that is not undefined or false; `changed` is asked to call back on news. */
export function until<T>(
  subscribe: (check: () => void) => () => void,
  check: () => T | undefined | false,
  what: string,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      unsubscribe()
      reject(new Error(`waited ${DEADLINE_MS} ms for ${what}`))
    }, DEADLINE_MS)
    const look = (): void => {
      const found = check()
      if (found === undefined || found === false) return
      clearTimeout(timer)
      unsubscribe()
      resolve(found)
    }
    const unsubscribe = subscribe(look)
    look()
  })
}

/** Something that changes, and those who wait for it. */
class News {
  readonly #listeners = new Set<() => void>()

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  tell(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}

export interface RequestOptions extends Partial<RequestHead> {
  body?: string | Uint8Array
  /** Whether the body is complete with the request frame. @default true */
  last?: boolean
  /** Whether credit for the answer is given at once. @default true */
  credit?: boolean
}

/** One request as the dispatcher sees it. */
export class DrivenRequest {
  readonly id: number
  readonly frames: Frame[] = []
  readonly news = new News()
  readonly #channel: Channel
  readonly #givesCredit: boolean
  #window = BODY_WINDOW_BYTES

  constructor(id: number, channel: Channel, givesCredit: boolean) {
    this.id = id
    this.#channel = channel
    this.#givesCredit = givesCredit
  }

  receive(frame: Frame): void {
    this.frames.push(frame)
    if (frame.type === 'credit') this.#window += frame.bytes
    const bytes = frame.type === 'body' ? frame.chunk.byteLength : frame.type === 'response' ? frame.body.byteLength : 0
    if (this.#givesCredit && bytes > 0 && !this.isOver) this.credit(bytes)
    this.news.tell()
  }

  get window(): number {
    return this.#window
  }

  get types(): string[] {
    return this.frames.map(({ type }) => type)
  }

  get isOver(): boolean {
    return this.frames.some((frame) => OVER.has(frame.type) || (frame.type === 'response' && frame.last))
  }

  /** Waits until a frame of this type has come. */
  frame<T extends Frame['type']>(type: T): Promise<Extract<Frame, { type: T }>> {
    const find = () => this.frames.find((frame) => frame.type === type)
    return until(this.news.subscribe, find, `a ${type} frame; got ${this.types}`) as Promise<
      Extract<Frame, { type: T }>
    >
  }

  /** Waits until so many bytes of body have come. */
  bytes(count: number): Promise<true> {
    return until(this.news.subscribe, () => this.body.byteLength >= count, `${count} bytes of body`)
  }

  /** Waits until the answer is complete. */
  async over(): Promise<this> {
    await until(this.news.subscribe, () => this.isOver, `the end of the answer; got ${this.types}`)
    return this
  }

  get head(): ResponseHead {
    const frame = this.frames.find((one) => one.type === 'response')
    assert.ok(frame, `no response; got ${JSON.stringify(this.frames)}`)
    return frame.head
  }

  /** What its visitor gets. */
  get status(): number {
    return this.types.includes('failed') ? 500 : this.head.status
  }

  get body(): Buffer {
    return Buffer.concat(
      this.frames.map((frame) =>
        frame.type === 'body' ? frame.chunk : frame.type === 'response' ? frame.body : Buffer.alloc(0),
      ),
    )
  }

  get text(): string {
    return this.body.toString('utf8')
  }

  get json(): unknown {
    return JSON.parse(this.text)
  }

  /** The values of a header, in order. */
  header(name: string): string[] {
    const { headers } = this.head
    return headers.filter((_, at) => at % 2 === 1 && headers[at - 1]?.toLowerCase() === name)
  }

  /** Sends a part of the body, whatever the window says. */
  send(chunk: string | Uint8Array): void {
    const bytes = Buffer.from(chunk)
    this.#window -= bytes.byteLength
    this.#channel.send({ type: 'body', id: this.id, chunk: bytes })
  }

  /** Sends bytes as a dispatcher does: in chunks, as far as there is credit. */
  async upload(total: number, chunkBytes = 64 * 1024): Promise<void> {
    for (let sent = 0; sent < total; ) {
      const size = Math.min(chunkBytes, total - sent)
      await until(this.news.subscribe, () => this.#window > 0, 'credit for the body')
      this.send(Buffer.alloc(size, sent & 255))
      sent += size
    }
  }

  end(trailers: string[] = []): void {
    this.#channel.send({ type: 'end', id: this.id, trailers })
  }

  credit(bytes: number): void {
    this.#channel.send({ type: 'credit', id: this.id, bytes })
  }

  abort(reason = 'the client is gone'): void {
    this.#channel.send({ type: 'abort', id: this.id, reason })
  }
}

export interface LogLine {
  generation: number
  level: string
  text: string
}

/** One thread as the dispatcher sees it. */
export class DrivenThread {
  readonly number: number
  readonly logs: LogLine[] = []
  readonly offences: { generation: number; text: string }[] = []
  readonly laterFiles = new Map<number, string[]>()
  readonly news = new News()
  channel!: Channel
  isClosed = false
  readonly #requests = new Map<number, DrivenRequest>()
  readonly #reports = new Map<number, LoadReport>()
  readonly #unloaded = new Set<number>()
  #lastId = 0

  constructor(number: number) {
    this.number = number
  }

  adopt(channel: Channel): void {
    this.channel = channel
  }

  receive(frame: Frame): void {
    if (frame.type === 'log') this.logs.push({ generation: frame.id, level: frame.level, text: frame.text })
    else if (frame.type === 'offence') this.offences.push({ generation: frame.id, text: frame.text })
    else if (frame.type === 'loaded') this.#reports.set(frame.id, frame.report)
    else if (frame.type === 'unloaded') this.#unloaded.add(frame.id)
    else if (frame.type === 'files')
      this.laterFiles.set(frame.id, [...(this.laterFiles.get(frame.id) ?? []), ...frame.files])
    else this.#requests.get(frame.id)?.receive(frame)
    this.news.tell()
  }

  closed(): void {
    this.isClosed = true
    this.news.tell()
  }

  wait<T>(check: () => T | undefined | false, what: string): Promise<T> {
    return until(this.news.subscribe, check, what)
  }

  /** Loads a fixture; resolves with the report, good or bad. */
  load(order: Partial<LoadOrder> & { generation: number; module: string }): Promise<LoadReport> {
    const whole: LoadOrder = {
      site: `site${order.generation}`,
      root: join(order.module, '..'),
      type: 'auto',
      args: [],
      httpPort: undefined,
      env: {},
      options: {},
      startTimeoutMs: 5000,
      stopTimeoutMs: 2000,
      ...order,
    }
    this.channel.send({ type: 'load', id: order.generation, order: whole })
    return this.wait(() => this.#reports.get(order.generation), `generation ${order.generation} to load`)
  }

  /** Loads a fixture that must load. @returns its generation */
  async loadWell(order: Partial<LoadOrder> & { generation: number; module: string }): Promise<LoadReport> {
    const report = await this.load(order)
    assert.equal(report.failure, undefined, JSON.stringify(report.failure, undefined, 2))
    return report
  }

  async unload(generation: number): Promise<void> {
    this.channel.send({ type: 'unload', id: generation })
    await this.wait(() => this.#unloaded.has(generation), `generation ${generation} to unload`)
  }

  request(generation: number, options: RequestOptions = {}): DrivenRequest {
    const { body = '', last = true, credit = true, ...head } = options
    const id = ++this.#lastId
    const request = new DrivenRequest(id, this.channel, credit)
    this.#requests.set(id, request)
    const whole: RequestHead = {
      generation,
      method: 'GET',
      url: '/',
      httpMinor: 1,
      headers: ['Host', 'test.example'],
      remoteAddress: '192.0.2.7',
      remotePort: 40_000,
      localAddress: '192.0.2.1',
      localPort: 8080,
      encrypted: false,
      keepAlive: true,
      upgrade: false,
      ...head,
    }
    this.channel.send({ type: 'request', id, head: whole, body: Buffer.from(body), last })
    return request
  }

  /** Sends a request and waits for its whole answer. */
  get(generation: number, url = '/', options: RequestOptions = {}): Promise<DrivenRequest> {
    return this.request(generation, { url, ...options }).over()
  }

  /** Waits for a line in the log of a generation. */
  log(generation: number, pattern: RegExp): Promise<LogLine> {
    const find = () => this.logs.find((line) => line.generation === generation && pattern.test(line.text))
    return this.wait(find, `a log line like ${pattern}; got ${JSON.stringify(this.logs)}`)
  }
}

/** One worker process as the dispatcher sees it. */
export class WorkerDriver {
  readonly child: ChildProcess
  readonly reports: SupervisorReport[] = []
  readonly news = new News()
  /** What the process itself wrote to its standard output and error. */
  output = ''
  readonly #server: Server
  readonly #folder: string
  readonly #threads = new Map<number, DrivenThread>()
  #lastThread = 0

  private constructor(child: ChildProcess, server: Server, folder: string) {
    this.child = child
    this.#server = server
    this.#folder = folder
    child.on('message', (report: SupervisorReport) => {
      this.reports.push(report)
      this.news.tell()
    })
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (this.output += String(text)))
    server.on('connection', (socket) => this.#greet(socket))
  }

  static async start(t: { after(end: () => unknown): void }): Promise<WorkerDriver> {
    const folder = mkdtempSync(join(tmpdir(), 'vhostel-test-'))
    const server = createServer()
    server.listen(join(folder, 'socket'))
    await once(server, 'listening')
    const entry = fileURLToPath(new URL('../../src/worker/supervisor.ts', import.meta.url))
    const child = fork(entry, [], { serialization: 'json', execArgv: [], stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    const driver = new WorkerDriver(child, server, folder)
    t.after(() => driver.close())
    await driver.report('up')
    return driver
  }

  get socketPath(): string {
    return join(this.#folder, 'socket')
  }

  order(order: SupervisorOrder): void {
    this.child.send(order)
  }

  report<T extends SupervisorReport['type']>(type: T): Promise<Extract<SupervisorReport, { type: T }>> {
    const find = () => this.reports.find((report) => report.type === type)
    return until(this.news.subscribe, find, `a report '${type}'; output: ${this.output}`) as Promise<
      Extract<SupervisorReport, { type: T }>
    >
  }

  async startThread(
    options: { memoryBytes?: number; compileCache?: string; alone?: boolean } = {},
  ): Promise<DrivenThread> {
    const thread = new DrivenThread(++this.#lastThread)
    this.#threads.set(thread.number, thread)
    this.order({
      type: 'start',
      thread: thread.number,
      token: `token${thread.number}`,
      socket: this.socketPath,
      ...options,
    })
    await thread.wait(
      () => thread.channel !== undefined,
      `thread ${thread.number} to say hello; output: ${this.output}`,
    )
    return thread
  }

  async close(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const exited = once(this.child, 'exit')
      const killer = setTimeout(() => this.child.kill('SIGKILL'), 5000)
      if (this.child.connected) this.child.disconnect()
      await exited
      clearTimeout(killer)
    }
    this.#server.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #greet(socket: Socket): void {
    let thread: DrivenThread | undefined
    const channel = openChannel(socket, {
      onFrame: (frame) => {
        if (thread !== undefined) return thread.receive(frame)
        assert.equal(frame.type, 'hello')
        if (frame.type !== 'hello') return
        thread = this.#threads.get(frame.thread)
        assert.equal(frame.token, `token${frame.thread}`)
        thread?.adopt(channel)
        thread?.news.tell()
      },
      onClose: () => thread?.closed(),
    })
  }
}

/** A worker process with one thread, for one test or a whole file. */
export async function startThread(t: { after(end: () => unknown): void }): Promise<DrivenThread> {
  const worker = await WorkerDriver.start(t)
  return worker.startThread()
}

/** Starts one thread for all tests of a file, before the first, and ends it after the last. */
export function shareThread(take: (thread: DrivenThread) => void): void {
  const ended: (() => unknown)[] = []
  before(async () => take(await startThread({ after: (end) => ended.push(end) })))
  after(async () => {
    for (const end of ended) await end()
  })
}
