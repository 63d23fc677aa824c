/**
 * `vhostel disable SITE`: removes the link and waits until the running server has let the site go. Its file stays in
 * sites-available/.
 */
import type { Command } from 'commander'
import type { AdminClient } from '../admin/client.ts'
import { adminClient, ifRunning } from '../admin/client.ts'
import { shownPath } from '../config/problems.ts'
import type { ServerConfig } from '../config/server-schema.ts'
import { settingsOf } from './configuration.ts'
import { EXIT } from './exit-codes.ts'
import { complain, print } from './output.ts'
import type { SitePaths } from './site-links.ts'
import { availableFolder, isThere, otherNames, placeOf, removeLink, siteNameOf, sitePaths } from './site-links.ts'

/** Adds `vhostel disable` to the program. */
export function addDisable(program: Command): void {
  program
    .command('disable')
    .argument('<site>', 'name of an enabled site, with or without .ini')
    .description('Take a site offline: remove its link from sites-enabled/. Its file stays in sites-available/.')
    .addHelpText('after', HELP)
    .action(async (site: string, _options: object, command: Command) => {
      process.exitCode = await disable(site, settingsOf(command))
    })
}

async function disable(site: string, settings: ServerConfig): Promise<number> {
  const paths = sitePaths(siteNameOf(site), settings.sites)
  switch (placeOf(paths.enabled).kind) {
    case 'link':
      removeLink(paths)
      return show(paths.name, adminClient(settings.run))
    case 'free':
      return notEnabled(paths, settings)
    case 'file': {
      const from = shownPath(paths.enabled, settings.dir)
      const to = shownPath(availableFolder(settings.sites), settings.dir)
      complain(`vhostel: ${from} is a file of its own, not a link, and would be lost; move it to ${to}/ instead`)
      return EXIT.wrong
    }
  }
}

/** What is not enabled and could be is as it was asked to be; any other name is a mistake. */
function notEnabled({ name, available }: SitePaths, settings: ServerConfig): number {
  if (isThere(available)) {
    print(`${name} is not enabled`)
    return EXIT.ok
  }
  complain(`vhostel: no site ${name} is enabled${otherNames(name, settings.sites)}`)
  return EXIT.wrong
}

async function show(name: string, client: AdminClient): Promise<number> {
  const gone = await ifRunning(untilGone(name, client))
  if (gone === undefined) {
    print(`No server is running. The next 'vhostel serve' will not serve ${name}.`)
    return EXIT.ok
  }
  if (!gone) {
    complain(`vhostel: the link of ${name} is removed, but the server still serves it; 'vhostel list' shows why`)
    return EXIT.wrong
  }
  print(`${name} is disabled; open requests end, new ones are not taken`)
  for (const problem of (await client.status()).problems) complain(problem)
  return EXIT.ok
}

/** Makes the server read its files; a name that it does not know then is one that it has let go. */
async function untilGone(name: string, client: AdminClient): Promise<boolean> {
  try {
    await client.reload(name)
    return false
  } catch (error) {
    if ((error as { code?: unknown }).code === 'VHOSTEL_SITE_UNKNOWN') return true
    throw error
  }
}

const HELP = `
Open requests finish. A plain file in sites-enabled/ is not removed: it would be lost.

Exit codes: 0 it is no longer enabled, 1 there is no such site, or a file where a link should be.

Examples:
  $ vhostel disable blog
  $ vhostel disable blog && vhostel enable blog`
