/**
 * vhostel as a user starts it, with the neighbours and one site for each fault. Only the limits of those sites are set,
 * so short that a trial sees every step.
 */
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { startChild, until } from '../children.ts'
import { processTree } from '../process-tree.ts'
import { removeFolder, temporaryFolder } from '../temporary-folder.ts'
import { statusOf } from '../vhostel.ts'
import type { Contender } from './contender.ts'
import type { Fault } from './fault.ts'
import { SHORT_LIMITS } from './faults.ts'
import type { NeighbourSite } from './neighbour-site.ts'
import { isPoolWhole, NOTE_PLACE } from './trial.ts'

const START_DEADLINE_MS = 60_000
const ADMIN_DEADLINE_MS = 5_000
/** Of each size that the machine has: the trial is about what is shared, so there is more than one of both. */
const POOL = '[pool]\nprocesses = 2\nthreads = 2\n'
/** All visitors come from one address. */
const SERVER = '[server]\nlisten = 127.0.0.1:0\nmax_connections_per_address = 0\n'
const LOG = 'vhostel.log'

/** Starts it. @param command path of its `bin/vhostel.js` */
export async function startVhostel(
  command: string,
  neighbours: readonly NeighbourSite[],
  faults: readonly Fault[],
): Promise<Contender> {
  await using stack = new AsyncDisposableStack()
  const folder = temporaryFolder('chaos')
  stack.defer(() => removeFolder(folder))
  writeFolder(folder, neighbours, faults)
  const args = [command, 'serve', '--config', join(folder, 'vhostel.ini')]
  const child = stack.use(await startChild(process.execPath, args, { cwd: folder }))
  const { listen, sites } = await until('vhostel to serve', child, START_DEADLINE_MS, () =>
    statusOf(folder, ADMIN_DEADLINE_MS),
  )
  const refused = sites.flatMap(({ state, problems }) => (state === 'refused' ? problems : []))
  if (refused.length > 0) throw new Error(refused.join('\n'))
  const running = stack.move()
  return {
    port: Number(new URL(listen[0] as string).port),
    neighbours: neighbours.map(({ name }) => name),
    journal: join(folder, 'journal'),
    workers: () => processTree([child.pid]).slice(1),
    isWhole: async () => {
      const status = await statusOf(folder, ADMIN_DEADLINE_MS)
      return status !== undefined && isPoolWhole(status)
    },
    log: () => readFileSync(join(folder, LOG), 'utf8').split('\n'),
    forget: (fault) => rmSync(join(folder, `sites-enabled/${fault.name}.ini`), { force: true }),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

function writeFolder(folder: string, neighbours: readonly NeighbourSite[], faults: readonly Fault[]): void {
  mkdirSync(join(folder, 'sites-available'))
  mkdirSync(join(folder, 'sites-enabled'))
  writeFileSync(join(folder, 'journal'), '')
  writeFileSync(join(folder, LOG), '')
  writeFileSync(join(folder, 'vhostel.ini'), `${SERVER}${POOL}`)
  writeFileSync(join(folder, 'logging.ini'), `[log]\nformat = json\nfile = ${LOG}\n`)
  for (const { name, files } of neighbours) writeSite(folder, name, files, 'module = site.mjs')
  for (const { name, code, files } of faults) {
    writeSite(
      folder,
      name,
      { 'app.mjs': NOTE_PLACE + code, ...files },
      'module = app.mjs\ntype = handler',
      SHORT_LIMITS,
    )
  }
}

function writeSite(
  folder: string,
  name: string,
  files: Record<string, string | Uint8Array>,
  module: string,
  limits = '',
): void {
  for (const [file, content] of Object.entries(files)) {
    const path = join(folder, 'sites', name, file)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
  }
  const site = `[site]\ndomains = ${name}.test\nroot = ../sites/${name}\n${module}\n`
  const ini = `${site}[env]\nJOURNAL = ${join(folder, 'journal')}\n${limits}`
  writeFileSync(join(folder, `sites-available/${name}.ini`), ini)
  symlinkSync(`../sites-available/${name}.ini`, join(folder, `sites-enabled/${name}.ini`))
}
