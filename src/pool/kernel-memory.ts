/**
 * The hard limit of a pool's memory, kept by the kernel: puts the worker processes in cgroups of their own, where this
 * server's cgroup (v2) is its own to divide: a unit of systemd with `Delegate=memory`, or root in a tree that it may write.
 *
 *     its cgroup/vhostel-PID/dispatcher                   this process
 *                           /pool-default                 memory.max: `memory` of [pool]
 *                                        /process-1       memory.oom.group: one worker process dies whole
 *
 * A cgroup that passes controllers on may have no processes itself, so this process moves into one of its own, and back
 * when it closes. There is no `memory.high`: the kernel would slow a whole process down, and with it every site in it;
 * the pool replaces threads instead (upkeep.ts), from some part below the limit.
 *
 * Limits: what was taken before a process was moved stays counted where it was: some MB. Worker processes that run as the
 * user of the server may change the limits as well as it can; it holds off accidents, and with `user` everything.
 * Invariant: where any of this cannot be done, everything is as without it, and nothing of it is left.
 */
import { mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../core/log.ts'
import type { Cgroup } from './cgroup.ts'
import { countOomKills, ownCgroup, readIfThere } from './cgroup.ts'

const NAME = /^vhostel-(\d+)$/
const CONTROL = 'cgroup.subtree_control'
const PROCESSES = 'cgroup.procs'
/** Of 1000 parts of the memory: so much larger this process may be before the kernel takes it instead of a worker. */
const WORKERS_FIRST = 200
const MOST_SCORE = 1000

export class KernelMemory {
  readonly #own: string
  readonly #base: string
  /** Whether its cgroup passes memory control on afterwards too: it did before, or is everybody's. */
  readonly #staysDivided: boolean
  readonly #log: Log

  private constructor(own: string, log: Log) {
    this.#own = own
    this.#base = join(own, `vhostel-${process.pid}`)
    this.#staysDivided = isUppermost(own) || words(join(own, CONTROL)).includes('memory')
    this.#log = log
  }

  /** Takes this server's cgroup in hand. @returns undefined where that cannot be done, which is nobody's fault */
  static open(log: Log, cgroup: Cgroup | undefined = ownCgroup()): KernelMemory | undefined {
    const why = cgroup === undefined ? 'no cgroup v2 is mounted' : obstacleOf(cgroup)
    if (cgroup === undefined || why !== undefined) {
      log.debug({ why }, 'the kernel does not limit the memory of pools')
      return undefined
    }
    removeLeftovers(cgroup.folder)
    const memory = new KernelMemory(cgroup.folder, log)
    try {
      memory.#divide()
      return memory
    } catch (error) {
      memory.close()
      log.debug({ why: String(error) }, 'the kernel does not limit the memory of pools')
      return undefined
    }
  }

  /** Opens a cgroup for a pool. @param bytes what its processes may take together; undefined: no limit of its own */
  openPool(pool: string, bytes: number | undefined): void {
    const folder = this.#poolFolder(pool)
    try {
      mkdirSync(folder, { recursive: true })
      writeFileSync(join(folder, 'memory.max'), String(bytes ?? 'max'))
      writeFileSync(join(folder, CONTROL), '+memory')
    } catch (error) {
      this.#log.warn({ pool, err: error }, 'the kernel cannot limit the memory of a pool')
    }
  }

  /** The cgroup of one worker process of a pool. */
  cageFor(pool: string, index: number): MemoryCage {
    return new MemoryCage(join(this.#poolFolder(pool), `process-${index}`), this.#log)
  }

  /** Gives everything back; what still has processes in it is left to the next start. */
  close(): void {
    for (const name of foldersIn(this.#base)) if (name !== 'dispatcher') removeTree(join(this.#base, name))
    quietly(() => writeFileSync(join(this.#base, CONTROL), '-memory'))
    if (!this.#staysDivided) quietly(() => writeFileSync(join(this.#own, CONTROL), '-memory'))
    quietly(() => writeFileSync(join(this.#own, PROCESSES), String(process.pid)))
    removeTree(this.#base)
  }

  #divide(): void {
    mkdirSync(join(this.#base, 'dispatcher'), { recursive: true })
    writeFileSync(join(this.#base, 'dispatcher', PROCESSES), String(process.pid))
    writeFileSync(join(this.#own, CONTROL), '+memory')
    writeFileSync(join(this.#base, CONTROL), '+memory')
  }

  #poolFolder(pool: string): string {
    return join(this.#base, `pool-${pool}`)
  }
}

/** The cgroup of one worker process, over all its starts. */
export class MemoryCage {
  readonly #folder: string
  readonly #log: Log
  #kills = 0

  constructor(folder: string, log: Log) {
    this.#folder = folder
    this.#log = log
  }

  /** Puts a process that has just been started in it, with what it will start itself. Does not wait for that. */
  admit(pid: number): void {
    this.#admit(pid).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return // it has ended already
      this.#log.warn({ pid, err: error }, 'the kernel does not limit the memory of a worker process')
    })
  }

  /** Whether the kernel has killed for want of memory since the last call. */
  takeKilled(): boolean {
    const kills = countOomKills(readIfThere(join(this.#folder, 'memory.events')))
    const isMore = kills > this.#kills
    this.#kills = kills
    return isMore
  }

  /** Its process will not be started again. */
  remove(): void {
    removeTree(this.#folder)
  }

  async #admit(pid: number): Promise<void> {
    mkdirSync(this.#folder, { recursive: true })
    await writeFile(join(this.#folder, 'memory.oom.group'), '1')
    await writeFile(join(this.#folder, PROCESSES), String(pid))
    // Where the limit is that of the whole service, the kernel has to choose: never the dispatcher.
    const score = Number(readIfThere('/proc/self/oom_score_adj')) + WORKERS_FIRST
    await writeFile(`/proc/${pid}/oom_score_adj`, String(Math.min(MOST_SCORE, score)))
  }
}

/** Why a cgroup is not this server's to divide, in words. */
function obstacleOf({ folder }: Cgroup): string | undefined {
  if (!words(join(folder, 'cgroup.controllers')).includes('memory')) return 'its cgroup has no memory controller'
  if (isUppermost(folder)) return undefined
  const others = words(join(folder, PROCESSES)).filter((pid) => Number(pid) !== process.pid)
  return others.length > 0 ? 'its cgroup has other processes in it' : undefined
}

/** The uppermost cgroup of a machine may have both processes and controllers; the kernel gives it no type. */
function isUppermost(folder: string): boolean {
  return readIfThere(join(folder, 'cgroup.type')) === ''
}

/** Takes away what servers left that were killed. */
function removeLeftovers(own: string): void {
  for (const name of foldersIn(own)) {
    const pid = Number(NAME.exec(name)?.[1] ?? 0)
    if (pid === process.pid || (pid > 0 && !isAlive(pid))) removeTree(join(own, name))
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Removes a cgroup and those below it, as far as they have no processes. */
function removeTree(folder: string): void {
  for (const name of foldersIn(folder)) removeTree(join(folder, name))
  quietly(() => rmdirSync(folder))
}

function foldersIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
  } catch {
    return []
  }
}

function words(file: string): string[] {
  return readIfThere(file).split(/\s+/).filter(Boolean)
}

/** For what may fail because it is not there, or is in use. */
function quietly(action: () => void): void {
  try {
    action()
  } catch {
    // As said.
  }
}
