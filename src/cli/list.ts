/**
 * `vhostel list`: every enabled site with its links and where it stands; from the running server, or from the files where
 * none runs.
 */
import type { Command } from 'commander'
import { adminClient, ifRunning } from '../admin/client.ts'
import type { StatusReport } from '../admin/reports.ts'
import { counted } from '../advice/words.ts'
import { renderProblem } from '../config/problems.ts'
import type { ServerConfig } from '../config/server-schema.ts'
import { readFiles, settingsOf, sitesOf } from './configuration.ts'
import { EXIT } from './exit-codes.ts'
import { complain, print, printJson } from './output.ts'
import type { ListedSite } from './site-table.ts'
import { siteTable } from './site-table.ts'

/** Adds `vhostel list` to the program. */
export function addList(program: Command): void {
  program
    .command('list')
    .description('List the enabled sites with their links and their state.')
    .option('--json', 'print everything that is known as JSON')
    .addHelpText('after', HELP)
    .action(async (options: { json?: boolean }, command: Command) => {
      process.exitCode = await list(settingsOf(command), options.json === true)
    })
}

async function list(settings: ServerConfig, json: boolean): Promise<number> {
  const status = await ifRunning(adminClient(settings.run).status())
  if (status === undefined) await listFiles(settings, json)
  else if (json) printJson({ running: true, ...status })
  else listRunning(status)
  return EXIT.ok
}

function listRunning(status: StatusReport): void {
  printSites(status.sites, status.problems, true)
  print(
    `${counted(status.sites.length, 'site')} on ${status.listen.join(', ')}; pid ${status.pid}; ${status.pool.reason}`,
  )
}

async function listFiles(settings: ServerConfig, json: boolean): Promise<void> {
  const configuration = await readFiles(settings.file)
  const { server, problems } = configuration
  const sites = sitesOf(configuration)
  const ofSites = new Set([...configuration.table.sites.values()].flatMap((entry) => [...entry.problems]))
  const own = problems.filter((problem) => !ofSites.has(problem)).map((problem) => renderProblem(problem, server.dir))
  if (json) {
    printJson({ running: false, configFile: server.file, defaultSite: server.defaultSite, sites, problems: own })
    return
  }
  printSites(sites, own, false)
  print(`${counted(sites.length, 'site')} in ${server.sites}; no server is running`)
}

function printSites(sites: readonly ListedSite[], problems: readonly string[], traffic: boolean): void {
  if (sites.length === 0) print('No site is enabled.')
  else for (const line of siteTable(sites, { traffic })) print(line)
  for (const problem of problems) complain(problem)
  print()
}

const HELP = `
States:
  idle                      loads at its first request
  loading, live
  serving previous version  the newest version does not work
  quarantined               it harmed others and has a process of its own: vhostel status SITE says why
  failed                    its code cannot be loaded, or nothing answers for it
  refused                   its file is wrong
  not running               no server is running

Exit codes: 0 even if sites are not well, 78 there is no vhostel.ini.

Examples:
  $ vhostel list
  $ vhostel list --json | jq -r '.sites[] | select(.problems != []) | .name'`
