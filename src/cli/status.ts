/**
 * `vhostel status [SITE]`: what a running server does, and what is wrong with it or with one of its sites.
 *
 * Invariant: the exit code says the same as the words, also with `--json`.
 */
import type { Command } from 'commander'
import { adminClient, ifRunning } from '../admin/client.ts'
import type { StatusReport } from '../admin/reports.ts'
import { unknownSite } from '../admin/unknown-site.ts'
import type { ServerConfig } from '../config/server-schema.ts'
import { NotRunning } from '../core/errors.ts'
import { settingsOf } from './configuration.ts'
import { EXIT } from './exit-codes.ts'
import { complain, print, printJson } from './output.ts'
import { siteNameOf } from './site-links.ts'
import { isFaulty } from './site-table.ts'
import { siteLines, threadsOfSite } from './site-text.ts'
import { statusLines } from './status-text.ts'
import { isQuarantined, isWell, troublesOf } from './troubles.ts'

/** Adds `vhostel status` to the program. */
export function addStatus(program: Command): void {
  program
    .command('status')
    .argument('[site]', 'name of an enabled site; without it, the whole server')
    .description('Show what the running server does and what is wrong: which site, why, since when, and what was done.')
    .option('--json', 'print everything that is known as JSON')
    .addHelpText('after', HELP)
    .action(async (site: string | undefined, options: { json?: boolean }, command: Command) => {
      const name = site === undefined ? undefined : siteNameOf(site)
      process.exitCode = await showStatus(name, settingsOf(command), options.json === true)
    })
}

async function showStatus(site: string | undefined, settings: ServerConfig, json: boolean): Promise<number> {
  const status = await ifRunning(adminClient(settings.run).status())
  if (status === undefined) {
    complain(`vhostel: ${new NotRunning(settings.run).message}`)
    if (json) printJson({ running: false, ok: false, configFile: settings.file })
    return EXIT.notRunning
  }
  const ok = site === undefined ? showServer(status, json) : showSite(site, status, json)
  return ok ? EXIT.ok : EXIT.wrong
}

/** @returns whether all is well */
function showServer(status: StatusReport, json: boolean): boolean {
  const now = Date.now()
  const troubles = troublesOf(status, now)
  const ok = isWell(troubles)
  if (json) printJson({ running: true, ok, ...status })
  else for (const line of statusLines(status, troubles, now)) print(line)
  return ok
}

/** @returns whether the site is well @throws VHOSTEL_SITE_UNKNOWN */
function showSite(name: string, status: StatusReport, json: boolean): boolean {
  const site = status.sites.find((one) => one.name === name)
  if (site === undefined) {
    throw unknownSite(
      name,
      status.sites.map((one) => one.name),
    )
  }
  const ok = !isFaulty(site) && !isQuarantined(site)
  if (json) printJson({ running: true, ok, site, threads: threadsOfSite(site, status) })
  else for (const line of siteLines(site, status, Date.now())) print(line)
  return ok
}

const HELP = `
Exit codes:
  0   all is well
  1   a site is quarantined, failed, refused or serves its previous version; a thread is blocked for 1 s or more; threads are
      missing; vhostel.ini is wrong; or no site has this name
  3   no server is running
  78  there is no vhostel.ini

Examples:
  $ vhostel status
  $ vhostel status shop
  $ vhostel status --json | jq -r '.sites[] | select(.residency.quarantinedSince) | .name'`
