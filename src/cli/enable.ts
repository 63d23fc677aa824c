/**
 * `vhostel enable SITE`: makes the link, waits until the running server has read it and loaded the site, and says what is
 * live now or what is wrong; and what it waits for, where that takes long.
 */
import type { Command } from 'commander'
import { adminClient, ifRunning } from '../admin/client.ts'
import { shownPath } from '../config/problems.ts'
import type { ServerConfig } from '../config/server-schema.ts'
import { readFiles, settingsOf, sitesOf } from './configuration.ts'
import { EXIT } from './exit-codes.ts'
import { complain, paint, print, printJson } from './output.ts'
import type { Place, SitePaths } from './site-links.ts'
import {
  availableFolder,
  isOtherFile,
  isThere,
  leadsTo,
  makeLink,
  misnamed,
  otherNames,
  placeOf,
  siteNameOf,
  sitePaths,
} from './site-links.ts'
import type { ListedSite } from './site-table.ts'
import { addresses, isFaulty, problemLines, stateText } from './site-table.ts'
import { patiently, reasonToWait } from './waiting.ts'

/** Adds `vhostel enable` to the program. */
export function addEnable(program: Command): void {
  program
    .command('enable')
    .argument('<site>', 'name of a file in sites-available/, with or without .ini')
    .description('Make a site live: link its file into sites-enabled/ and wait until it is served.')
    .option('--json', 'print what came of it as JSON')
    .addHelpText('after', HELP)
    .action(async (site: string, options: { json?: boolean }, command: Command) => {
      process.exitCode = await enable(site, settingsOf(command), options.json === true)
    })
}

async function enable(site: string, settings: ServerConfig, json: boolean): Promise<number> {
  const paths = sitePaths(siteNameOf(site), settings.sites)
  if (isOtherFile(site, paths)) {
    const available = shownPath(paths.available, settings.dir)
    complain(`vhostel: ${site} is not ${available}: move it there, or link to it there, to enable it`)
    return EXIT.wrong
  }
  const place = placeOf(paths.enabled)
  const changed = !leadsTo(place, paths.available)
  if (changed) {
    const refusal = whyNot(paths, place, settings)
    if (refusal !== undefined) {
      complain(`vhostel: ${refusal}`)
      return EXIT.wrong
    }
    makeLink(paths)
  }
  const outcome = await outcomeOf(paths.name, settings)
  if (outcome.site === undefined) {
    complain(`vhostel: ${paths.name} is not among the sites of ${settings.sites}`)
    return EXIT.wrong
  }
  if (json) printJson({ changed, ...outcome })
  else show(outcome.site, outcome.running, changed)
  return isFaulty(outcome.site) ? EXIT.wrong : EXIT.ok
}

/** Why the link cannot be made. */
function whyNot(
  { name, enabled, available }: SitePaths,
  place: Place,
  { dir, sites }: ServerConfig,
): string | undefined {
  const shown = shownPath(enabled, dir)
  if (name === '' || name === '.ini') return 'the name of the site is empty'
  if (name.startsWith('.')) return 'a name that begins with a dot is passed over in the sites folder'
  if (place.kind === 'file') {
    return `${shown} is a file of its own, not a link: it is served as it is; move it to ${shownPath(availableFolder(sites), dir)} to enable and disable it`
  }
  if (!isThere(available)) {
    const folder = availableFolder(sites)
    return `there is no ${shownPath(available, dir)}${misnamed(name, folder) ?? otherNames(name, folder)}`
  }
  if (place.kind === 'link') {
    return `${shown} is a link to ${place.target}, which is another file; remove it first (vhostel disable ${name})`
  }
  return undefined
}

/** What came of it: as the running server has it, else as the files have it. */
async function outcomeOf(
  name: string,
  settings: ServerConfig,
): Promise<{ running: boolean; site: ListedSite | undefined }> {
  const client = adminClient(settings.run)
  const report = await patiently(ifRunning(client.reload(name)), () => reasonToWait(name, settings, client))
  const sites: ListedSite[] = report?.sites ?? sitesOf(await readFiles(settings.file))
  return { running: report !== undefined, site: sites.find((one) => one.name === name) }
}

function show(site: ListedSite, running: boolean, changed: boolean): void {
  const { name } = site
  if (!changed) print(`${name} is enabled already`)
  if (!running) print(`No server is running. The next 'vhostel serve' will serve ${name}.`)
  if (site.state !== 'not running') print(`${paint('bold', name)}: ${stateText(site.state)}`)
  for (const line of problemLines(site)) complain(line)
  if (isFaulty(site)) complain(`The link stays: ${name} is served as soon as this is right.`)
  for (const address of addresses(site)) print(`  ${paint('cyan', address)}`)
}

const HELP = `
Makes the relative link sites-enabled/SITE.ini -> ../sites-available/SITE.ini. A site that is already enabled is read again.

Exit codes: 0 it is served (or will be, if no server is running), 1 it cannot be enabled or something is wrong with it.

Examples:
  $ vhostel enable blog
  $ vhostel enable blog --config /etc/vhostel
  $ vhostel enable blog --json | jq -r '.site.urls[]'`
