/**
 * What a figure was measured on: without that line it means nothing to a stranger.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { delimiter, join } from 'node:path'

/** Where Debian puts nginx, and where the PATH of an ordinary user does not look. */
const MORE_FOLDERS = ['/usr/sbin', '/usr/local/sbin']

export interface Machine {
  date: string
  processor: string
  cores: number
  memoryBytes: number
  kernel: string
  node: string
  wrk: string
  nginx: string
  /** Load average of the last minute when the bench began: much above 0, and others were at work. */
  load: number
}

/**
 * Looks for programs that a bench needs.
 *
 * @param packages of Debian, by program
 * @returns the command that installs what is missing; undefined when all is there
 */
export function missingTools(packages: Readonly<Record<string, string>>): string | undefined {
  const missing = Object.keys(packages).filter((tool) => pathOf(tool) === undefined)
  if (missing.length === 0) return undefined
  const install = missing.map((tool) => packages[tool]).join(' ')
  return `${missing.join(' and ')} not found; on Debian and Ubuntu: apt-get install ${install}`
}

/** Absolute path of a command. */
export function pathOf(tool: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...MORE_FOLDERS]
  return folders.map((folder) => join(folder, tool)).find((path) => existsSync(path))
}

export function thisMachine(): Machine {
  return {
    date: new Date().toISOString().slice(0, 10),
    processor: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.versions.node,
    wrk: versionOf('wrk', /wrk (?:debian\/)?([\d.]+)/),
    nginx: versionOf('nginx', /nginx\/(\S+)/),
    load: loadavg()[0] ?? 0,
  }
}

/** One line for people. */
export function describeMachine(machine: Machine): string {
  const memory = `${Math.round(machine.memoryBytes / 1024 ** 3)} GB`
  const hardware = `${machine.cores} × ${machine.processor}, ${memory}, Linux ${machine.kernel}`
  const versions = `Node ${machine.node}, wrk ${machine.wrk}, nginx ${machine.nginx}`
  return `${machine.date}: ${hardware}; ${versions}; load average ${machine.load.toFixed(2)} at the start`
}

function versionOf(tool: string, pattern: RegExp): string {
  const path = pathOf(tool)
  if (path === undefined) return 'none'
  const { stdout, stderr } = spawnSync(path, ['-v'], { encoding: 'utf8', timeout: 5_000 })
  return pattern.exec(stdout + stderr)?.[1] ?? 'unknown'
}
