/**
 * What a certificate says of itself: its life and its names, and whether its key fits. Reads PEM, knows no file.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { Lifetime } from './schedule.ts'

/** PEM texts; `cert` is the whole chain, the site's own first. */
export interface KeyPair {
  cert: string
  key: string
}

export interface Certificate extends Lifetime {
  /** Lower case. */
  names: string[]
  pair: KeyPair
}

/** Reads a pair. @throws an Error in words where it is none, or where the key is another one's */
export function readCertificate(pair: KeyPair): Certificate {
  const own = new X509Certificate(pair.cert)
  if (!own.checkPrivateKey(createPrivateKey(pair.key))) throw new Error('the key does not belong to the certificate')
  const [notBefore, notAfter] = [Date.parse(own.validFrom), Date.parse(own.validTo)]
  if (!(notBefore < notAfter)) throw new Error('the certificate has no time in which it is valid')
  return { notBefore, notAfter, names: dnsNames(own.subjectAltName), pair }
}

/** Whether a certificate has all these names. */
export function covers({ names }: Certificate, wanted: readonly string[]): boolean {
  return wanted.every((name) => names.includes(name))
}

/** Of `DNS:example.com, DNS:www.example.com`. */
function dnsNames(subjectAltName: string | undefined): string[] {
  const entries = subjectAltName?.split(', ') ?? []
  return entries.flatMap((entry) => (entry.startsWith('DNS:') ? entry.slice(4).toLowerCase() : []))
}
