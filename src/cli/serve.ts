/**
 * `vhostel serve`: starts the server, says what it serves, and stays until it is told to end.
 *
 * Limit: a close that does not come to its end is cut off at `CLOSE_DEADLINE_MS`. Invariant: only one server runs on one
 * run folder.
 */
import { constants } from 'node:fs'
import type { Command } from 'commander'
import { adminClient, ifRunning } from '../admin/client.ts'
import { counted } from '../advice/words.ts'
import { mayNot, ownUser } from '../core/denied.ts'
import { notifier } from '../core/service-manager.ts'
import type { RunningServer } from '../dispatcher/main.ts'
import { leaveRemovedFolder, settingsOf } from './configuration.ts'
import { EXIT } from './exit-codes.ts'
import { complain, paint, print } from './output.ts'
import { surviveOwnFaults } from './own-faults.ts'
import { holdReload, untilToldToEnd, whenToldToReopen, whenToldToUpgrade } from './signals.ts'
import { siteTable } from './site-table.ts'

/** The server itself gives open requests 30 s, and its threads a few more. */
const CLOSE_DEADLINE_MS = 60_000
/** Sites in the start table; `vhostel list` shows them all. */
const MAX_SITES_SHOWN = 50
const NO_UPGRADE =
  'SIGUSR2 does nothing here: SIGHUP reloads, SIGUSR1 opens the log files again, and a new version of vhostel needs a restart'

/** Adds `vhostel serve` to the program. */
export function addServe(program: Command): void {
  program
    .command('serve')
    .description('Serve every enabled site, until SIGINT or SIGTERM.')
    .addHelpText('after', HELP)
    .action(async (_options: object, command: Command) => {
      process.exitCode = await serve(command)
    })
}

async function serve(command: Command): Promise<number> {
  const running: { server?: RunningServer } = {}
  whenToldToReopen(() => running.server?.reopenLogs())
  whenToldToUpgrade(() => running.server?.log.warn(NO_UPGRADE))
  const reloadAsked = holdReload()
  const settings = settingsOf(command)
  leaveRemovedFolder()
  const fault = runFolderFault(settings.run)
  if (fault !== undefined) {
    complain(`vhostel: ${fault}`)
    return EXIT.wrong
  }
  const other = await ifRunning(adminClient(settings.run).status())
  if (other !== undefined) {
    complain(
      `vhostel: a server (pid ${other.pid}) is already running on the run folder ${settings.run}; end it first, or set another [server] run`,
    )
    return EXIT.wrong
  }
  const notify = notifier(process.env)
  // Loaded here, so that the other commands are spared the server.
  const { startServer } = await import('../dispatcher/main.ts')
  const server = await startServer({ configFile: settings.file })
  running.server = server
  surviveOwnFaults(server.log)
  showStart(server)
  const tell = (message: string): Promise<void> =>
    notify(message).catch((error: unknown) => server.log.error({ err: error }, 'telling systemd failed'))
  void tell('READY=1')
  const toldToEnd = untilToldToEnd(() => reload(server))
  if (reloadAsked()) reload(server)
  await toldToEnd
  void tell('STOPPING=1')
  if (process.stderr.isTTY) complain('closing: open requests have 30 s to finish; press Ctrl-C again to end at once')
  setTimeout(() => process.exit(EXIT.wrong), CLOSE_DEADLINE_MS).unref()
  await server.close()
  return EXIT.ok
}

/** Why a run folder that is there is of no use: a server that was started by hand as somebody else made it. */
function runFolderFault(folder: string): string | undefined {
  if (!mayNot(folder, constants.W_OK | constants.X_OK)) return undefined
  return `user ${ownUser()} may not write to the run folder ${folder}; let that user have it (chown), or set another [server] run`
}

function showStart(server: RunningServer): void {
  const { version, sites, listen, pool, problems, configFile } = server.actions.status()
  const served = sites.filter((site) => site.state !== 'refused').length
  const sum = served === sites.length ? counted(served, 'site') : `${served} of ${counted(sites.length, 'site')}`
  print(`vhostel ${version} serves ${sum} on ${listen.join(', ')}   ${paint('dim', configFile)}`)
  print(`pool: ${pool.reason}`)
  print()
  if (sites.length === 0) print('No site is enabled yet: vhostel enable SITE, or put a link into the sites folder.')
  else for (const line of siteTable(sites, { maxSites: MAX_SITES_SHOWN })) print(line)
  for (const problem of problems) complain(problem)
  print()
}

/** What SIGHUP does: as `vhostel reload`, with the outcome in the log. */
function reload(server: RunningServer): void {
  server.log.info('reload was asked for by SIGHUP')
  server.actions.reload().then(
    ({ sites }) => server.log.info({ sites: sites.length }, 'reload is done'),
    (error: unknown) => server.log.error({ err: error }, 'reload failed'),
  )
}

const HELP = `
While it runs, it follows the files: a link put into sites-enabled/ makes a site live, an edited file is read again, a removed
link takes the site away. A site whose file or code is wrong is shown with the reason, and the others are served.

Signals:
  SIGINT, SIGTERM, SIGQUIT
                   let open requests finish (30 s at most; WebSockets and event streams half a second), then end
  a second one     ends at once
  SIGHUP           reloads everything
  SIGUSR1          reopens the log files

Exit codes: 0 it ended as told, 1 it could not start (address in use, …), 78 vhostel.ini or logging.ini cannot be used.

Examples:
  $ vhostel serve
  $ vhostel serve --config /etc/vhostel/vhostel.ini`
