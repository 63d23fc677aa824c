/**
 * `vhostel cache purge SITE [URL]`: makes a running server forget answers that it has stored.
 */
import type { Command } from 'commander'
import { adminClient } from '../admin/client.ts'
import type { PurgeReport } from '../admin/reports.ts'
import { counted } from '../advice/words.ts'
import { formatSize } from '../config/measures.ts'
import { settingsOf } from './configuration.ts'
import { EXIT } from './exit-codes.ts'
import { print, printJson } from './output.ts'
import { siteNameOf } from './site-links.ts'

/** Adds `vhostel cache` to the program. */
export function addCache(program: Command): void {
  program
    .command('cache')
    .description('Manage the stored answers of sites with cache = on.')
    .addHelpText('after', EXAMPLES)
    .command('purge')
    .argument('<site>', 'name of an enabled site')
    .argument('[url]', 'URL or path, or its beginning and a *; without it, everything')
    .description('Drop stored answers of a site: the next requests for them go to the site.')
    .option('--json', 'print what was dropped as JSON')
    .addHelpText('after', HELP)
    .action(async (site: string, url: string | undefined, options: { json?: boolean }, command: Command) => {
      const report = await adminClient(settingsOf(command).run).purge(siteNameOf(site), url)
      if (options.json) printJson(report)
      else print(purgeLine(report))
      process.exitCode = EXIT.ok
    })
}

/** `shop: 12 URLs forgotten (340KB)` */
export function purgeLine({ site, urls, bytes }: PurgeReport): string {
  if (urls === 0) return `${site}: nothing was stored for that`
  return `${site}: ${counted(urls, 'URL')} forgotten (${formatSize(Math.ceil(bytes / 1024) * 1024)})`
}

const EXAMPLES = `
Examples:
  $ vhostel cache purge shop
  $ vhostel cache purge shop /products?page=1
  $ vhostel cache purge shop 'https://shop.example.com/products*'`

const HELP = `
A path counts for every host of the site, http and https. Quote a *, or the shell expands it. Answers that are on their way from
the site at that moment are not stored.

Exit codes: 0 done, even if nothing was stored; 1 no site has this name, or no server is running; 78 there is no vhostel.ini.
${EXAMPLES}`
