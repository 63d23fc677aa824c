/**
 * Runs the real command as a child process, to its end, in a folder of its own.
 *
 * Limit: a command that does not end is killed at the deadline, and the test fails with what it printed.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { COMMAND, DEADLINE_MS } from '../helpers/box.ts'
import { makeFolder } from '../helpers/folder.ts'

export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

export interface CommandOptions {
  cwd?: string
  env?: NodeJS.ProcessEnv
  /** Arguments for Node itself. */
  nodeArgs?: string[]
  /** Whom it runs as; for tests that run as root. */
  uid?: number
  gid?: number
}

/** The environment of a person who has set nothing, with no terminal. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const { FORCE_COLOR: _forced, VHOSTEL_HOME: _home, ...env } = process.env
  return env
}

/** Runs `vhostel` with these arguments, and waits for its end. */
export async function vhostel(args: string[], options: CommandOptions = {}): Promise<Outcome> {
  const child = spawn(process.execPath, [...(options.nodeArgs ?? []), ...COMMAND, ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: { ...plainEnvironment(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid }),
  })
  const outcome: Outcome = { code: null, stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      outcome[name] += text
    })
  }
  const killer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
  await once(child, 'close')
  clearTimeout(killer)
  if (child.signalCode === 'SIGKILL')
    throw new Error(`vhostel ${args.join(' ')} did not end:\n${JSON.stringify(outcome)}`)
  return { ...outcome, code: child.exitCode }
}

export const SERVER_INI = '[server]\nlisten = 127.0.0.1:8080\n'

/** The INI of a static site whose files are in `public`. */
export function staticIni(domains: string): string {
  return `[site]\ndomains = ${domains}\nkind = static\nroot = ../public\n`
}

/** A configuration with these files in sites-available, all of them enabled. */
export function makeConfig(t: TestContext, sites: Record<string, string>, server = SERVER_INI): string {
  const files: Record<string, string> = { 'vhostel.ini': server, 'public/index.html': 'hello' }
  for (const [name, ini] of Object.entries(sites)) files[`sites-available/${name}.ini`] = ini
  const dir = makeFolder(t, files)
  mkdirSync(join(dir, 'sites-enabled'))
  for (const name of Object.keys(sites)) {
    symlinkSync(`../sites-available/${name}.ini`, join(dir, 'sites-enabled', `${name}.ini`))
  }
  return dir
}
