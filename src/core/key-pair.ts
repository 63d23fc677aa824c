/**
 * A certificate with its private key, as PEM texts, and whether the two can be used together. Pure: no file, no clock.
 *
 * Invariant: no message of this file has anything of a key in it.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'

/** PEM texts. */
export interface KeyPair {
  /** The certificate of the hosts first, then those that lead to its root, each signed by the next. */
  readonly cert: string
  /** Of the first certificate; not encrypted. */
  readonly key: string
}

/** Why a pair cannot be used, and which half is to blame; words that follow the name of the file. */
export interface KeyPairFault {
  half: keyof KeyPair
  reason: string
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g

/** Checks every certificate of the chain, the key, and that the key is the first certificate's. @returns undefined where all is well */
export function keyPairFault({ cert, key }: KeyPair): KeyPairFault | undefined {
  const blocks = cert.match(PEM_CERTIFICATE)
  if (blocks === null) return { half: 'cert', reason: `has no certificate in it ${EXPECTED_CERTIFICATE}` }
  const chain: X509Certificate[] = []
  for (const [index, block] of blocks.entries()) {
    try {
      chain.push(new X509Certificate(block))
    } catch {
      return { half: 'cert', reason: `certificate ${index + 1} in it is damaged: copy the file once more` }
    }
  }
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(key)) {
    return { half: 'key', reason: 'is encrypted: write it without a passphrase (openssl pkey -in … -out …)' }
  }
  try {
    const secret = createPrivateKey(key)
    const index = chain.findIndex((one) => one.checkPrivateKey(secret))
    if (index < 0) return { half: 'key', reason: 'is not the key of the certificate' }
    if (index > 0)
      return { half: 'cert', reason: `is in the wrong order: put certificate ${index + 1} first, ${OTHERS}` }
  } catch {
    return { half: 'key', reason: 'has no private key in it (a PEM file with -----BEGIN PRIVATE KEY----- is expected)' }
  }
  return handshakeFault({ cert, key })
}

/** What OpenSSL will not take, such as a key that is too short. */
function handshakeFault(pair: KeyPair): KeyPairFault | undefined {
  try {
    // `ca`: without it Node would read all the roots that it knows.
    createSecureContext({ ...pair, ca: [] })
    return undefined
  } catch (error) {
    const words = error instanceof Error ? error.message.split(':').at(-1) : error
    return { half: 'cert', reason: `cannot be used (${words}): make a new one, ECDSA P-256 or RSA with 2048 bits` }
  }
}

const OTHERS = 'the one of the key, and behind it those that lead to its root'
const EXPECTED_CERTIFICATE = '(a PEM file with -----BEGIN CERTIFICATE----- is expected)'
