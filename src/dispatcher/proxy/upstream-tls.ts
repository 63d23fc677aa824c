/**
 * TLS to upstreams: how a connection to one begins, and in words what is wrong where it does not come about.
 *
 * Limit: HTTP/1.1 over TLS, without a certificate of our own. Invariant: the name that is asked for (SNI) and looked for in the
 * certificate is said by the site's settings alone, never by a visitor's `Host`.
 */
import { isIP } from 'node:net'
import type { PeerCertificate, SecureContext } from 'node:tls'
import { createSecureContext, getCACertificates } from 'node:tls'
import type { UpstreamTls } from '../../config/upstream-tls.ts'

/** What `tls.connect` needs to know beside address and port. */
export interface TlsOptions {
  secureContext: SecureContext
  rejectUnauthorized: boolean
  /** Empty: none is asked for. */
  servername: string
}

/** @param host of the upstream, as the INI file has it */
export function tlsOptions(host: string, { ca, isVerified, name }: UpstreamTls): TlsOptions {
  return {
    secureContext: contextOf(ca),
    rejectUnauthorized: isVerified,
    // An address is not asked for as a name, and is verified as one of the certificate's addresses.
    servername: name ?? (isIP(host) === 0 ? host : ''),
  }
}

/** The context made last with the CAs of a file: the upstreams of one site have one. */
let last: { ca: string; context: SecureContext } | undefined
let ofSystem: SecureContext | undefined

/** Each takes some 10 ms, the system's 0.1 s more, once: so they are made when a site is put in service and not at a request. */
function contextOf(ca: string | undefined): SecureContext {
  if (ca === undefined) {
    ofSystem ??= createSecureContext({ ca: systemCas() })
    return ofSystem
  }
  if (last?.ca !== ca) last = { ca, context: createSecureContext({ ca }) }
  return last.context
}

/** Those of the system, or Node's own where it has none, as in a small container; and those of NODE_EXTRA_CA_CERTS. */
function systemCas(): string[] {
  const system = getCACertificates('system')
  return [...new Set([...(system.length === 0 ? getCACertificates('bundled') : system), ...getCACertificates('extra')])]
}

const UNKNOWN_ISSUER = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])
const OTHER_FAULTS = new Set([
  'CERT_CHAIN_TOO_LONG',
  'CERT_REJECTED',
  'CERT_REVOKED',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'PATH_LENGTH_EXCEEDED',
])
/** What OpenSSL makes of an answer in clear text. */
const NO_TLS = new Set(['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'])

/**
 * What is wrong with the TLS of an upstream, and the cure, in words that follow its name.
 *
 * @returns undefined where it is nothing of that kind
 */
export function tlsFault(error: NodeJS.ErrnoException): string | undefined {
  const { code = '', message } = error
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const { host = '', cert } = error as NodeJS.ErrnoException & { host?: string; cert?: PeerCertificate }
    const names = cert?.subjectaltname ?? 'no name at all'
    return (
      `shows a certificate for another host: ${host} is not in it, but ${names.slice(0, MAX_NAMES_LENGTH)}; write the right ` +
      `host in upstream, or the name of the certificate in [proxy] tls_name (${code})`
    )
  }
  if (UNKNOWN_ISSUER.has(code)) {
    return (
      `shows a certificate that no trusted CA has signed (${code}): name its CA in [proxy] tls_ca, or have it send its whole ` +
      'chain'
    )
  }
  if (code === 'CERT_HAS_EXPIRED') return `shows a certificate that has run out (${code}): renew it there`
  if (code === 'CERT_NOT_YET_VALID') return `shows a certificate that is not good yet (${code}); is the clock right?`
  if (OTHER_FAULTS.has(code)) return `shows a certificate that is not accepted: ${message} (${code})`
  if (NO_TLS.has(code)) return `does not speak TLS there: write http:// in upstream, or its port for TLS (${code})`
  if (code.startsWith('ERR_SSL_')) return `did not agree on TLS: ${message} (${code})`
  return undefined
}

/** Most characters of the names of a certificate in a line of the log. */
const MAX_NAMES_LENGTH = 200
