/**
 * `vhostel version`: what to write into a report of a fault.
 */
import type { Command } from 'commander'
import { VERSION } from '../core/version.ts'
import { print, printJson } from './output.ts'

/** Adds `vhostel version` to the program. */
export function addVersion(program: Command): void {
  program
    .command('version')
    .description('Print the versions of vhostel and of Node, and the platform.')
    .option('--json', 'print them as JSON')
    .addHelpText('after', '\nExamples:\n  $ vhostel version\n  $ vhostel version --json | jq -r .vhostel')
    .action(({ json }: { json?: boolean }) => {
      const { platform, arch, versions } = process
      if (json) printJson({ vhostel: VERSION, node: versions.node, platform, arch })
      else print(`vhostel ${VERSION}, Node ${versions.node}, ${platform} ${arch}`)
    })
}
