/**
 * `vhostel stack SITE`: what runs at this moment in each thread that has the site loaded, read from outside of the thread,
 * so that it also tells of one that never comes back.
 */
import type { Command } from 'commander'
import { adminClient } from '../admin/client.ts'
import type { StackReport } from '../admin/reports.ts'
import { settingsOf } from './configuration.ts'
import { EXIT } from './exit-codes.ts'
import { oneLine, paint, print, printJson } from './output.ts'
import { siteNameOf } from './site-links.ts'

/** Adds `vhostel stack` to the program. */
export function addStack(program: Command): void {
  program
    .command('stack')
    .argument('<site>', 'name of an enabled site')
    .description('Show what each thread that has a site loaded is running now: the stack of its JavaScript.')
    .option('--json', 'print the stacks as JSON')
    .addHelpText('after', HELP)
    .action(async (site: string, options: { json?: boolean }, command: Command) => {
      const report = await adminClient(settingsOf(command).run).stack(siteNameOf(site))
      if (options.json) printJson(report)
      else for (const line of stackLines(report)) print(line)
      process.exitCode = EXIT.ok
    })
}

/** The report as lines: each thread, and what runs in it. */
export function stackLines({ site, threads }: StackReport): string[] {
  if (threads.length === 0) return [`${site}: not loaded in any thread`]
  return threads.flatMap(({ thread, pid, stack }) => {
    const place = paint('bold', `thread ${thread}, process ${pid ?? '?'}`)
    if (stack === undefined) return [`${place}: in native code: the thread does not tell`]
    if (stack === '') return [`${place}: idle`]
    return [`${place}:`, ...stack.split('\n').map(oneLine)]
  })
}

const HELP = `
It works even if the thread is in an endless loop. Threads are shared: the code may belong to another site, as its path shows.
The thread stands still for some ms while it is read.

Exit codes: 0 the threads are shown, 1 no site has this name, or no server is running, 78 there is no vhostel.ini.

Examples:
  $ vhostel stack shop
  $ vhostel stack shop --json | jq -r '.threads[].stack'`
