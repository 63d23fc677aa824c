/**
 * The command `vhostel`: which commands there are, and what a failure of any of them comes to. Each command is a file of
 * its own; what it needs of the server is loaded only when it runs.
 *
 * Invariant: every way to fail ends in one of the exit codes of exit-codes.ts, with a sentence on standard error.
 */
import { Command, CommanderError } from 'commander'
import { VERSION } from '../core/version.ts'
import { addAdvise } from './advise.ts'
import { addCache } from './cache.ts'
import { addCheck } from './check.ts'
import { addDisable } from './disable.ts'
import { addEnable } from './enable.ts'
import { EXIT } from './exit-codes.ts'
import { reportFailure } from './failure.ts'
import { addInit } from './init.ts'
import { addList } from './list.ts'
import { addMatch } from './match.ts'
import { heedBrokenOutput } from './output.ts'
import { addReload } from './reload.ts'
import { addServe } from './serve.ts'
import { addStack } from './stack.ts'
import { addStatus } from './status.ts'
import { addVersion } from './version.ts'

/** Longest time from the end of a command to the end of its process. */
const LINGER_MS = 10_000

/** Runs one command; its outcome is the exit code of the process. @param args without node and script */
export async function main(args: readonly string[]): Promise<void> {
  heedBrokenOutput()
  try {
    await program().parseAsync(args, { from: 'user' })
  } catch (error) {
    process.exitCode = error instanceof CommanderError ? usageCode(error) : reportFailure(error)
  }
  // Nothing should be open any more; what is, does not keep the command from its end.
  setTimeout(() => process.exit(), LINGER_MS).unref()
}

function program(): Command {
  const command = new Command('vhostel')
    .description('Many sites, one pool: serves every site in sites-enabled/ from one set of processes and threads.')
    .option('-c, --config <file>', 'vhostel.ini, or its folder')
    .version(VERSION, '-V, --version', 'print the version')
    .helpCommand('help [command]', 'explain a command')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', ABOUT)
    .exitOverride()
  for (const add of [
    addServe,
    addCheck,
    addList,
    addStatus,
    addStack,
    addCache,
    addMatch,
    addEnable,
    addDisable,
    addReload,
    addAdvise,
    addInit,
    addVersion,
  ]) {
    add(command)
  }
  return command
}

/** Commander's own codes are 1 for every mistake in the words of a command. It has printed the mistake already. */
function usageCode(error: CommanderError): number {
  return error.exitCode === 0 ? EXIT.ok : EXIT.usage
}

const ABOUT = `
Without --config, vhostel looks for vhostel.ini in $VHOSTEL_HOME, in /etc/vhostel, and in the current folder.

Exit codes: 0 all is well, 1 something is wrong, 2 wrong usage, 78 the configuration or the version of Node cannot be used.

First steps:
  $ vhostel init my-sites
  $ vhostel serve --config my-sites`
