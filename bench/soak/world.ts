/**
 * The server of the soak, its folder, and the upstreams behind two of its sites; everything is ended by pid.
 *
 * Limits: Linux only. Invariant: what `mark` and `floor` say of a site is what was written, and what was seen in service.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { StatusReport } from '../../src/admin/reports.ts'
import { makePair } from '../../test/helpers/certificates.ts'
import { crashingAddon } from '../chaos/crashing-addon.ts'
import type { Child } from '../children.ts'
import { startChild, until } from '../children.ts'
import { freePort } from '../free-port.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { statusOf } from '../vhostel.ts'
import type { Floor } from './record.ts'
import { FAULTS, genFile, moduleFiles, moduleOf, NO_FAULT } from './site-code.ts'
import type { SoakSite } from './sites.ts'
import { POOLS, SITES } from './sites.ts'

const REPOSITORY = resolve(import.meta.dirname, '../..')
const START_DEADLINE_MS = 60_000
const ADMIN_DEADLINE_MS = 60_000
const ENDS_WITHIN_MS = 40_000
/** Names the processes of one run, in their environment. */
export const RUN_VARIABLE = 'VHOSTEL_SOAK_RUN'

export class World {
  readonly folder = temporaryFolder('soak')
  readonly run = `${process.pid}-${Date.now()}`
  /** What was written last. */
  readonly written = new Map<string, Floor>()
  /** What every answer has at the least. */
  readonly floors = new Map<string, Floor>()
  readonly upstreams = new Map<string, Child>()
  /** Hosts that a site has besides its own, as in its INI file. */
  readonly domains = new Map<string, readonly string[]>()
  port = 0
  tlsPort = 0
  #command = ''
  #child: Child | undefined
  /** Ends that were wanted. */
  #isToEnd = false
  /** Is told what a server printed that ended by itself. */
  onEnd: (output: string) => void = () => {}

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  get child(): Child {
    if (this.#child === undefined) throw new Error('the server was not started')
    return this.#child
  }

  /** Writes everything, and starts the upstreams and the server, on ports of its own. @param command path of a `bin/vhostel.js` */
  async start(command: string): Promise<void> {
    for (const folder of ['sites-available', 'sites-enabled', 'log']) mkdirSync(join(this.folder, folder))
    symlinkSync(join(REPOSITORY, 'node_modules'), join(this.folder, 'node_modules'))
    this.#command = command
    this.port = await freePort()
    this.tlsPort = await freePort()
    this.write('journal', '')
    this.writeServerIni('')
    this.write(
      'logging.ini',
      '[log]\nformat = json\nfile = log/vhostel.log\n[access]\nfile = log/access.log\nformat = json\n',
    )
    this.writePair()
    for (const site of SITES) this.#makeSite(site)
    for (const { name, upstreams } of SITES) for (const upstream of upstreams) await this.startUpstream(upstream, name)
    await this.#serve()
  }

  /** Ends the server, as systemd does. @returns how long that took, in ms @throws where it does not end as it should */
  async end(): Promise<number> {
    const { child } = this
    this.#isToEnd = true
    const from = performance.now()
    process.kill(child.pid, 'SIGTERM')
    await Promise.race([child.ended, delay(ENDS_WITHIN_MS, undefined, { ref: false })])
    const tookMs = Math.round(performance.now() - from)
    if (child.exitCode !== 0)
      throw new Error(`the server ended with ${child.exitCode} after ${tookMs} ms: ${child.output.slice(-2_000)}`)
    return tookMs
  }

  /** Ends the server, and starts another in its place at once. @returns how long the end took, in ms */
  async restart(): Promise<number> {
    const tookMs = await this.end()
    await this.#serve()
    return tookMs
  }

  async #serve(): Promise<void> {
    const args = [this.#command, 'serve', '--config', join(this.folder, 'vhostel.ini')]
    const child = await startChild(process.execPath, args, { cwd: this.folder, env: { [RUN_VARIABLE]: this.run } })
    this.#child = child
    this.#isToEnd = false
    void child.ended.then(() => {
      if (!this.#isToEnd) this.onEnd(child.output.slice(-4_000))
    })
    await until('vhostel to serve', child, START_DEADLINE_MS, () => this.status())
  }

  status(): Promise<StatusReport | undefined> {
    return statusOf(this.folder)
  }

  /** Asks the admin socket, as the command line does. @returns the answer's text; its status where it is not 200 */
  admin(path: string, body: object = {}): Promise<string | number> {
    const { promise, resolve, reject } = Promise.withResolvers<string | number>()
    const options = {
      socketPath: join(this.folder, 'run/admin.sock'),
      path,
      method: 'POST',
      agent: false as const,
      headers: { 'content-type': 'application/json' },
      signal: AbortSignal.timeout(ADMIN_DEADLINE_MS),
    }
    const asked = request(options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const isRight = response.statusCode === 200
        resolve(isRight ? Buffer.concat(chunks).toString() : (response.statusCode ?? 0))
      })
    })
    asked.on('error', reject)
    asked.end(JSON.stringify(body))
    return promise
  }

  /** Writes a file below the folder, in place, or whole by renaming. */
  write(path: string, text: string, isWhole = false): void {
    const file = join(this.folder, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(isWhole ? `${file}.new` : file, text)
    if (isWhole) renameSync(`${file}.new`, file)
  }

  read(path: string): string {
    return readFileSync(join(this.folder, path), 'utf8')
  }

  /** @param more lines of `[server]` @param defaults of `[defaults]` */
  writeServerIni(more: string, defaults = ''): void {
    const [host, tlsHost] = [this.port, this.tlsPort].map((port) => `127.0.0.1:${port}`)
    const server = `[server]\nlisten = ${host}\nlisten_tls = ${tlsHost}\nmax_connections_per_address = 0\n`
    this.write('vhostel.ini', `${server}${more}${POOLS}[defaults]\nqueue_timeout = 60s\n${defaults}`, true)
  }

  /** A fresh certificate for all sites. */
  writePair(): void {
    const { cert, key } = makePair(SITES.map(({ name }) => `${name}.test`))
    this.write('key.pem', key)
    this.write('cert.pem', cert)
  }

  /** @param more lines that may be wrong */
  iniOf(site: SoakSite, more = ''): string {
    const { name, kind, lines } = site
    const root = `root = ../sites/${name}\n`
    const what = {
      module: `${root}module = ${moduleOf(site.shape)}\n`,
      static: root,
      proxy: `upstream = ${site.upstreams.map((upstream) => `unix:../${upstream}.sock`).join(', ')}\n`,
      command: `${root}command = ${process.execPath} site.mjs${name === 'program' ? ' $SOCKET' : ''}\n`,
      redirect: '',
    }[kind]
    const tls = site.isSecure ? 'certificate = ../cert.pem\nkey = ../key.pem\n' : ''
    const ini = this.mark(name).ini
    const env = `[env]\nSITE = ${name}\nINI_GEN = ${ini}\nJOURNAL = ${join(this.folder, 'journal')}\n`
    const last = {
      module: env,
      command: env,
      redirect: `[redirect]\nto = https://${ini}.test\n`,
      static: `; ${ini}\n`,
      proxy: `; ${ini}\n`,
    }[kind]
    const domains = [`${name}.test`, ...(this.domains.get(name) ?? [])].join(', ')
    return `[site]\ndomains = ${domains}\n${what}${tls}${lines}\n${more}${site.more}${last}`
  }

  mark(name: string): Floor {
    return this.written.get(name) ?? { code: 1, ini: 1 }
  }

  floor(name: string): Floor {
    return this.floors.get(name) ?? { code: 0, ini: 0 }
  }

  link(name: string): void {
    symlinkSync(`../sites-available/${name}.ini`, join(this.folder, `sites-enabled/${name}.ini`))
  }

  unlink(name: string): void {
    rmSync(join(this.folder, `sites-enabled/${name}.ini`), { force: true })
  }

  async startUpstream(name: string, site: string): Promise<void> {
    const socket = join(this.folder, `${name}.sock`)
    rmSync(socket, { force: true })
    const { keeps = '' } = SITES.find((each) => each.name === site) ?? {}
    const env = {
      SITE: site,
      INI_GEN: '1',
      SOCKET: socket,
      JOURNAL: join(this.folder, 'journal'),
      ...(keeps !== '' && { KEEP: keeps }),
    }
    const cwd = join(this.folder, 'sites', site)
    this.upstreams.set(name, await startChild(process.execPath, ['site.mjs'], { cwd, env }))
  }

  #folderOf(name: string): string {
    const folder = join(this.folder, 'sites', name)
    mkdirSync(folder, { recursive: true })
    return folder
  }

  #makeSite(site: SoakSite): void {
    const { name, kind } = site
    this.written.set(name, { code: 1, ini: 1 })
    if (site.isOffender) writeFileSync(join(this.#folderOf(name), 'crash.node'), crashingAddon() ?? '')
    if (kind === 'static') {
      this.write(`sites/${name}/page.txt`, `${name}/1/1\n`)
      // What the others answer to it.
      this.write(`sites/${name}/get/any`, `${name}/1/1 any`)
    }
    if (kind !== 'static' && kind !== 'redirect') {
      const shape = kind === 'module' ? site.shape : 'listen'
      const files = { ...moduleFiles(shape), 'gen.mjs': genFile(1), 'fault.mjs': site.isOffender ? FAULTS : NO_FAULT }
      for (const [file, text] of Object.entries(files)) this.write(`sites/${name}/${file}`, text)
      this.write(`sites/${name}/public/page.txt`, `${name}/1/1\n`)
    }
    this.write(`sites-available/${name}.ini`, this.iniOf(site))
    this.link(name)
  }
}
