/**
 * A real ACME server for a test: `pebble`, with `pebble-challtestsrv` as its DNS, both from Debian's package `pebble`, on
 * free ports of the loopback. All names resolve to 127.0.0.1 unless a test says otherwise.
 *
 * Limits: every wait has a deadline; what was started is ended with the test.
 */
import type { ChildProcess } from 'node:child_process'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { get } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { accepts, freePorts } from '../../bench/free-port.ts'

const DEADLINE_MS = 30_000

export interface PebbleOptions {
  /** Ports on which it looks for the answers to challenges. */
  httpPort: number
  tlsPort: number
  /** Life of its certificates in seconds. */
  lifetime?: number
  /** Names that it refuses by policy, as `rejectedIdentifier`. */
  blocklist?: string[]
  /** Keys of accounts that it knows, in base64url by id; without one of them nobody is registered. */
  externalAccounts?: Record<string, string>
}

export class Pebble {
  readonly directory: string
  /** PEM file with the root of its own HTTPS. */
  readonly caFile: string
  readonly #dir: string
  readonly #dnsPort: number
  readonly #dnsAdmin: string
  readonly #port: number
  readonly #adminPort: number
  #server: ChildProcess | undefined
  #dns: ChildProcess | undefined
  #output = ''

  constructor(dir: string, ports: readonly [number, number, number, number], options: PebbleOptions) {
    const [port, adminPort, dnsPort, dnsAdminPort] = ports
    this.#dir = dir
    this.#port = port
    this.#adminPort = adminPort
    this.#dnsPort = dnsPort
    this.#dnsAdmin = `http://127.0.0.1:${dnsAdminPort}`
    this.directory = `https://127.0.0.1:${port}/dir`
    this.caFile = join(dir, 'cert.pem')
    makeCertificate(dir)
    const pebble = {
      listenAddress: `127.0.0.1:${port}`,
      managementListenAddress: `127.0.0.1:${adminPort}`,
      certificate: this.caFile,
      privateKey: join(dir, 'key.pem'),
      httpPort: options.httpPort,
      tlsPort: options.tlsPort,
      certificateValidityPeriod: options.lifetime ?? 7_776_000,
      domainBlocklist: options.blocklist ?? [],
      externalAccountBindingRequired: options.externalAccounts !== undefined,
      externalAccountMACKeys: options.externalAccounts ?? {},
    }
    writeFileSync(join(dir, 'pebble.json'), JSON.stringify({ pebble }))
  }

  /** What it printed: each request, and what it thinks of each challenge. */
  get output(): string {
    return this.#output
  }

  /** How many orders were placed. */
  get orders(): number {
    return count(this.#output, 'Added order ')
  }

  async start(): Promise<void> {
    this.#dns ??= await this.#run('pebble-challtestsrv', [
      ...['-defaultIPv6', '', '-dns01', `127.0.0.1:${this.#dnsPort}`],
      ...['-management', new URL(this.#dnsAdmin).host, '-http01', '', '-https01', '', '-tlsalpn01', ''],
    ])
    await reachable(Number(new URL(this.#dnsAdmin).port), () => this.#output)
    const config = join(this.#dir, 'pebble.json')
    this.#server = await this.#run('pebble', ['-config', config, '-dnsserver', `127.0.0.1:${this.#dnsPort}`])
    await reachable(this.#port, () => this.#output)
  }

  /** PEM of the root of the certificates that it issues; another one after each start. */
  async root(): Promise<string> {
    const ca = readFileSync(this.caFile)
    const req = get({ host: '127.0.0.1', port: this.#adminPort, path: '/roots/0', ca, agent: false })
    const [res] = (await once(req, 'response')) as [IncomingMessage]
    return text(res)
  }

  /** It is gone, and has forgotten all accounts and orders when it is started again. */
  async stop(): Promise<void> {
    await end(this.#server)
    this.#server = undefined
  }

  async close(): Promise<void> {
    await Promise.all([end(this.#server), end(this.#dns)])
    rmSync(this.#dir, { recursive: true, force: true })
  }

  /** From now on the name resolves to this address; to 127.0.0.2 nobody listens. */
  async resolve(host: string, address: string): Promise<void> {
    const body = JSON.stringify({ host: `${host}.`, addresses: [address] })
    await fetch(`${this.#dnsAdmin}/clear-a`, { method: 'POST', body })
    await fetch(`${this.#dnsAdmin}/add-a`, { method: 'POST', body })
  }

  async #run(program: string, args: string[]): Promise<ChildProcess> {
    const file = `/usr/bin/${program}`
    if (!existsSync(file)) throw new Error(`${file} is missing: apt-get install -y pebble`)
    // No pauses before it looks at a challenge, 5 % of all nonces refused, no name believed without a challenge.
    const env = { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '5', PEBBLE_AUTHZREUSE: '0' }
    const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        this.#output += chunk
      })
    }
    await once(child, 'spawn')
    return child
  }
}

/** Starts an ACME server. */
export async function startPebble(t: TestContext, options: PebbleOptions): Promise<Pebble> {
  const [a = 0, b = 0, c = 0, d = 0] = await freePorts(4)
  const pebble = new Pebble(mkdtempSync(join(tmpdir(), 'vhostel-pebble-')), [a, b, c, d], options)
  t.after(() => pebble.close())
  await pebble.start()
  return pebble
}

function makeCertificate(dir: string): void {
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=pebble', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', join(dir, 'key.pem'), '-out', join(dir, 'cert.pem')],
  ])
  if (made.status !== 0) throw new Error(`openssl (apt-get install -y openssl): ${made.stderr ?? made.error}`)
}

async function reachable(port: number, output: () => string): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  for (;;) {
    if (await accepts(port)) return
    if (performance.now() > deadline) throw new Error(`nobody listens on port ${port}:\n${output()}`)
    await delay(20)
  }
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

function count(text: string, part: string): number {
  return text.split(part).length - 1
}
