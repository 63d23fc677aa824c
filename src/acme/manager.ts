/**
 * The certificates of all sites that want one by ACME: which are there, which are asked for, when each is asked for next.
 *
 * A certificate on the disk is put in use before anything else, an expired one too: visitors then read what is wrong instead
 * of "connection failed", a restart changes nothing of what they get, and a machine whose clock is wrong keeps its sites.
 *
 * Invariants: one order at a time for a site and for a name, at most `MAX_ORDERS` at once; while the ACME server is gone, one
 * order at a time finds out whether it is back. That an order is placed is on the disk before it is placed, as a failure:
 * neither a crash nor a full disk makes a loop of it.
 */
import type { AcmeConfig } from '../config/server-acme.ts'
import type { CertificateStatus } from '../core/certificate-status.ts'
import type { KeyPair } from '../core/key-pair.ts'
import type { Log } from '../core/log.ts'
import type { Certificate } from './certificate.ts'
import { usable } from './certificate.ts'
import type { ChallengePlace, Orderer } from './order-host.ts'
import { OrderHost } from './order-host.ts'
import type { Outcome } from './orderer.ts'
import { Outage } from './outage.ts'
import { challengeFor, RATE_LIMIT_MS, restUntil } from './schedule.ts'
import type { WantedCertificate } from './site-certificate.ts'
import { INTERRUPTED, SiteCertificate, sane } from './site-certificate.ts'
import type { Attempts } from './state-folder.ts'
import { StateFolder } from './state-folder.ts'

export type { WantedCertificate } from './site-certificate.ts'

/** Where certificates are put in use, and challenges answered. */
export interface CertificatePlace extends ChallengePlace {
  /** @throws where the pair cannot be used */
  set(site: string, pair: KeyPair): void
  remove(site: string): void
}

/** What a test has to hold still. */
export interface ManagerClock {
  /** Unix time in ms. */
  now(): number
  /** From 0 to 1. */
  random(): number
}

/** Orders that are under way at once. */
const MAX_ORDERS = 8
/** The clock is looked at so often at least: it may be set, and a machine may sleep. */
const LONGEST_SLEEP_MS = 10 * 60_000
const UNSAVED = 'the certificate is in use, but it cannot be saved, and would be gone after a restart'
const DUE_ALREADY = 'the certificate that was issued is due for renewal already: is the clock of this machine right?'
/** How an attempt ended; `given up`: nothing is known of the order. */
type Ending = 'issued' | 'failed' | 'given up'

export class CertificateManager {
  readonly #config: AcmeConfig
  readonly #place: CertificatePlace
  readonly #log: Log
  readonly #clock: ManagerClock
  readonly #orderer: Orderer
  readonly #outage: Outage
  readonly #sites = new Map<string, SiteCertificate>()
  readonly #asked = new Set<string>()
  readonly #running = new Set<Promise<void>>()
  #folder: Promise<StateFolder> | undefined
  #timer: NodeJS.Timeout | undefined
  #isStarted = false
  /** When it was last seen what is due, Unix time in ms. */
  #lookedAt = 0

  /** Touches no file until a site wants a certificate, and asks for none before `start`. */
  constructor(
    config: AcmeConfig,
    place: CertificatePlace,
    log: Log,
    clock: ManagerClock = { now: Date.now, random: Math.random },
  ) {
    this.#config = config
    this.#place = place
    this.#log = log
    this.#clock = clock
    this.#orderer = new OrderHost(config, place, (url) => this.#saveAccount(url))
    this.#outage = new Outage(clock)
  }

  /**
   * Takes over which certificates are wanted now, all of them.
   *
   * @returns resolves when those that are on the disk are in use; nothing is waited for that has to be asked for
   */
  async update(wanted: readonly WantedCertificate[]): Promise<void> {
    const before = new Map(this.#sites)
    const isFirst = this.#folder === undefined
    const added: SiteCertificate[] = []
    for (const one of wanted) {
      const known = before.get(one.site)
      before.delete(one.site)
      if (known === undefined) added.push(this.#add(one))
      else this.#change(known, one)
    }
    for (const gone of before.values()) this.#drop(gone)
    for (const site of added) await this.#load(site)
    if (isFirst && added.length > 0) await this.#prune()
    this.#pump()
  }

  /** From now on challenges can be answered: asks for what is due. */
  start(): void {
    this.#isStarted = true
    this.#pump()
  }

  /** Undefined for a site that wants none. */
  status(site: string): CertificateStatus | undefined {
    const { restsUntil, reasons } = this.#outage
    return this.#sites.get(site)?.status(this.#clock.now(), restsUntil, reasons)
  }

  /** Asks once more, now or as soon as may be, for what failed. @param site undefined: for all */
  retry(site?: string): void {
    for (const one of this.#sites.values()) if (site === undefined || one.site === site) one.hasten()
    this.#outage.hasten()
    this.#pump()
  }

  /** Stops asking. What is under way is given up, and does not count as a failure. */
  async close(): Promise<void> {
    this.#isStarted = false
    clearTimeout(this.#timer)
    await this.#orderer.close()
    await Promise.all(this.#running)
  }

  // ---- which are wanted ----------------------------------------------------------------------------------------

  #add(wanted: WantedCertificate): SiteCertificate {
    const site = new SiteCertificate(wanted)
    this.#sites.set(wanted.site, site)
    return site
  }

  #change(site: SiteCertificate, wanted: WantedCertificate): void {
    const isSame = String(site.wanted.names) === String(wanted.names)
    site.wanted = wanted
    if (!isSame && site.dueAt !== Number.POSITIVE_INFINITY) site.plan(this.#clock.random())
  }

  /** The files stay: the site may come back. */
  #drop({ site }: SiteCertificate): void {
    this.#sites.delete(site)
    this.#place.remove(site)
  }

  // ---- what is on the disk -------------------------------------------------------------------------------------

  #open(): Promise<StateFolder> {
    this.#folder ??= this.#openFolder().catch((error: unknown) => {
      this.#folder = undefined
      throw error
    })
    return this.#folder
  }

  async #openFolder(): Promise<StateFolder> {
    const folder = await StateFolder.open(this.#config.state, this.#config.directory, this.#log)
    folder.onRemade = () => this.#saveAnew()
    this.#outage.restore(sane(await folder.attempts(undefined), this.#clock.now()))
    return folder
  }

  async #load(site: SiteCertificate): Promise<void> {
    try {
      await this.#read(await this.#open(), site)
    } catch (error) {
      this.#failInside(site, 'the state of ACME cannot be read', error)
    }
    site.plan(this.#clock.random())
  }

  async #read(folder: StateFolder, site: SiteCertificate): Promise<void> {
    const [certificate, attempts] = [await folder.certificate(site.site), await folder.attempts(site.site)]
    site.attempts = sane(attempts, this.#clock.now())
    site.isRead = true
    if (certificate !== undefined) this.#use(site, certificate)
  }

  /** Puts a certificate in use. */
  #use(site: SiteCertificate, certificate: Certificate): void {
    if (this.#sites.get(site.site) !== site) return
    this.#place.set(site.site, certificate.pair)
    site.inUse = certificate
    const until = new Date(certificate.notAfter).toISOString()
    if (certificate.notAfter > this.#clock.now()) return
    this.#log.warn({ site: site.site, until }, 'the certificate is expired; it stays in use until there is another')
  }

  async #prune(): Promise<void> {
    try {
      await (await this.#open()).prune((site) => this.#sites.has(site), this.#clock.now())
    } catch (error) {
      this.#log.warn({ err: error }, 'old certificates could not be taken away')
    }
  }

  /** What is in use is not on the disk any more. */
  #saveAnew(): void {
    for (const site of this.#sites.values()) {
      if (site.isAsking || site.inUse === undefined) continue
      site.unsaved = site.inUse.pair
      site.plan(this.#clock.random())
    }
  }

  #saveAccount(url: string): void {
    this.#open()
      .then((folder) => folder.saveAccount(url, this.#config.email))
      .catch((error: unknown) => this.#log.warn({ err: error }, 'where the ACME account is could not be written down'))
  }

  // ---- asking --------------------------------------------------------------------------------------------------

  /** Places the orders that are due, and sleeps until the next is. */
  #pump(): void {
    clearTimeout(this.#timer)
    if (!this.#isStarted) return
    const now = this.#clock.now()
    if (now < this.#lookedAt) this.#planAnew(now)
    this.#lookedAt = now
    const most = this.#outage.isOver ? MAX_ORDERS : 1
    if (this.#outage.restsUntil <= now) {
      for (const site of this.#due(now)) {
        if (this.#running.size >= most) break
        if (!site.wanted.names.some((name) => this.#asked.has(name))) this.#ask(site)
      }
    }
    this.#timer = setTimeout(() => this.#pump(), this.#sleepMs(now)).unref()
  }

  /** The clock was set back: what was put off until a time that is now far away would be late by as much. */
  #planAnew(now: number): void {
    this.#outage.restore(sane(this.#outage.attempts, now))
    for (const site of this.#sites.values()) {
      if (site.isAsking || site.dueAt === Number.POSITIVE_INFINITY) continue
      site.attempts = sane(site.attempts, now)
      site.plan(this.#clock.random())
    }
  }

  /** Those that wait longest first. */
  #due(now: number): SiteCertificate[] {
    return [...this.#sites.values()]
      .filter(({ isAsking, dueAt }) => !isAsking && dueAt <= now)
      .sort((a, b) => a.dueAt - b.dueAt)
  }

  /** An order that ends wakes us by itself. */
  #sleepMs(now: number): number {
    const times = [...this.#sites.values()].flatMap(({ isAsking, dueAt }) => (isAsking || dueAt <= now ? [] : [dueAt]))
    const rest = this.#outage.restsUntil > now ? this.#outage.restsUntil : Number.POSITIVE_INFINITY
    return Math.min(Math.max(times.reduce((a, b) => Math.min(a, b), rest) - now, 0) + 1, LONGEST_SLEEP_MS)
  }

  #ask(site: SiteCertificate): void {
    const { names } = site.wanted
    for (const name of names) this.#asked.add(name)
    site.isAsking = true
    const run = this.#attempt(site, names)
      .catch((error: unknown) => this.#failInside(site, 'a certificate could not be asked for', error))
      .then(async (outcome) => {
        site.isAsking = false
        // The clock may have been set back meanwhile.
        site.attempts = sane(site.attempts, this.#clock.now())
        site.plan(this.#clock.random())
        this.#tell(site, outcome)
        await this.#passOn(site)
        for (const name of names) this.#asked.delete(name)
        this.#running.delete(run)
        this.#pump()
      })
    this.#running.add(run)
  }

  /** The site went and came back while it was asked for: what came of it is on the disk. */
  async #passOn(before: SiteCertificate): Promise<void> {
    const now = this.#sites.get(before.site)
    if (now !== undefined && now !== before && !now.isAsking) await this.#load(now)
  }

  async #attempt(site: SiteCertificate, names: readonly string[]): Promise<Ending> {
    const before = site.attempts
    const startedAt = this.#clock.now()
    const folder = await this.#open()
    if (!site.isRead) {
      await this.#read(folder, site)
      return 'given up'
    }
    if (site.unsaved !== undefined) return this.#save(folder, site, site.unsaved)
    const account = await folder.account(this.#config.email)
    const failed = { failures: before.failures + 1, lastAt: startedAt, notBefore: 0, reasons: [INTERRUPTED], names }
    await this.#note(folder, site, failed)
    const challenge = challengeFor(this.#config.challenge, before.failures)
    const outcome = await this.#orderer.order({ names, challenge, account })
    // Not answered is not refused: it counts for the server, not for the site.
    if (!this.#isStarted || outcome.kind === 'unavailable') {
      await this.#note(folder, site, { ...before, lastAt: startedAt })
      if (this.#isStarted && outcome.kind === 'unavailable') await this.#away(folder, outcome, startedAt)
      return 'given up'
    }
    if (outcome.kind === 'issued') {
      // First of all: nothing that goes wrong with the rest may lose it.
      const ending = await this.#take(folder, site, names, outcome.pair)
      await this.#answered(folder, 0)
      return ending
    }
    const notBefore = this.#retryAfter(outcome)
    await this.#answered(folder, outcome.isRateLimit ? notBefore : 0)
    await this.#note(folder, site, { ...failed, lastAt: this.#clock.now(), notBefore, reasons: outcome.reasons })
    return 'failed'
  }

  #retryAfter({ isRateLimit, retryAfterMs }: Extract<Outcome, { kind: 'refused' }>): number {
    if (retryAfterMs > 0) return this.#clock.now() + retryAfterMs
    return isRateLimit ? this.#clock.now() + RATE_LIMIT_MS : 0
  }

  async #take(folder: StateFolder, site: SiteCertificate, names: readonly string[], pair: KeyPair): Promise<Ending> {
    const now = this.#clock.now()
    const certificate = usable(pair, names, now)
    if (typeof certificate === 'string') {
      const { attempts } = site
      await this.#note(folder, site, { ...attempts, lastAt: now, reasons: [certificate] })
      return 'failed'
    }
    this.#use(site, certificate)
    const notBefore = restUntil(certificate, now)
    if (notBefore > 0) this.#log.warn({ site: site.site }, DUE_ALREADY)
    site.attempts = { ...site.attempts, lastAt: now, notBefore, names }
    return this.#save(folder, site, pair)
  }

  /** What cannot be written down stays in use, and is tried again as after a refusal; nothing is ordered for that. */
  async #save(folder: StateFolder, site: SiteCertificate, pair: KeyPair): Promise<Ending> {
    site.unsaved = pair
    try {
      await folder.saveCertificate(site.site, pair)
    } catch (error) {
      return this.#failInside(site, UNSAVED, error)
    }
    site.unsaved = undefined
    await this.#note(folder, site, { ...site.attempts, failures: 0, reasons: [] })
    return 'issued'
  }

  async #note(folder: StateFolder, site: SiteCertificate, attempts: Attempts): Promise<void> {
    site.attempts = attempts
    await folder.saveAttempts(site.site, attempts)
  }

  /** The server does not answer: all wait. */
  async #away(
    folder: StateFolder,
    outcome: Extract<Outcome, { kind: 'unavailable' }>,
    startedAt: number,
  ): Promise<void> {
    if (!this.#outage.note(outcome.reasons, outcome.retryAfterMs, startedAt)) return
    const nextTry = new Date(this.#outage.restsUntil).toISOString()
    this.#log.error({ reasons: outcome.reasons, nextTry }, 'the ACME server cannot be asked for certificates')
    await folder.saveAttempts(undefined, this.#outage.attempts)
  }

  /** The server answers. @param limitedUntil set where it says that it was asked too often */
  async #answered(folder: StateFolder, limitedUntil: number): Promise<void> {
    const wasAway = !this.#outage.isOver
    if (!this.#outage.answered(limitedUntil)) return
    if (wasAway && this.#outage.isOver) this.#log.info('the ACME server can be asked again')
    await folder.saveAttempts(undefined, this.#outage.attempts)
  }

  // ---- what became of it ---------------------------------------------------------------------------------------

  #tell({ site, attempts, inUse, dueAt, unsaved }: SiteCertificate, outcome: Ending): void {
    const nextTry = new Date(dueAt).toISOString()
    if (outcome === 'failed') {
      const { reasons, failures } = attempts
      const what = unsaved === undefined ? 'no certificate was issued' : 'a certificate was issued, and is not saved'
      this.#log.error({ site, reasons, failures, nextTry }, what)
    } else if (outcome === 'issued' && inUse !== undefined) {
      const until = new Date(inUse.notAfter).toISOString()
      this.#log.info({ site, names: inUse.names, until, renewal: nextTry }, 'certificate was issued')
    }
  }

  /** Something on our side is broken. It counts like a refusal, so that it is not tried in a loop. */
  #failInside(site: SiteCertificate, what: string, error: unknown): Ending {
    const reason = `${what}: ${error instanceof Error ? error.message : String(error)}`
    const { failures } = site.attempts
    const counted = site.attempts.reasons[0] === INTERRUPTED ? failures : failures + 1
    site.attempts = { ...site.attempts, failures: counted, lastAt: this.#clock.now(), reasons: [reason] }
    return 'failed'
  }
}
