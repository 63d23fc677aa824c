/**
 * The certificate of a site and its key, from the files that it names, checked so far that every handshake with them will
 * work. The files are the site's dependencies: with other ones in their place the site is read again.
 *
 * What makes browsers complain but no handshake fail is a warning: a certificate that has run out, or that does not name
 * one of the site's hosts, is still better than none, and most often is a renewal that is late. One that is about to run out
 * is warned of while there is time: whoever renews certificates does so long before.
 */
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import type { KeyPair } from '../core/key-pair.ts'
import { keyPairFault } from '../core/key-pair.ts'
import type { DomainPattern } from './domains.ts'
import { exactHosts } from './domains.ts'
import { quote } from './problems.ts'
import type { SiteBeingRead } from './site-reading.ts'
import { addProblem, addWarning, isMeant, pathOf, readFileOf } from './site-reading.ts'

/**
 * Reads and checks the pair; problems and warnings are added to the site's.
 *
 * @returns undefined where the site names none, or where it cannot be used
 */
export function readCertificate(site: SiteBeingRead, domains: readonly DomainPattern[]): KeyPair | undefined {
  const { certificate, key } = site.checked.value.site
  if (certificate === undefined && key === undefined) return undefined
  if (certificate === undefined || key === undefined) {
    const missing = certificate === undefined ? 'certificate' : 'key'
    return isMeant(site, 'site', missing) ? undefined : void addProblem(site, 'site', missing, MISSING[missing])
  }
  const cert = readFileOf(site, 'site', 'certificate', pathOf(site, certificate))
  const secret = readFileOf(site, 'site', 'key', pathOf(site, key))
  if (cert === undefined || secret === undefined) return undefined
  const isLast = lastPair?.cert === cert && lastPair.key === secret
  const pair = isLast && lastPair !== undefined ? lastPair : { cert, key: secret }
  const fault = isLast ? undefined : keyPairFault(pair)
  if (fault !== undefined) {
    const name = fault.half === 'cert' ? 'certificate' : 'key'
    return void addProblem(site, 'site', name, `${quote(fault.half === 'cert' ? certificate : key)} ${fault.reason}`)
  }
  lastPair = pair
  const x509 = new X509Certificate(cert)
  for (const text of doubts(x509, domains, site.nowMs)) {
    addWarning(site, 'site', 'certificate', `${quote(certificate)} ${text}`)
  }
  site.load.goodUntil = nextTurnOf(x509, site.nowMs)
  return pair
}

/** Programs that renew do so with a third of the time left as a rule; with so much left, that has not worked for long. */
const LEFT_PART = 1 / 5
const LONGEST_LEFT_MS = 14 * 86_400_000

const MISSING = {
  certificate: 'is missing: key has no use without',
  key: 'is missing: name the file with the private key of the certificate',
} as const

/** The good pair that was read last: where all sites have one certificate, they share it, and what is made of it. */
let lastPair: KeyPair | undefined

/** What a browser will complain of, now or soon. */
function doubts(certificate: X509Certificate, domains: readonly DomainPattern[], nowMs: number): string[] {
  const found: string[] = []
  const { validFromDate, validToDate } = certificate
  const [from, soon, to] = turnsOf(certificate)
  if (to <= nowMs) found.push(`ran out on ${dayOf(validToDate)}: renew it`)
  else if (from <= nowMs && soon <= nowMs) found.push(`runs out on ${dayOf(validToDate)}: renew it`)
  if (from > nowMs) found.push(`is not good before ${dayOf(validFromDate)}; is the clock right?`)
  const missing = exactHosts(domains).filter((host) => !isNamed(certificate, host))
  if (missing.length > 0) found.push(`does not name ${shortList(missing)}: browsers will refuse it there`)
  return found
}

/** When it becomes good, when it is time that somebody looks why it was not renewed, and when it runs out; Unix time in ms. */
function turnsOf({ validFromDate, validToDate }: X509Certificate): [number, number, number] {
  const [from, to] = [validFromDate.getTime(), validToDate.getTime()]
  return [from, to - Math.min(LONGEST_LEFT_MS, (to - from) * LEFT_PART), to]
}

/** The first of these that is still to come; infinite where none is. */
function nextTurnOf(certificate: X509Certificate, nowMs: number): number {
  return Math.min(...turnsOf(certificate).filter((turn) => turn > nowMs))
}

/** Whether a certificate is good for a host (RFC 9525 §6); the subject's common name no longer counts. */
export function isNamed(certificate: X509Certificate, host: string): boolean {
  const address = host.startsWith('[') ? host.slice(1, -1) : host
  if (isIP(address) !== 0) return certificate.checkIP(address) !== undefined
  return certificate.checkHost(host, { subject: 'never' }) !== undefined
}

const MAX_NAMED = 5

function shortList(hosts: readonly string[]): string {
  const rest = hosts.length - MAX_NAMED
  return hosts.slice(0, MAX_NAMED).join(', ') + (rest > 0 ? ` and ${rest} more` : '')
}

function dayOf(date: Date): string {
  return Number.isNaN(date.getTime()) ? 'an unknown day' : date.toISOString().slice(0, 10)
}
