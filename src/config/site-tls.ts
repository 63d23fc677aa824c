/**
 * The keys of [site] about TLS. The files that they name are load-certificate.ts's.
 */
import { duration } from './measures.ts'
import { optional, setting } from './settings.ts'
import { flag, path } from './units.ts'

/** Browsers forget a rule of HSTS that is older than what they were told; nobody means more than ten years. */
const MAX_HSTS_MS = 3650 * 86_400_000

/** Keys of [site]. */
export const tlsKeys = {
  certificate: optional(
    path,
    'PEM file with the certificate of the site and its intermediates (`fullchain.pem`). With it and `key`, ' +
      'the site is served at `[server] listen_tls`. A relative path starts at the folder of this file.',
  ),
  key: optional(path, 'PEM file with the private key of `certificate`, without a passphrase.'),
  https_only: setting(
    flag,
    'no',
    'Redirect HTTP to HTTPS once the site has a certificate, and tell browsers to use HTTPS only (`hsts`).',
  ),
  hsts: setting(
    duration(0, MAX_HSTS_MS),
    '180d',
    'How long browsers remember to use HTTPS only, with `https_only` (`Strict-Transport-Security`). `0s`: ' +
      'makes browsers forget it.',
  ),
}

/** TLS of a site, ready for use. */
export interface SiteTls {
  /** Whether requests in clear text are redirected. */
  httpsOnly: boolean
  /** In whole seconds, for `Strict-Transport-Security: max-age=`. */
  hstsSeconds: number
}
