/**
 * Programs that a site starts with the standard output and error of its process (`fork`, `stdio: 'inherit'`) write to the
 * site's log: these descriptors belong to all sites of a process.
 *
 * They get pipes instead, which count for the program's 'close'. Limits: not what is started synchronously (`execSync`
 * with `stdio: 'inherit'`), while which nothing can be read; that goes to the server's log without the site's name.
 */
import type { StdioOptions } from 'node:child_process'
import { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { currentSite } from './request-context.ts'
import type { Site } from './site.ts'
import type { StreamName } from './site-descriptor-output.ts'
import { DESCRIPTORS } from './site-descriptor-output.ts'
import { LineBuffer } from './site-log.ts'

interface SpawnOptions {
  file?: string
  /** With the name of the program first. */
  args?: readonly string[]
  stdio?: StdioOptions
}

/** What `ChildProcess` has once it was started; nothing of it where that failed at once. */
interface Started {
  spawn(options: SpawnOptions): unknown
  stdout: Socket | null
  stderr: Socket | null
  stdio?: (Socket | null)[]
}

/** Once a thread, before any site is loaded. */
export function installSiteChildren(): void {
  const prototype = ChildProcess.prototype as unknown as Started
  const { spawn } = prototype
  prototype.spawn = function (options) {
    const site = currentSite()
    if (site !== undefined) site.startedScript ??= scriptOf(options)
    const inherited = site === undefined ? [] : inheritedStreams(options.stdio)
    if (site === undefined || inherited.length === 0) return spawn.call(this, options)
    const stdio = listed(options.stdio)
    for (const [at] of inherited) stdio[at] = 'pipe'
    const result = spawn.call(this, { ...options, stdio })
    for (const [at, name] of inherited) giveToLog(site, this, at, name)
    return result
  }
}

/** The script that Node is to run; undefined for other programs. */
function scriptOf({ file, args }: SpawnOptions): string | undefined {
  return file === process.execPath ? args?.find((text) => /\.[cm]?[jt]s$/.test(text)) : undefined
}

function listed(stdio: StdioOptions | undefined): Exclude<StdioOptions, string> {
  return typeof stdio === 'string' ? [stdio, stdio, stdio] : [...(stdio ?? [])]
}

/** Where the program would get the output or error of this process, and which of the two. */
function inheritedStreams(stdio: StdioOptions | undefined): [at: number, name: StreamName][] {
  return listed(stdio).flatMap((what, at) => {
    // In a thread these two are no files, and Node would refuse them.
    const own = what === process.stdout ? 'stdout' : what === process.stderr ? 'stderr' : undefined
    const name = own ?? DESCRIPTORS.get(what === 'inherit' ? at : what)
    return name === undefined ? [] : [[at, name]]
  })
}

/** The program's own end of it is not to be seen, as none is where it is inherited. */
function giveToLog(site: Site, child: Started, at: number, name: StreamName): void {
  const socket = child.stdio?.[at]
  if (child.stdio === undefined || socket === undefined || socket === null) return
  child.stdio[at] = null
  if (at === 1) child.stdout = null
  if (at === 2) child.stderr = null
  const lines = new LineBuffer((level, text) => site.log.write(level, text))
  const level = name === 'stdout' ? 'out' : 'err'
  socket.setEncoding('utf8')
  socket.on('data', (text: string) => lines.write(level, text))
  socket.on('error', () => {})
  socket.on('close', () => lines.flush())
}
