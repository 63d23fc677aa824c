/**
 * What TLS is spoken: versions, ciphers and groups of Mozilla's "intermediate" profile (Server Side TLS 5.7), which every
 * browser of the last ten years has. DHE is left out of it: whoever has that has ECDHE too, and it costs the server more
 * than the client (CVE-2002-20001).
 *
 * Invariant: every context, the one that handshakes begin with and those of the sites, is made with these.
 */
import type { SecureContextOptions } from 'node:tls'

/** SSL_OP_NO_RENEGOTIATION of OpenSSL, for which Node has no name: a client of TLS 1.2 cannot ask for a second handshake. */
const NO_RENEGOTIATION = 0x4000_0000

const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
]

export const CONTEXT_OPTIONS: SecureContextOptions = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: CIPHERS.join(':'),
  ecdhCurve: 'X25519MLKEM768:X25519:P-256:P-384',
  // As the profile says: the client knows best what its machine is fast at.
  honorCipherOrder: false,
  secureOptions: NO_RENEGOTIATION,
  // No client is asked for a certificate; without this, Node reads all the roots that it knows.
  ca: [],
}
