/**
 * What a certificate says of itself: its life and its names, and whether its key fits. Reads PEM, knows no file.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { KeyPair } from '../core/key-pair.ts'
import type { Lifetime } from './schedule.ts'

export interface Certificate extends Lifetime {
  /** Lower case. */
  names: string[]
  pair: KeyPair
}

/** Reads a pair. @throws an Error in words where it is none, or where the key is another one's */
export function readCertificate(pair: KeyPair): Certificate {
  const own = new X509Certificate(pair.cert)
  // Whoever puts it in use looks at the whole chain, which takes three times as long.
  if (!own.checkPrivateKey(createPrivateKey(pair.key))) throw new Error('the key is not the key of the certificate')
  const [notBefore, notAfter] = [Date.parse(own.validFrom), Date.parse(own.validTo)]
  if (!(notBefore < notAfter)) throw new Error('the certificate has no time in which it is valid')
  return { notBefore, notAfter, names: dnsNames(own.subjectAltName), pair }
}

/** Whether a certificate has all these names. */
export function covers({ names }: Certificate, wanted: readonly string[]): boolean {
  return wanted.every((name) => names.includes(name))
}

/** What an ACME server issued for these names, as it can be used; or why it cannot, in words. */
export function usable(pair: KeyPair, names: readonly string[], nowMs: number): Certificate | string {
  try {
    const certificate = readCertificate(pair)
    if (!covers(certificate, names)) return 'the ACME server issued a certificate without some of the names'
    if (certificate.notAfter > nowMs) return certificate
    return 'the ACME server issued a certificate whose time is over: is the clock of this machine right?'
  } catch (error) {
    return `the ACME server issued something that cannot be used: ${(error as Error).message}`
  }
}

/** Of `DNS:example.com, DNS:www.example.com`. */
function dnsNames(subjectAltName: string | undefined): string[] {
  const entries = subjectAltName?.split(', ') ?? []
  return entries.flatMap((entry) => (entry.startsWith('DNS:') ? entry.slice(4).toLowerCase() : []))
}
