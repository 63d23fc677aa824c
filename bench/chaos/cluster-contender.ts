/**
 * The same sites in one shared in-process dispatcher: cluster.mjs. Its processes have a heap of 1 GB each at the most, so
 * that a leak does not take the machine with it; all of them are killed at the end, each by its own pid.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { startChild, until } from '../children.ts'
import { accepts, freePort } from '../free-port.ts'
import { processTree } from '../process-tree.ts'
import { removeFolder, temporaryFolder } from '../temporary-folder.ts'
import type { Contender } from './contender.ts'
import type { Fault } from './fault.ts'
import type { NeighbourSite } from './neighbour-site.ts'
import { PAGE } from './neighbour-site.ts'
import { NOTE_PLACE } from './trial.ts'

const SCRIPT = join(import.meta.dirname, 'cluster.mjs')
const START_DEADLINE_MS = 20_000
const WORKERS = 2
const HEAP_MB = 1_024

/** Starts it with one site that goes wrong: after most of them nothing else could be tried. */
export async function startCluster(neighbours: readonly NeighbourSite[], fault: Fault): Promise<Contender> {
  await using stack = new AsyncDisposableStack()
  const folder = temporaryFolder('cluster')
  stack.defer(() => removeFolder(folder))
  const journal = join(folder, 'journal')
  writeFolder(folder, neighbours, fault)
  const port = await freePort()
  // The neighbours find their page in the working directory, which all sites of a process share.
  const options = { cwd: folder, env: { JOURNAL: journal } }
  const args = [`--max-old-space-size=${HEAP_MB}`, SCRIPT, folder, String(port)]
  const child = stack.use(await startChild(process.execPath, args, options))
  const known = new Set<number>()
  const workers = (): number[] => {
    const pids = processTree([child.pid]).filter((pid) => pid !== child.pid && isWorker(pid, folder))
    for (const pid of pids) known.add(pid)
    return pids
  }
  // Disposed before the primary is: a worker in a loop, or stopped, does not hear of its end.
  stack.defer(() => {
    for (const pid of new Set([...workers(), ...known])) if (isWorker(pid, folder)) kill(pid)
  })
  await until('the cluster to serve', child, START_DEADLINE_MS, () => accepts(port))
  const running = stack.move()
  return {
    port,
    neighbours: neighbours.map(({ name }) => name),
    journal,
    workers,
    isWhole: async () => child.exitCode === undefined && workers().length >= WORKERS,
    log: () => child.output.split('\n'),
    forget: () => {},
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

function writeFolder(folder: string, neighbours: readonly NeighbourSite[], fault: Fault): void {
  writeFileSync(join(folder, 'journal'), '')
  writeFileSync(join(folder, 'page.txt'), PAGE)
  for (const { name, files } of neighbours) writeFiles(join(folder, 'sites', name), files)
  writeFiles(join(folder, 'sites', fault.name), { 'app.mjs': NOTE_PLACE + fault.code, ...fault.files })
}

function writeFiles(root: string, files: Record<string, string | Uint8Array>): void {
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), content)
  }
}

/** Whether this pid is, still, a process of the cluster in this folder: nobody else names it. */
function isWorker(pid: number, folder: string): boolean {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    return words.includes(SCRIPT) && words.includes(folder)
  } catch {
    return false
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended meanwhile.
  }
}
