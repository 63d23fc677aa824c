/**
 * `vhostel disable SITE`: removes the link and waits until the running server has let the site go. Its file stays in
 * sites-available/.
 */
import type { Command } from 'commander'
import { adminClient, ifRunning } from '../admin/client.ts'
import { shownPath } from '../config/problems.ts'
import type { ServerConfig } from '../config/server-schema.ts'
import { settingsOf } from './configuration.ts'
import { EXIT } from './exit-codes.ts'
import { complain, print, printJson } from './output.ts'
import type { SitePaths } from './site-links.ts'
import {
  availableFolder,
  isOtherFile,
  isThere,
  otherNames,
  placeOf,
  removeLink,
  siteNameOf,
  sitePaths,
} from './site-links.ts'

/** Adds `vhostel disable` to the program. */
export function addDisable(program: Command): void {
  program
    .command('disable')
    .argument('<site>', 'name of an enabled site, with or without .ini')
    .description('Take a site offline: remove its link from sites-enabled/. Its file stays in sites-available/.')
    .option('--json', 'print what came of it as JSON')
    .addHelpText('after', HELP)
    .action(async (site: string, options: { json?: boolean }, command: Command) => {
      process.exitCode = await disable(site, settingsOf(command), options.json === true)
    })
}

/** What came of it: what `--json` prints. */
interface Outcome {
  site: string
  /** Whether there was a link to remove. */
  changed: boolean
  running: boolean
  /** Whether a running server still serves it. */
  served: boolean
  /** Of vhostel.ini. */
  problems: string[]
}

async function disable(site: string, settings: ServerConfig, json: boolean): Promise<number> {
  const paths = sitePaths(siteNameOf(site), settings.sites)
  if (isOtherFile(site, paths)) {
    complain(
      `vhostel: ${site} is no file of the site ${paths.name}: say its name alone (vhostel disable ${paths.name})`,
    )
    return EXIT.wrong
  }
  switch (placeOf(paths.enabled).kind) {
    case 'link':
      removeLink(paths)
      return tell(await outcomeOf(paths.name, settings, true), json)
    case 'free':
      // What could be enabled is as it was asked to be; any other name is a mistake.
      if (isThere(paths.available)) return tell(await outcomeOf(paths.name, settings, false), json)
      complain(`vhostel: no site ${paths.name} is enabled${otherNames(paths.name, settings.sites)}`)
      return EXIT.wrong
    case 'file':
      complain(`vhostel: ${wouldBeLost(paths, settings)}`)
      return EXIT.wrong
  }
}

function wouldBeLost({ enabled }: SitePaths, { dir, sites }: ServerConfig): string {
  const to = shownPath(availableFolder(sites), dir)
  return `${shownPath(enabled, dir)} is a file of its own, not a link, and would be lost; move it to ${to}/ instead`
}

/** Has the running server read its files; a name that it does not know then is one that it has let go. */
async function outcomeOf(site: string, { run }: ServerConfig, changed: boolean): Promise<Outcome> {
  const client = adminClient(run)
  const outcome = { site, changed, running: true, served: false, problems: [] }
  try {
    const report = await ifRunning(client.reload(site))
    return { ...outcome, running: report !== undefined, served: report !== undefined }
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'VHOSTEL_SITE_UNKNOWN') throw error
    return { ...outcome, problems: (await client.status()).problems }
  }
}

/** @returns the exit code */
function tell(outcome: Outcome, json: boolean): number {
  if (json) printJson(outcome)
  else show(outcome)
  return outcome.served ? EXIT.wrong : EXIT.ok
}

function show({ site, changed, running, served, problems }: Outcome): void {
  const state = changed ? `the link of ${site} is removed` : `${site} has no link`
  if (served) complain(`vhostel: ${state}, but the server still serves it; 'vhostel list' shows why`)
  else if (!changed) print(`${site} is not enabled`)
  else if (!running) print(`No server is running. The next 'vhostel serve' will not serve ${site}.`)
  else print(`${site} is disabled; open requests end, new ones are not taken`)
  for (const problem of problems) complain(problem)
}

const HELP = `
Open requests finish. A plain file in sites-enabled/ is not removed: it would be lost.

Exit codes: 0 it is no longer enabled, 1 there is no such site, or a file where a link should be.

Examples:
  $ vhostel disable blog
  $ vhostel disable blog && vhostel enable blog
  $ vhostel disable blog --json | jq .served`
