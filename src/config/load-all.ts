/**
 * The whole configuration read once, as a server would at its start: for `vhostel check` and `vhostel list`.
 */
import { loadServer } from './load-server.ts'
import type { Problem } from './problems.ts'
import { inLineOrder } from './problems.ts'
import { readSites } from './read-sites.ts'
import type { ServerConfig } from './server-schema.ts'
import type { SitesTable } from './sites-table.ts'
import { checkDefaultSite, nextSitesTable } from './sites-table.ts'

export interface WholeConfiguration {
  /** With defaults in the place of what is wrong in vhostel.ini or logging.ini. */
  server: ServerConfig
  table: SitesTable
  /** Whether a server would start with it, however many sites it would refuse. */
  starts: boolean
  /** Every problem: vhostel.ini, logging.ini, then the sites by name; each file's by line. Empty: all is well. */
  problems: Problem[]
  /** What a person should know, and serves all the same. */
  warnings: Problem[]
}

/**
 * Reads vhostel.ini, logging.ini and every site.
 *
 * @param file path of vhostel.ini
 * @param env the environment that the server has or would have, for `$NAME`
 */
export async function loadAll(file: string, env: NodeJS.ProcessEnv = process.env): Promise<WholeConfiguration> {
  const { config, problems: serverProblems, warnings: serverWarnings, draft: server } = loadServer(file)
  const reading = await readSites(server, undefined, env)
  const table = nextSitesTable(undefined, reading.sites.values(), server.dir)
  const unknownDefault = checkDefaultSite(server, table)
  const ofServerFile = serverProblems.filter((problem) => problem.file === server.file)
  const ofLoggingFile = serverProblems.filter((problem) => problem.file !== server.file)
  const problems = [
    ...inLineOrder(unknownDefault === undefined ? ofServerFile : [...ofServerFile, unknownDefault]),
    ...ofLoggingFile,
    ...reading.problems,
    ...[...table.sites.values()].flatMap((entry) => entry.problems),
  ]
  const ofSites = [...reading.sites.values()].flatMap((site) => site.warnings)
  const warnings = [...serverWarnings, ...reading.warnings, ...ofSites]
  return { server, table, starts: config !== undefined, problems, warnings }
}
