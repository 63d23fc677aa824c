/**
 * Which sites have to live in a process of their own for a while, by what they did. Pure policy: offences and times come
 * in, verdicts go out; no process, timer or clock.
 *
 * One offence that cost others (a thread or a process ended, or was kept for longer than `slow`) convicts a site. Short
 * blocks cost others little: `offences` of them within a minute convict. A convicted site is let out when it has behaved
 * for `timeMs`; each further conviction within a day doubles that, up to 16 times. A suspect that is kept apart is judged as any
 * other site: what it does there is its own.
 *
 * Limits: the last `MAX_KEPT` offences of a site are kept. Invariant: a site is convicted from its verdict until `release`.
 */

export interface QuarantineTerms {
  /** Short blocks within a minute that convict. */
  offences: number
  /** How long a convicted site has to behave, in ms; 0: never convicted. */
  timeMs: number
}

/**
 * `blocked`: kept its thread. `crashed`: ended its thread or process. `memory`: took more than it may. `patched`:
 * changed what all sites of its thread share. `suspected`: it may have been it that crashed.
 */
export type OffenceKind = 'blocked' | 'crashed' | 'memory' | 'patched' | 'suspected'

export interface Offence {
  kind: OffenceKind
  /** In words, for the log and `vhostel status`. */
  text: string
  /** Whether it cost others so much that one is enough. */
  severe: boolean
  /** Whether it was done without a request, by timers as a rule: these go on in the threads that the site leaves. */
  goesOn?: boolean
}

/** What is known against a site. */
export interface Record {
  offences: (Offence & { at: number })[]
  /** Since when it is convicted, or kept apart as a suspect; undefined while it is not. */
  convictedAt: number | undefined
  /** Whether it is kept apart only because it may have been it. */
  isSuspect: boolean
  /** From when on it may be let out, if nothing happens until then. */
  releaseAt: number
  /** Convictions that still count. */
  convictions: number
}

/** `noted`: it stays where it is. `convicted`: it has to move. `again`: it is where it belongs already. */
export type Verdict = 'noted' | 'convicted' | 'again'

const SHORT_WINDOW_MS = 60_000
const RECORD_MS = 86_400_000
const MAX_KEPT = 20
const MAX_DOUBLINGS = 4

export class Quarantine<S> {
  readonly #records = new Map<S, Record>()

  /** Takes note of an offence. @param now any clock in ms, always the same */
  offence(site: S, offence: Offence, terms: QuarantineTerms, now: number): Verdict {
    const record = this.#noted(site, offence, now)
    const isApart = record.convictedAt !== undefined
    if (isApart && !record.isSuspect) {
      record.releaseAt = Math.max(record.releaseAt, now + sentence(record, terms))
      return 'again'
    }
    const recent = record.offences.filter(({ kind, at }) => kind !== 'suspected' && now - at < SHORT_WINDOW_MS)
    if (terms.timeMs === 0 || (!offence.severe && recent.length < terms.offences)) return isApart ? 'again' : 'noted'
    record.convictedAt ??= now
    record.isSuspect = false
    record.convictions++
    // A suspect may have to stay longer than that already.
    record.releaseAt = Math.max(record.releaseAt, now + sentence(record, terms))
    return 'convicted'
  }

  /** Keeps a site apart until `until`, without a conviction that counts. */
  suspect(site: S, text: string, until: number, now: number): void {
    const record = this.#noted(site, { kind: 'suspected', text, severe: false }, now)
    record.isSuspect ||= record.convictedAt === undefined
    record.convictedAt ??= now
    record.releaseAt = Math.max(record.releaseAt, until)
  }

  /** Other terms are in force: a site that is kept apart stays for as long as these say, from its last offence on. */
  retime(site: S, terms: QuarantineTerms, now: number): void {
    const record = this.#records.get(site)
    const last = record?.offences.at(-1)
    if (record?.convictedAt === undefined || last === undefined) return
    if (terms.timeMs === 0) record.releaseAt = now
    else if (!record.isSuspect) record.releaseAt = last.at + sentence(record, terms)
  }

  recordOf(site: S): Record | undefined {
    return this.#records.get(site)
  }

  isConvicted(site: S): boolean {
    return this.#records.get(site)?.convictedAt !== undefined
  }

  /** The convicted sites that have behaved for long enough. */
  due(now: number): S[] {
    return [...this.#records].filter(([, record]) => isServed(record, now)).map(([site]) => site)
  }

  /** When the next one is due; undefined when no site is convicted. */
  nextDueAt(): number | undefined {
    const times = [...this.#records.values()].filter((one) => one.convictedAt !== undefined).map((one) => one.releaseAt)
    return times.length === 0 ? undefined : Math.min(...times)
  }

  /** The site is back among the others. */
  release(site: S): void {
    const record = this.#records.get(site)
    if (record === undefined) return
    record.convictedAt = undefined
    record.isSuspect = false
    record.offences = []
  }

  /** The site is gone. */
  forget(site: S): void {
    this.#records.delete(site)
  }

  /** The record of a site, with one offence more. */
  #noted(site: S, offence: Offence, now: number): Record {
    const record = this.#recordOf(site, now)
    record.offences.push({ ...offence, at: now })
    if (record.offences.length > MAX_KEPT) record.offences.shift()
    return record
  }

  #recordOf(site: S, now: number): Record {
    const record = this.#records.get(site) ?? newRecord()
    this.#records.set(site, record)
    if (record.convictedAt !== undefined) return record
    // What happened a day ago does not count any more.
    if (now - record.releaseAt >= RECORD_MS) record.convictions = 0
    record.offences = record.offences.filter(({ at }) => now - at < RECORD_MS)
    return record
  }
}

function newRecord(): Record {
  return { offences: [], convictedAt: undefined, isSuspect: false, releaseAt: 0, convictions: 0 }
}

function isServed(record: Record, now: number): boolean {
  return record.convictedAt !== undefined && record.releaseAt <= now
}

function sentence(record: Record, terms: QuarantineTerms): number {
  return terms.timeMs * 2 ** Math.min(MAX_DOUBLINGS, Math.max(0, record.convictions - 1))
}
