/**
 * Sees to it that no program outlives the server, however that ends: a small shell, one for all programs, that knows their
 * process groups and waits for the end of its input. It ends when the server does, also by SIGKILL; then the shell ends the
 * groups.
 *
 * Limits: a program that leaves its process group (a daemon) is not found; a group is ended by SIGTERM, and 2 s later by
 * SIGKILL. Invariant: while a program is registered, such a shell runs, or is about to be started again.
 */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { failureText } from '../../core/descriptors.ts'
import type { Log } from '../../core/log.ts'

const SCRIPT = `
trap '' HUP INT TERM
groups=
while read -r what group; do
  case $what in
    +) groups="$groups $group" ;;
    -) left=
       for one in $groups; do [ "$one" = "$group" ] || left="$left $one"; done
       groups=$left ;;
  esac
done
[ -z "$groups" ] && exit 0
for one in $groups; do kill -s TERM -- "-$one"; done
sleep 2
for one in $groups; do kill -s KILL -- "-$one"; done
`
/** A shell that ended sooner is not started again at once. */
const LIVED_MS = 1_000

export class GroupWatch {
  readonly #log: Log
  readonly #groups = new Set<number>()
  #shell: ChildProcess | undefined
  #restart: NodeJS.Timeout | undefined

  constructor(log: Log) {
    this.#log = log
  }

  /** To be called before the first program is started, so that the shell is there. */
  open(): void {
    if (this.#shell === undefined && this.#restart === undefined) this.#start()
  }

  /** @param group its number, which is that of the program's process */
  add(group: number): void {
    this.#groups.add(group)
    this.#tell('+', group)
  }

  /** None of the group is left. */
  remove(group: number): void {
    if (this.#groups.delete(group)) this.#tell('-', group)
  }

  close(): void {
    clearTimeout(this.#restart)
    const shell = this.#shell
    this.#shell = undefined
    shell?.stdin?.end()
    shell?.unref()
  }

  #start(): void {
    const startedAt = performance.now()
    this.#restart = undefined
    let shell: ChildProcess
    try {
      shell = spawnShell()
    } catch (error) {
      // Some of what the kernel refuses (no memory) is thrown, and the rest emitted.
      this.#startLater(failureText(error as Error), startedAt)
      return
    }
    this.#shell = shell
    const ended = (why: string): void => {
      if (this.#shell !== shell) return
      this.#shell = undefined
      this.#startLater(why, startedAt)
    }
    shell.on('error', (error) => ended(failureText(error)))
    shell.on('exit', (code, signal) => ended(signal ?? `exit code ${code}`))
    // Without descriptors there is none.
    shell.stdin?.on('error', () => {})
    for (const group of this.#groups) this.#tell('+', group)
  }

  #startLater(why: string, startedAt: number): void {
    this.#log.warn({ why }, 'the watcher of commands ended; it is started again')
    const waitMs = performance.now() - startedAt < LIVED_MS ? LIVED_MS : 0
    this.#restart = setTimeout(() => this.#start(), waitMs)
    this.#restart.unref()
  }

  #tell(what: '+' | '-', group: number): void {
    this.#shell?.stdin?.write(`${what} ${group}\n`)
  }
}

function spawnShell(): ChildProcess {
  // A session of its own: what a terminal sends to the server's group is not for it.
  return spawn('/bin/sh', ['-c', SCRIPT], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    env: { PATH: '/usr/bin:/bin' },
  })
}
