/**
 * `vhostel reload [SITE]`: makes the running server read everything again and load new generations, also of sites whose
 * files did not change; and says what each came to.
 */
import type { Command } from 'commander'
import { adminClient } from '../admin/client.ts'
import type { ReloadReport } from '../admin/reports.ts'
import { counted } from '../advice/words.ts'
import type { ServerConfig } from '../config/server-schema.ts'
import { isUncertified } from './certificate-text.ts'
import { settingsOf } from './configuration.ts'
import { EXIT } from './exit-codes.ts'
import { complain, paint, print, printJson } from './output.ts'
import { siteNameOf } from './site-links.ts'
import { isFaulty, problemLines, stateText } from './site-table.ts'
import { restartLines } from './status-text.ts'
import { patiently, reasonToWait } from './waiting.ts'

/** Adds `vhostel reload` to the program. */
export function addReload(program: Command): void {
  program
    .command('reload')
    .argument('[site]', 'name of an enabled site; without it, all sites')
    .description('Load a new generation of one site, or of all, while the old one keeps serving.')
    .option('--json', 'print the outcome for each site as JSON')
    .addHelpText('after', HELP)
    .action(async (site: string | undefined, options: { json?: boolean }, command: Command) => {
      const report = await reload(site === undefined ? undefined : siteNameOf(site), settingsOf(command))
      if (options.json) printJson(report)
      else show(report)
      process.exitCode = report.problems.length > 0 || report.sites.some(isFaulty) ? EXIT.wrong : EXIT.ok
    })
}

function reload(site: string | undefined, settings: ServerConfig): Promise<ReloadReport> {
  const client = adminClient(settings.run)
  return patiently(client.reload(site), async () =>
    site === undefined ? 'waiting for the sites in use to load again' : await reasonToWait(site, settings, client),
  )
}

function show({ sites, problems, awaitsRestart }: ReloadReport): void {
  for (const problem of problems) complain(problem)
  for (const line of restartLines(awaitsRestart).filter(Boolean)) complain(line)
  for (const site of sites) {
    if (sites.length > 1 && !isFaulty(site)) continue
    print(`${paint('bold', site.name)}: ${stateText(site.state)}`)
    for (const line of problemLines(site)) complain(line)
  }
  const uncertified = sites.filter(isUncertified)
  for (const { name } of uncertified) complain(`${name}: no good certificate so far; 'vhostel status ${name}' says why`)
  const faulty = sites.filter(isFaulty).length
  const well = uncertified.length === 0 ? 'all are well' : 'all are in service'
  const outcome = faulty === 0 ? well : `something is wrong with ${counted(faulty, 'site')}`
  if (sites.length !== 1) print(`${counted(sites.length, 'site')} read again: ${outcome}`)
}

const HELP = `
No request is dropped. If the new generation cannot be loaded, the old one keeps serving. Needs a running server.

Exit codes: 0 all is well, 1 something is wrong, or no server is running.

Examples:
  $ vhostel reload blog
  $ vhostel reload --json | jq -r '.sites[] | select(.state == "previous") | .problems[]'`
