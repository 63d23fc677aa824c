/**
 * Which configuration a command is about, and what its files say where no server runs that could be asked.
 */
import { constants } from 'node:fs'
import type { Command } from 'commander'
import { findConfig } from '../config/find.ts'
import type { WholeConfiguration } from '../config/load-all.ts'
import { loadAll } from '../config/load-all.ts'
import { loadServer } from '../config/load-server.ts'
import { renderProblem } from '../config/problems.ts'
import type { ListenAddress, ServerConfig } from '../config/server-schema.ts'
import type { SiteEntry } from '../config/sites-table.ts'
import { deniedText, mayNot } from '../core/denied.ts'
import { ConfigInvalid } from '../core/errors.ts'
import type { FrontPorts } from '../dispatcher/site.ts'
import { sources, urlsOf } from '../dispatcher/site.ts'
import type { ListedSite } from './site-table.ts'

/** What the files alone say of a site. */
export type FileSite = ListedSite & { file: string }

/** Absolute path of vhostel.ini. @throws VHOSTEL_CONFIG_NOT_FOUND */
export function configFileOf(command: Command): string {
  const { config } = command.optsWithGlobals<{ config?: string }>()
  return findConfig(config, process.env, currentFolder())
}

/** Goes to `/` where the current folder was removed: packages of the server ask for it when they are loaded. */
export function leaveRemovedFolder(): void {
  if (currentFolder() === undefined) process.chdir('/')
}

/** Undefined where it was removed, as an old release is while a shell is still in it. */
function currentFolder(): string | undefined {
  try {
    return process.cwd()
  } catch {
    return undefined
  }
}

/**
 * The server's settings, with defaults in the place of what is wrong: a running server that was started before it went
 * wrong can still be reached.
 *
 * @throws VHOSTEL_CONFIG_INVALID when this user may not read vhostel.ini: which run folder to ask on is not known then
 */
export function settingsOf(command: Command): ServerConfig {
  const file = configFileOf(command)
  if (mayNot(file, constants.R_OK)) throw new ConfigInvalid(`${file}: ${deniedText(file)}`)
  return loadServer(file).draft
}

/** All files, read as a server would that starts now. @param file vhostel.ini */
export function readFiles(file: string): Promise<WholeConfiguration> {
  return loadAll(file, process.env)
}

/** The sites of the files, as they would be served. */
export function sitesOf({ server, table }: WholeConfiguration): FileSite[] {
  return [...table.sites.values()].map((entry) => siteOf(entry, server))
}

function siteOf(entry: SiteEntry, server: ServerConfig): FileSite {
  const config = entry.reading.config
  return {
    name: entry.name,
    kind: config?.kind,
    file: entry.file,
    domains: config === undefined ? [] : sources(config),
    urls:
      entry.config === undefined
        ? []
        : urlsOf(entry.config, frontPorts(server), entry.config.certificate !== undefined),
    state: entry.status === 'refused' ? 'refused' : 'not running',
    problems: entry.problems.map((problem) => renderProblem(problem, server.dir)),
  }
}

function frontPorts({ listen, listenTls }: ServerConfig): FrontPorts {
  return { ports: portsOf(listen), securePorts: portsOf(listenTls) }
}

/** Port 0 is any that is free: which one, only a running server knows. */
function portsOf(addresses: readonly ListenAddress[]): number[] {
  return addresses.flatMap((address) => (address.kind === 'tcp' && address.port !== 0 ? [address.port] : []))
}
