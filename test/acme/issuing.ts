/**
 * A manager of certificates for a test, with a real web server that answers HTTP-01, real files, and a clock that can be set.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import type { CertificatePlace, WantedCertificate } from '../../src/acme/manager.ts'
import { CertificateManager } from '../../src/acme/manager.ts'
import type { ExternalAccount } from '../../src/config/server-acme.ts'
import type { CertificateStatus } from '../../src/core/certificate-status.ts'
import type { KeyPair } from '../../src/core/key-pair.ts'

const DEADLINE_MS = 30_000

/** What the front is to the manager. */
export class Place implements CertificatePlace {
  readonly httpChallenges = new Map<string, string>()
  readonly challenges = new Map<string, KeyPair>()
  readonly certificates = new Map<string, KeyPair>()
  port = 0

  static async start(t: TestContext): Promise<Place> {
    const place = new Place()
    const server = createServer((req, res) => {
      const answer = place.httpChallenges.get((req.url ?? '').split('/').at(-1) ?? '')
      res.writeHead(answer === undefined ? 404 : 200).end(answer)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    place.port = (server.address() as AddressInfo).port
    return place
  }

  set(site: string, pair: KeyPair): void {
    this.certificates.set(site, pair)
  }

  remove(site: string): void {
    this.certificates.delete(site)
  }

  setChallenge(name: string, pair: KeyPair): void {
    this.challenges.set(name, pair)
  }

  removeChallenge(name: string): void {
    this.challenges.delete(name)
  }
}

export interface IssuingSettings {
  directory: string
  caFile: string | undefined
  place: Place
  /** An existing state folder, for another manager on it. */
  state?: string
  challenge?: 'auto' | 'http-01' | 'tls-alpn-01'
  email?: string
  externalAccount?: ExternalAccount
}

/** A manager with all that is around it. */
export class Issuing {
  readonly manager: CertificateManager
  readonly place: Place
  readonly state: string
  readonly directory: string
  readonly lines: Record<string, unknown>[] = []
  #aheadMs = 0
  #wanted: WantedCertificate[] = []

  constructor(settings: IssuingSettings) {
    const { directory, caFile, place, challenge = 'http-01', email, externalAccount } = settings
    this.place = place
    this.directory = directory
    this.state = settings.state ?? join(mkdtempSync(join(tmpdir(), 'vhostel-acme-')), 'state')
    const log = pino({ level: 'debug' }, { write: (line) => void this.lines.push(JSON.parse(line)) })
    const config = { directory, agree: true, email, challenge, state: this.state, caFile, externalAccount }
    const clock = { now: () => Date.now() + this.#aheadMs, random: Math.random }
    this.manager = new CertificateManager(config, place, log, clock)
  }

  get now(): number {
    return Date.now() + this.#aheadMs
  }

  /** @param names of each site */
  async want(names: Record<string, string[]>): Promise<void> {
    this.#wanted = Object.entries(names).map(([site, own]) => ({ site, names: own }))
    await this.manager.update(this.#wanted)
  }

  /** Sets the clock forward (back where it is less than 0), and has it looked at. */
  async forward(ms: number): Promise<void> {
    this.#aheadMs += ms
    await this.manager.update(this.#wanted)
  }

  status(site: string): CertificateStatus {
    const status = this.manager.status(site)
    if (status === undefined) throw new Error(`no certificate is wanted for ${site}`)
    return status
  }

  /** Waits until no order of the site is under way and this is true. */
  async until(site: string, check: (status: CertificateStatus) => boolean): Promise<CertificateStatus> {
    const deadline = performance.now() + DEADLINE_MS
    for (;;) {
      const status = this.status(site)
      if (status.state !== 'asking' && check(status)) return status
      if (performance.now() > deadline) throw new Error(`${JSON.stringify(status)}\n${JSON.stringify(this.lines)}`)
      await delay(5)
    }
  }

  /** Lines of the log with this message. */
  said(message: string): Record<string, unknown>[] {
    return this.lines.filter(({ msg }) => msg === message)
  }
}

/** A manager that is started, and stopped with the test. */
export function startIssuing(t: TestContext, settings: IssuingSettings): Issuing {
  const issuing = new Issuing(settings)
  t.after(async () => {
    await issuing.manager.close()
    rmSync(join(issuing.state, '..'), { recursive: true, force: true })
  })
  issuing.manager.start()
  return issuing
}
