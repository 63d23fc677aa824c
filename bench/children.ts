/**
 * The processes that a bench starts: each is ended by its own pid, in order when its owner is done with it, at the latest
 * when the bench itself ends.
 *
 * Invariant: no process outlives the bench, unless the bench is killed with SIGKILL.
 */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'

const STOP_DEADLINE_MS = 10_000
/** Kept of what a child prints, for the message when it fails. */
const MAX_OUTPUT_CHARS = 64 * 1024

const running = new Set<ChildProcess>()

process.on('exit', () => {
  for (const child of running) child.kill('SIGTERM')
})
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))

export interface Child extends AsyncDisposable {
  readonly pid: number
  /** The last that it printed, on both streams. */
  readonly output: string
  /** The code it ended with; undefined while it runs, null when a signal ended it. */
  readonly exitCode: number | null | undefined
  /** Resolves when it has ended. */
  readonly ended: Promise<void>
  /** Asks it to end; after 10 s it is killed. */
  stop(): Promise<void>
}

export interface ChildOptions {
  cwd?: string
  env?: NodeJS.ProcessEnv
}

/** Starts a process. @throws what the system says, such as ENOENT */
export async function startChild(command: string, args: string[], options: ChildOptions = {}): Promise<Child> {
  const env = { ...process.env, NODE_ENV: 'production', NO_COLOR: '1', ...options.env }
  const child = spawn(command, args, { ...options, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-MAX_OUTPUT_CHARS)
    })
  }
  await once(child, 'spawn')
  running.add(child)
  let exitCode: number | null | undefined
  const ended = once(child, 'close').then(([code]) => {
    exitCode = code as number | null
    running.delete(child)
  })
  return {
    pid: child.pid as number,
    ended,
    get output() {
      return output
    },
    get exitCode() {
      return exitCode
    },
    stop: () => stop(child, ended),
    [Symbol.asyncDispose]: () => stop(child, ended),
  }
}

async function stop(child: ChildProcess, ended: Promise<void>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
  const killer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS)
  await ended
  clearTimeout(killer)
}

/**
 * Looks every 10 ms until `look` finds something.
 *
 * @throws after `deadlineMs`, or when `child` has ended, with what it printed
 */
export async function until<T>(
  what: string,
  child: Child | undefined,
  deadlineMs: number,
  look: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + deadlineMs
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (child?.exitCode !== undefined) throw new Error(`ended before ${what}:\n${child.output}`)
    if (performance.now() > deadline) throw new Error(`waited ${deadlineMs} ms for ${what}:\n${child?.output ?? ''}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
