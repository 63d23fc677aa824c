/**
 * `vhostel check`: every problem of every file at once, as `nginx -t` does for one. Asks no server and changes nothing.
 */
import type { Command } from 'commander'
import { counted } from '../advice/words.ts'
import type { WholeConfiguration } from '../config/load-all.ts'
import { renderProblem } from '../config/problems.ts'
import { configFileOf, readFiles } from './configuration.ts'
import { EXIT } from './exit-codes.ts'
import { complain, paint, print, printJson } from './output.ts'

/** Adds `vhostel check` to the program. */
export function addCheck(program: Command): void {
  program
    .command('check')
    .description('Check vhostel.ini, logging.ini and every enabled site, and show every problem at once.')
    .option('--json', 'print the problems as JSON')
    .addHelpText('after', HELP)
    .action(async (options: { json?: boolean }, command: Command) => {
      process.exitCode = await check(command, options.json === true)
    })
}

async function check(command: Command, json: boolean): Promise<number> {
  const configuration = await readFiles(configFileOf(command))
  const { problems, warnings, server, starts } = configuration
  const ok = problems.length === 0
  if (json) printJson({ ok, starts, configFile: server.file, ...totals(configuration), problems, warnings })
  else {
    for (const problem of problems) complain(renderProblem(problem, server.dir))
    for (const warning of warnings) complain(`${paint('yellow', 'warning:')} ${renderProblem(warning, server.dir)}`)
    print(summary(configuration))
  }
  return ok ? EXIT.ok : EXIT.wrong
}

function totals({ table }: WholeConfiguration): { sites: number; refused: number } {
  const refused = [...table.sites.values()].filter((entry) => entry.status === 'refused').length
  return { sites: table.sites.size, refused }
}

function summary(configuration: WholeConfiguration): string {
  const { problems, server, starts } = configuration
  const { sites, refused } = totals(configuration)
  if (problems.length === 0) return `${server.file}: ${paint('green', 'all is well')}, ${counted(sites, 'site')}`
  const files = new Set(problems.map((problem) => problem.file)).size
  const found = `${counted(problems.length, 'problem')} in ${counted(files, 'file')}`
  const outcome = starts ? `${refused} of ${counted(sites, 'site')} would not be served` : 'the server would not start'
  return `${server.file}: ${paint('red', found)}; ${outcome}`
}

const HELP = `
Reads all files as a server would that starts now, and changes nothing. A wrong file affects its own site only: the others are
served, and a version that is already serving keeps serving.

Exit codes: 0 all is well, 1 something is wrong, 78 there is no vhostel.ini.

Examples:
  $ vhostel check
  $ vhostel check --config /etc/vhostel && sudo systemctl reload vhostel
  $ vhostel check --json | jq -r '.problems[].file'`
