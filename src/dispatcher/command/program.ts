/**
 * One run of a site's program: a process group of its own, from its start to the end of its last process.
 *
 * Limits: ready is who accepts a connection; a program that puts itself into the background counts as ended. Invariant:
 * after `ended`, no process of the group is left, and its place is taken away.
 */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { CommandLine } from '../../config/command-line.ts'
import { fillCommand } from '../../config/command-line.ts'
import type { Identity } from '../../config/identity.ts'
import type { Upstream } from '../../config/site-backend.ts'
import { failureText } from '../../core/descriptors.ts'
import { probe } from '../../core/probe.ts'
import type { GroupWatch } from './group-watch.ts'
import type { ListenPlace } from './listen-place.ts'
import { LineRate, readLines } from './output-lines.ts'

/** What to run, and as whom. */
export interface ProgramOrder {
  command: CommandLine
  cwd: string
  env: Record<string, string>
  identity: Identity | undefined
}

/** Takes what a program prints. */
export type OutputSink = (level: 'out' | 'err' | 'warn', text: string) => void

/** The first pause between two looks whether it is ready, and the longest, in ms. */
const FIRST_LOOK_MS = 10
const LAST_LOOK_MS = 100
const LOOK_TIMEOUT_MS = 1_000
/** How long outputs may be held open by processes that left the group. */
const OUTPUT_GRACE_MS = 1_000

const DONE = 'exit code 0'
/** Each start would leave one more behind, which nobody ends. */
const DAEMON_HINT = '; it has to stay in the foreground'

export class Program {
  readonly startedAt = Date.now()
  readonly #began = performance.now()
  readonly #place: ListenPlace
  readonly #child: ChildProcess
  /** How it ended, in words. */
  readonly ended: Promise<string>
  #hasEnded = false

  /** The user that it runs as, where that is not the server's, and it can be seen to that a socket is his. */
  readonly owner: number | undefined

  /** Starts it; where that cannot be done, it has `ended` at once. */
  constructor(order: ProgramOrder, place: ListenPlace, watch: GroupWatch, output: OutputSink) {
    this.#place = place
    const { uid } = order.identity ?? {}
    this.owner = uid === process.geteuid?.() || process.platform !== 'linux' ? undefined : uid
    const [file = '', ...args] = fillCommand(order.command, place.env)
    const own = order.command.place
    this.#child = spawn(file, args, {
      cwd: order.cwd,
      env: { ...order.env, [own]: place.env[own] },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      ...(order.identity === undefined ? {} : { uid: order.identity.uid, gid: order.identity.gid }),
    })
    if (this.pid !== undefined) watch.add(this.pid)
    // First: what could not be started says so, and has no outputs where descriptors have run out.
    this.ended = this.#untilEnded(file, order.cwd, watch)
    this.#read(output)
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get upstream(): Upstream {
    return this.#place.upstream
  }

  /** Since its start. */
  get livedMs(): number {
    return performance.now() - this.#began
  }

  /** Resolves when it accepts connections. @returns why it does not, in words; undefined when it does */
  async ready(timeoutMs: number): Promise<string | undefined> {
    const late = new AbortController()
    const ended = this.ended.then((why) => `ended before it listened (${why})${why === DONE ? DAEMON_HINT : ''}`)
    const looks = this.#look(timeoutMs, late.signal)
    try {
      return await Promise.race([ended, looks])
    } finally {
      late.abort()
    }
  }

  /** Asks it to end (SIGTERM), and after `graceMs` ends it. Resolves when it has ended. */
  async stop(graceMs: number): Promise<void> {
    if (this.#hasEnded) return
    this.#signal('SIGTERM')
    const killer = setTimeout(() => this.#signal('SIGKILL'), graceMs)
    await this.ended
    clearTimeout(killer)
  }

  async #look(timeoutMs: number, signal: AbortSignal): Promise<string | undefined> {
    const { upstream } = this
    const address = upstream.kind === 'unix' ? { path: upstream.path } : { host: upstream.host, port: upstream.port }
    for (let pauseMs = FIRST_LOOK_MS; !signal.aborted; pauseMs = Math.min(LAST_LOOK_MS, pauseMs * 2)) {
      if ((await probe(address, LOOK_TIMEOUT_MS)) === 'accepted') return undefined
      if (this.livedMs >= timeoutMs) {
        const where = upstream.kind === 'unix' ? `${upstream.path} ($SOCKET)` : `127.0.0.1:${upstream.port} ($PORT)`
        return `did not listen on ${where} within ${timeoutMs} ms; does it listen elsewhere?`
      }
      await delay(pauseMs)
    }
    return undefined
  }

  #read(output: OutputSink): void {
    const rate = new LineRate((count) => output('warn', `${count} more lines in the same second were dropped`))
    // Node makes neither where there is no descriptor left, which is told by an error event later.
    const { stdout, stderr } = this.#child as Partial<ChildProcess>
    if (stdout) readLines(stdout, rate, (line) => output('out', line))
    if (stderr) readLines(stderr, rate, (line) => output('err', line))
  }

  async #untilEnded(file: string, cwd: string, watch: GroupWatch): Promise<string> {
    const child = this.#child
    const why = await new Promise<string>((done) => {
      child.on('error', (error: NodeJS.ErrnoException) => {
        if (child.pid === undefined) done(`${file}: ${startFault(error, file, cwd)}`)
      })
      child.on('exit', (code, signal) => done(signal ?? `exit code ${code}`))
    })
    this.#hasEnded = true
    // Whatever it started and left.
    this.#signal('SIGKILL')
    if (child.pid !== undefined) watch.remove(child.pid)
    setTimeout(() => {
      child.stdout?.destroy()
      child.stderr?.destroy()
    }, OUTPUT_GRACE_MS).unref()
    this.#place.dispose()
    return why
  }

  /** To the whole group. */
  #signal(signal: NodeJS.Signals): void {
    const { pid } = this
    if (pid === undefined) return
    try {
      process.kill(-pid, signal)
    } catch {
      // None of it is left.
    }
  }
}

/** Why a program could not be started. The system has one word for a program that is not there and for all that it needs. */
function startFault(error: NodeJS.ErrnoException, file: string, cwd: string): string {
  if (error.code === 'EACCES') {
    return `it may not be run: make it executable (chmod +x), and let the user that it runs as into ${cwd}`
  }
  if (error.code !== 'ENOENT') return failureText(error)
  if (!existsSync(cwd)) return `its root is not there: ${cwd}`
  const isScript = file.includes('/') && existsSync(resolve(cwd, file))
  return isScript ? 'the program in its first line (#!) is not there' : 'there is no such program'
}
