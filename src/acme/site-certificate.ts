/**
 * What is known of one site's certificate: the one in use, what became of the last orders, and when the next is due.
 */
import type { CertificateState, CertificateStatus } from '../core/certificate-status.ts'
import type { KeyPair } from '../core/key-pair.ts'
import type { Certificate } from './certificate.ts'
import { covers } from './certificate.ts'
import { dueAt, LEAST_INTERVAL_MS, LONGEST_RETRY_AFTER_MS } from './schedule.ts'
import type { Attempts } from './state-folder.ts'
import { NO_ATTEMPTS } from './state-folder.ts'

/** A site that is to have a certificate. */
export interface WantedCertificate {
  readonly site: string
  /** 1 to 100. */
  readonly names: readonly string[]
}

/** Why an order came to nothing, until it is known what became of it. */
export const INTERRUPTED = 'vhostel ended while it asked'

export class SiteCertificate {
  wanted: WantedCertificate
  inUse: Certificate | undefined
  /** What is in use and could not be written down: a restart would lose it. */
  unsaved: KeyPair | undefined
  attempts: Attempts = NO_ATTEMPTS
  /** When the next order is due, Unix time in ms; Infinity until what is on the disk is known. */
  dueAt = Number.POSITIVE_INFINITY
  isAsking = false
  /** Whether what the disk has of it is known. */
  isRead = false

  constructor(wanted: WantedCertificate) {
    this.wanted = wanted
  }

  get site(): string {
    return this.wanted.site
  }

  /** Whether the certificate in use has all names that are wanted. */
  get isComplete(): boolean {
    return this.inUse !== undefined && covers(this.inUse, this.wanted.names)
  }

  /**
   * Finds out when the next order is due, or the next try to write down what came of the last. Other names than last time are a reason to ask before the back-off is over.
   *
   * @param random from 0 to 1
   */
  plan(random: number): void {
    this.dueAt = dueAt(this.attempts, this.inUse, this.isComplete && this.unsaved === undefined, random)
    if (!this.isComplete && !isSame(this.attempts.names, this.wanted.names)) this.hasten()
  }

  /** Asks as soon as may be: somebody says that what was wrong is right now. */
  hasten(): void {
    const { lastAt, notBefore } = this.attempts
    if (!this.isComplete || this.attempts.failures > 0) {
      this.dueAt = Math.min(this.dueAt, Math.max(lastAt === 0 ? 0 : lastAt + LEAST_INTERVAL_MS, notBefore))
    }
  }

  /** @param restsUntil before that the ACME server is asked for nothing. @param outage why */
  status(nowMs: number, restsUntil: number, outage: readonly string[]): CertificateStatus {
    const { wanted, inUse, attempts } = this
    // An order under way is written down as failed, in case that we end; it has not failed yet.
    const isForecast = this.isAsking && attempts.reasons[0] === INTERRUPTED
    const failures = isForecast ? attempts.failures - 1 : attempts.failures
    return {
      state: this.#state(nowMs),
      names: [...wanted.names],
      covered: [...(inUse?.names ?? [])],
      notAfter: inUse?.notAfter,
      nextTryAt: Math.round(Math.max(this.dueAt, restsUntil)),
      failures,
      reasons: [...(failures > 0 && !isForecast ? attempts.reasons : []), ...(this.dueAt <= restsUntil ? outage : [])],
    }
  }

  #state(nowMs: number): CertificateState {
    if (this.isAsking) return 'asking'
    if (this.inUse === undefined) return 'waiting'
    if (this.inUse.notAfter <= nowMs) return 'expired'
    return this.isComplete ? 'valid' : 'incomplete'
  }
}

/** What was read from the disk, with times that can be true: the clock may have been set back since. */
export function sane(attempts: Attempts, nowMs: number): Attempts {
  const lastAt = Math.min(attempts.lastAt, nowMs)
  return { ...attempts, lastAt, notBefore: Math.min(attempts.notBefore, lastAt + LONGEST_RETRY_AFTER_MS) }
}

/** Whether two lists have the same names; the order of the names does not count. */
function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((name) => others.includes(name))
}
