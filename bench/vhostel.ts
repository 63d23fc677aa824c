/**
 * vhostel as a user starts it: the command, a folder with vhostel.ini, one INI a site and a link to each. Every site has
 * a folder and a module file of its own. Nothing is tuned.
 */
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import type { StatusReport } from '../src/admin/reports.ts'
import type { Child } from './children.ts'
import { startChild, until } from './children.ts'
import { linkFastifyInto } from './own-fastify.ts'
import { removeFolder, temporaryFolder } from './temporary-folder.ts'

const PLUGIN = join(import.meta.dirname, 'servers/plugin.mjs')
const START_DEADLINE_MS = 120_000
const ADMIN_DEADLINE_MS = 10_000

export interface VhostelOptions {
  /** How many sites are enabled: site1.test and so on. */
  sites: number
  /** Path of the `bin/vhostel.js` to start. */
  command: string
  /** Gives each site its own copy of Fastify, instead of leaving them vhostel's. */
  ownFastify?: boolean
  /** The module of each site and its INI, when not the site of 18 bytes. */
  writeSite?: (folder: SiteFolder, site: number) => void
}

export interface Vhostel extends AsyncDisposable {
  readonly pid: number
  readonly port: number
  readonly folder: SiteFolder
  status(): Promise<StatusReport>
}

/** A folder with vhostel.ini, sites-available, sites-enabled and the sites' code. */
export class SiteFolder {
  readonly path: string

  constructor() {
    this.path = temporaryFolder('sites')
    mkdirSync(join(this.path, 'sites-available'))
    mkdirSync(join(this.path, 'sites-enabled'))
    mkdirSync(join(this.path, 'sites'))
    writeFileSync(join(this.path, 'vhostel.ini'), '[server]\nlisten = 127.0.0.1:0\n')
  }

  /** Writes a site's module file. @returns its folder */
  writeModule(site: number, file: string, code: string | { copyOf: string }): string {
    const folder = join(this.path, `sites/site${site}`)
    mkdirSync(folder, { recursive: true })
    if (typeof code === 'string') writeFileSync(join(folder, file), code)
    else copyFileSync(code.copyOf, join(folder, file))
    return folder
  }

  /** Writes a site's INI, in place. @param more lines behind `[site]` */
  writeIni(site: number, more: string, domains = `site${site}.test`): void {
    const text = `[site]\ndomains = ${domains}\nroot = ../sites/site${site}\n${more}\n`
    writeFileSync(join(this.path, `sites-available/site${site}.ini`), text)
  }

  enable(site: number): void {
    symlinkSync(`../sites-available/site${site}.ini`, join(this.path, `sites-enabled/site${site}.ini`))
  }

  remove(): void {
    removeFolder(this.path)
  }
}

/** A folder with so many sites, not started. */
export function makeSites({ sites, ownFastify = false, writeSite }: Omit<VhostelOptions, 'command'>): SiteFolder {
  const folder = new SiteFolder()
  const write = writeSite ?? ((into: SiteFolder, site: number) => writeFastifySite(into, site, ownFastify))
  for (let site = 1; site <= sites; site++) {
    write(folder, site)
    folder.enable(site)
  }
  return folder
}

/** Starts it; resolves when the admin socket says the address. */
export async function startVhostel(options: VhostelOptions, made?: SiteFolder): Promise<Vhostel> {
  await using stack = new AsyncDisposableStack()
  const folder = made ?? makeSites(options)
  stack.defer(() => folder.remove())
  const args = [options.command, 'serve', '--config', join(folder.path, 'vhostel.ini')]
  const child = stack.use(await startChild(process.execPath, args, { cwd: folder.path }))
  const { listen } = await until('vhostel to serve', child, START_DEADLINE_MS, () => statusOf(folder.path))
  const running = stack.move()
  return {
    pid: child.pid,
    port: Number(new URL(listen[0] as string).port),
    folder,
    status: () => certainly(folder, child),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

function writeFastifySite(folder: SiteFolder, site: number, ownFastify: boolean): void {
  const root = folder.writeModule(site, 'site.mjs', { copyOf: PLUGIN })
  if (ownFastify) linkFastifyInto(root)
  folder.writeIni(site, 'module = site.mjs\ntype = fastify')
}

async function certainly(folder: SiteFolder, child: Child): Promise<StatusReport> {
  return until('the status', child, ADMIN_DEADLINE_MS, () => statusOf(folder.path))
}

/** @param folder that of vhostel.ini @returns undefined while nobody answers */
export function statusOf(folder: string, deadlineMs = ADMIN_DEADLINE_MS): Promise<StatusReport | undefined> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(deadlineMs)
    const socketPath = join(folder, 'run/admin.sock')
    const asked = request({ socketPath, path: '/status', agent: false, signal }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', () => resolve(undefined))
      response.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString()) as StatusReport))
    })
    asked.on('error', () => resolve(undefined))
    asked.end()
  })
}
