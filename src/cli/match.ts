/**
 * `vhostel match URL`: which site a URL goes to, by which rule, and why the other rules lost.
 */
import type { Command } from 'commander'
import { adminClient, ifRunning } from '../admin/client.ts'
import type { MatchReport, MatchRule } from '../admin/reports.ts'
import type { ServerConfig } from '../config/server-schema.ts'
import { buildHostTable } from '../dispatcher/host-table.ts'
import { isHostless, matchReport } from '../dispatcher/match.ts'
import { readFiles, settingsOf } from './configuration.ts'
import { EXIT } from './exit-codes.ts'
import { columns, complain, paint, print, printJson } from './output.ts'

/** Adds `vhostel match` to the program. */
export function addMatch(program: Command): void {
  program
    .command('match')
    .argument('<url>', 'a URL, or just its host')
    .description('Explain which site answers for a URL, by which rule, and why other matching rules lost.')
    .option('--json', 'print the answer as JSON')
    .addHelpText('after', HELP)
    .action(async (url: string, options: { json?: boolean }, command: Command) => {
      process.exitCode = await match(url, settingsOf(command), options.json === true)
    })
}

async function match(url: string, settings: ServerConfig, json: boolean): Promise<number> {
  const running = await ifRunning(adminClient(settings.run).match(url))
  const report = running ?? (await matchFiles(url, settings))
  if (json) printJson({ running: running !== undefined, ...report })
  else explain(report, running !== undefined)
  return report.site === undefined ? EXIT.wrong : EXIT.ok
}

/** The answer of a server that would start now. */
async function matchFiles(url: string, settings: ServerConfig): Promise<MatchReport> {
  const { server, table } = await readFiles(settings.file)
  const claims = [...table.sites.values()].flatMap(({ name, config }) =>
    config === undefined ? [] : [{ name, site: name, patterns: config.domains }],
  )
  return matchReport(url, buildHostTable(claims, server.defaultSite))
}

function explain(report: MatchReport, isRunning: boolean): void {
  const source = isRunning ? '' : paint('dim', '  (from the files; no server is running)')
  if (report.host === undefined) {
    complain(`${report.url === '' ? 'vhostel' : report.url}: ${whyNoHost(report.url)}`)
    return
  }
  const [winner, ...losers] = report.rules
  if (report.site === undefined || winner === undefined) {
    print(`${report.host}: no site${source}`)
    print('No rule matches, and there is no [server] default_site: such a request is answered with 421.')
    return
  }
  print(`${report.host}: site ${paint('bold', report.site)}${source}`)
  for (const line of columns([winner, ...losers].map(row))) print(`  ${line}`)
  for (const [name, value] of Object.entries(report.captures)) print(`  captured ${name} = ${value}`)
}

function whyNoHost(url: string): string {
  return isHostless(url)
    ? 'no host is named: say a URL or a host, such as a.example.com'
    : 'this has no valid host; such a request is answered with 400'
}

function row(rule: MatchRule) {
  const won = rule.outcome === 'won'
  return [
    { text: won ? 'won' : 'lost', style: won ? ('green' as const) : ('dim' as const) },
    { text: rule.rule },
    { text: `${KINDS[rule.kind]} of site ${rule.site}` },
    { text: won ? '' : rule.outcome },
  ]
}

const KINDS = {
  exact: 'exact name',
  suffix: '*.suffix',
  prefix: 'prefix.*',
  regex: 'regular expression',
  default: 'default site',
} as const satisfies Record<MatchRule['kind'], string>

const HELP = `
Order: exact name > longest *.example.com > longest www.* > first ~regex (by site name) > default site > 421.

Exit codes: 0 a site answers, 1 no site does, 78 there is no vhostel.ini.

Examples:
  $ vhostel match http://a.example.com/x
  $ vhostel match --json blog.localhost | jq -r .site`
