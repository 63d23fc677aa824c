/**
 * What [proxy] says of TLS to upstreams (`https://…`): whose certificates are accepted, and for which name.
 *
 * The file with the CAs is read here, so that a change of it is a change of the site's settings. Invariant: without a word in the
 * INI file a certificate is verified, by the CAs of the system and for the host that `upstream` names.
 */
import { X509Certificate } from 'node:crypto'
import { quote } from './problems.ts'
import { optional, setting } from './settings.ts'
import type { SiteBeingRead } from './site-reading.ts'
import { addProblem, isWritten, pathOf, readFileOf } from './site-reading.ts'
import type { Read } from './units.ts'
import { flag, path, textType } from './units.ts'

/** How certificates of upstreams are looked at. Plain data. */
export interface UpstreamTls {
  /** PEM of the CAs that are trusted; those of the system where undefined. */
  ca: string | undefined
  isVerified: boolean
  /** The name that is asked for and has to be in the certificate; the host of the upstream where undefined. */
  name: string | undefined
}

const hostName = textType<string>('host', readHostName, String)

/** Keys of [proxy]. */
export const upstreamTlsKeys = {
  tls_ca: optional(
    path,
    'For `https://` upstreams: PEM file with the CAs (or the certificates themselves) to accept instead of the ' +
      "system's CAs. A relative path starts at the folder of this file.",
  ),
  tls_name: optional(
    hostName,
    'For `https://` upstreams: the name to ask for (SNI) and to expect in the certificate. By default the host in ' +
      '`upstream`.',
  ),
  tls_verify: setting(
    flag,
    'yes',
    'Whether to verify the certificate of an `https://` upstream. `no` is for tests only: anybody on the way can ' +
      'read and change everything. It is better to name the certificate in `tls_ca`.',
  ),
}

function readHostName(found: string): Read<string> {
  const isName =
    found.length <= 253 && /^[a-z\d](?:[a-z\d_-]*[a-z\d])?(?:\.[a-z\d](?:[a-z\d_-]*[a-z\d])?)*$/i.test(found)
  // What ends in a number is an IPv4 address, to which no name belongs (RFC 6066 §3).
  if (isName && !/(?:^|\.)\d+$/.test(found)) return { value: found }
  return { problem: `${quote(found)} is not the name of a host (such as backend.example)` }
}

/** Reads the keys and the file that they name; problems are added to the site's. @param isUsed whether an upstream has TLS */
export function readUpstreamTls(site: SiteBeingRead, isUsed: boolean): UpstreamTls {
  const { tls_ca: file, tls_name: name, tls_verify: isVerified } = site.checked.value.proxy
  const areUpstreamsKnown = !site.checked.isBad('site', 'upstream')
  for (const key of Object.keys(upstreamTlsKeys)) {
    if (isUsed || !areUpstreamsKnown || !isWritten(site, 'proxy', key)) continue
    addProblem(site, 'proxy', key, 'has no use: no upstream of this site begins with https://')
  }
  if (isUsed && !isVerified && isWritten(site, 'proxy', 'tls_ca')) {
    addProblem(site, 'proxy', 'tls_ca', 'has no use with tls_verify = no: take one of the two away')
  }
  return { ca: isUsed && file !== undefined ? readCas(site, file) : undefined, isVerified, name }
}

function readCas(site: SiteBeingRead, written: string): string | undefined {
  const path = pathOf(site, written)
  const text = readFileOf(site, 'proxy', 'tls_ca', path)
  if (text === undefined) return undefined
  const certificates = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  if (certificates.length > 0 && certificates.every(isCertificate)) return certificates.join('\n')
  return void addProblem(
    site,
    'proxy',
    'tls_ca',
    certificates.length === 0
      ? `${path} has no certificate in it (a PEM file with -----BEGIN CERTIFICATE----- is expected)`
      : `${path}: certificate ${certificates.findIndex((one) => !isCertificate(one)) + 1} of it cannot be read: is it whole?`,
  )
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.byteLength > 0
  } catch {
    return false
  }
}
