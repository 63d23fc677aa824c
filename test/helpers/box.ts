/**
 * A whole vhostel for a test: a folder of its own, the real command as a child process, real sockets. Everything it
 * started is ended with the test.
 *
 * Limits: every wait has a deadline; a box that does not come up fails with what it printed.
 */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import type { IncomingHttpHeaders, RequestOptions } from 'node:http'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { ReloadReport, SiteStatus, StatusReport } from '../../src/admin/reports.ts'

const REPOSITORY = resolve(import.meta.dirname, '../..')
/** What Node is given to run `vhostel`; its arguments follow. */
export const COMMAND: readonly string[] = [
  '--import',
  join(import.meta.dirname, 'compile-cache.ts'),
  join(REPOSITORY, 'bin/vhostel.js'),
]
const START_DEADLINE_MS = 60_000
/** Longer than any right answer takes on a busy machine, shorter than a test runner's patience. */
export const DEADLINE_MS = 30_000

/** A site of a test: files by relative path, and INI lines beyond `domains`, `root` and `module`. */
export interface SiteFixture {
  files?: Record<string, string>
  /** The whole INI text; without it one is made from the rest. */
  ini?: string
  domains?: string
  /** File of the module; the first file when left out. */
  module?: string
  /** An existing folder instead of files. */
  root?: string
  /** More lines, for the end of the INI. */
  more?: string
}

export interface Reply {
  status: number
  statusMessage: string
  headers: IncomingHttpHeaders
  rawHeaders: string[]
  trailers: NodeJS.Dict<string>
  body: Buffer
  text: string
}

export interface Ask extends Omit<RequestOptions, 'path'> {
  body?: string | Uint8Array
}

export interface BoxOptions {
  /** Sections for vhostel.ini, after `[server]`. */
  config?: string
  /** More lines for `[server]`. */
  server?: string
  env?: NodeJS.ProcessEnv
  /** `[server] listen`; a free port when left out. */
  listen?: string
  /** The command that starts the server: its own is put behind these words. */
  under?: readonly string[]
}

export class Box {
  readonly dir: string
  port = 0
  #child: ChildProcess | undefined
  #output = ''
  readonly #under: readonly string[]

  constructor(dir: string, under: readonly string[] = []) {
    this.dir = dir
    this.#under = under
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** Everything that the server printed. */
  get output(): string {
    return this.#output
  }

  async start(env: NodeJS.ProcessEnv = {}): Promise<void> {
    const config = join(this.dir, 'vhostel.ini')
    const [file = '', ...args] = [...this.#under, process.execPath, ...COMMAND, 'serve', '--config', config]
    const child = spawn(file, args, {
      cwd: this.dir,
      // The test runner asks for colours where it runs in a terminal.
      env: { ...process.env, FORCE_COLOR: undefined, NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text
      })
    }
    const isEnded = (): boolean => child.exitCode !== null || child.signalCode !== null
    const exited = once(child, 'exit').then(() => 'exited')
    const up = this.waitFor(
      'the server to be up',
      async () => isEnded() || (await this.#isUp()),
      START_DEADLINE_MS,
    ).then(() => 'up')
    if ((await Promise.race([exited, up])) !== 'up' || isEnded())
      throw new Error(`the server did not start:\n${this.#output}`)
  }

  /** Ends the server as Ctrl-C does. @returns its exit code */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null
    const exited = once(child, 'exit')
    child.kill(signal)
    const killer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
    await exited
    clearTimeout(killer)
    return child.exitCode
  }

  /** A request to the site of this name (`<name>.test`), or to any host that has a dot. */
  ask(site: string, path = '/', { body, headers, ...options }: Ask = {}): Promise<Reply> {
    return send(
      {
        host: '127.0.0.1',
        port: this.port,
        path,
        agent: false,
        ...options,
        headers: { host: hostOf(site), ...(headers as Record<string, string> | undefined) },
      },
      body,
    )
  }

  status(): Promise<StatusReport> {
    return this.#admin<StatusReport>('GET', '/status')
  }

  async site(name: string): Promise<SiteStatus | undefined> {
    return (await this.status()).sites.find((site) => site.name === name)
  }

  reload(site?: string): Promise<ReloadReport> {
    return this.#admin<ReloadReport>('POST', '/reload', site === undefined ? {} : { site })
  }

  /** Writes a site's files and INI, and links it into sites-enabled. */
  addSite(name: string, fixture: SiteFixture): void {
    for (const [file, text] of Object.entries(fixture.files ?? {})) this.write(`sites/${name}/${file}`, text)
    this.write(`sites-available/${name}.ini`, fixture.ini ?? iniOf(name, fixture))
    symlinkSync(`../sites-available/${name}.ini`, join(this.dir, 'sites-enabled', `${name}.ini`))
  }

  /** Writes a file below the box's folder. */
  write(path: string, text: string | Uint8Array): void {
    const file = join(this.dir, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }

  /** Waits until `check` is true; looks again every 10 ms. */
  async waitFor(what: string, check: () => boolean | Promise<boolean>, deadlineMs = DEADLINE_MS): Promise<void> {
    const deadline = performance.now() + deadlineMs
    while (!(await check())) {
      if (performance.now() > deadline) throw new Error(`waited ${deadlineMs} ms for ${what}:\n${this.#output}`)
      await delay(10)
    }
  }

  async #isUp(): Promise<boolean> {
    try {
      const { listen } = await this.status()
      this.port = Number(new URL(listen.find((address) => address.startsWith('http:')) ?? 'http://none:0').port)
      return true
    } catch {
      return false
    }
  }

  async #admin<T>(method: string, path: string, body?: object): Promise<T> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers = text === undefined ? {} : { 'content-type': 'application/json' }
    const reply = await send(
      { socketPath: join(this.dir, 'run/admin.sock'), method, path, headers, agent: false },
      text,
      START_DEADLINE_MS,
    )
    if (reply.status !== 200) throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`)
    return JSON.parse(reply.text) as T
  }
}

/** Starts a box with these sites. */
export async function startBox(
  t: TestContext,
  sites: Record<string, SiteFixture>,
  options: BoxOptions = {},
): Promise<Box> {
  const box = makeBox(t, sites, options)
  await box.start(options.env)
  return box
}

/** A box that is not started yet. */
export function makeBox(t: TestContext, sites: Record<string, SiteFixture>, options: BoxOptions = {}): Box {
  const box = new Box(mkdtempSync(join(tmpdir(), 'vh-')), options.under)
  t.after(async () => {
    await box.stop()
    rmSync(box.dir, { recursive: true, force: true })
  })
  mkdirSync(join(box.dir, 'sites-enabled'))
  // Sites find the frameworks as they would in a folder above their own.
  symlinkSync(join(REPOSITORY, 'node_modules'), join(box.dir, 'node_modules'))
  const listen = options.listen ?? '127.0.0.1:0'
  box.write('vhostel.ini', `[server]\nlisten = ${listen}\n${options.server ?? ''}\n${options.config ?? ''}\n`)
  for (const [name, fixture] of Object.entries(sites)) box.addSite(name, fixture)
  return box
}

/** One HTTP request, its whole answer. */
export function send(options: RequestOptions, body?: string | Uint8Array, deadlineMs = DEADLINE_MS): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(deadlineMs)
    const req = request({ ...options, signal }, (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('error', reject)
      res.on('end', () => {
        const whole = Buffer.concat(chunks)
        resolve({
          status: res.statusCode ?? 0,
          statusMessage: res.statusMessage ?? '',
          headers: res.headers,
          rawHeaders: res.rawHeaders,
          trailers: res.trailers,
          body: whole,
          text: whole.toString(),
        })
      })
    })
    req.on('error', reject)
    req.end(body)
  })
}

function hostOf(site: string): string {
  return site.includes('.') ? site : `${site}.test`
}

function iniOf(name: string, fixture: SiteFixture): string {
  const module = fixture.module ?? Object.keys(fixture.files ?? {})[0]
  const lines = [
    '[site]',
    `domains = ${fixture.domains ?? `${name}.test`}`,
    `root = ${fixture.root ?? `../sites/${name}`}`,
  ]
  if (module !== undefined) lines.push(`module = ${module}`)
  return `${lines.join('\n')}\n${fixture.more ?? ''}\n`
}
