/**
 * [acme] of vhostel.ini: where certificates come from for sites that say `tls = auto`.
 */
import { resolve } from 'node:path'
import type { z } from 'zod'
import { quote } from './problems.ts'
import { optional, section, setting } from './settings.ts'
import { readTextFile } from './text-file.ts'
import type { Read } from './units.ts'
import { choice, flag, path, text, textType } from './units.ts'

const httpsUrl = textType<string>('https URL', readHttpsUrl, String)
const address = textType<string>('e-mail address', readEmail, String)
const hmacKey = textType<string>('base64url', readHmacKey, String)

/** The keys of the section. */
export const acmeSection = section('Certificates for sites with `tls = auto`. See [Automatic certificates](acme.md).', {
  directory: setting(
    httpsUrl,
    'https://acme-v02.api.letsencrypt.org/directory',
    "URL of the ACME server's directory. The default is Let's Encrypt.",
  ),
  agree: setting(
    flag,
    'no',
    'Whether you agree to the terms of service of that server. No certificate is requested before you say ' + '`yes`.',
  ),
  email: optional(address, 'Address for mail from the ACME server. Optional.'),
  challenge: setting(
    choice(['auto', 'http-01', 'tls-alpn-01']),
    'auto',
    'How to prove that a name is yours: by a request to port 80 (`http-01`) or a handshake on port 443 ' +
      '(`tls-alpn-01`). `auto` starts with `http-01` and alternates after a failure.',
  ),
  state: setting(
    path,
    'state',
    'Folder for the account and the certificates, readable by vhostel only. Keep it in your backups: without ' +
      'it, all certificates have to be requested again. A relative path starts at the folder of vhostel.ini.',
  ),
  ca_file: optional(
    path,
    'PEM file with the root certificate of a private ACME server (step-ca, pebble). With it, internal names ' +
      '(`.internal`, `.test`, names without a dot) are requested too. A relative path starts at the folder of ' +
      'vhostel.ini.',
  ),
  eab_kid: optional(
    text('key id'),
    'For servers where you have an account already (ZeroSSL, Google): the id of the key that you get from them for ' +
      'external account binding (EAB).',
  ),
  eab_hmac_key: optional(
    hmacKey,
    'The key itself, as you get it. It is a secret: let only vhostel read the file (`chmod 640`).',
  ),
})

/** [acme], ready for use: paths absolute. */
export interface AcmeConfig {
  directory: string
  agree: boolean
  email: string | undefined
  challenge: 'auto' | 'http-01' | 'tls-alpn-01'
  state: string
  caFile: string | undefined
  /** What binds the account to one that the server's owner knows (RFC 8555 §7.3.4). */
  externalAccount: ExternalAccount | undefined
}

export interface ExternalAccount {
  kid: string
  /** Secret, in base64url. */
  hmacKey: string
}

/** @param dir folder of vhostel.ini */
export function acmeConfig(read: z.output<typeof acmeSection>, dir: string): AcmeConfig {
  const { ca_file, state, eab_kid: kid, eab_hmac_key: hmacKey, ...same } = read
  return {
    directory: same.directory,
    agree: same.agree,
    email: same.email,
    challenge: same.challenge,
    state: resolve(dir, state),
    caFile: ca_file === undefined ? undefined : resolve(dir, ca_file),
    externalAccount: kid === undefined || hmacKey === undefined ? undefined : { kid, hmacKey },
  }
}

const EAB_KEYS = ['eab_kid', 'eab_hmac_key'] as const

/** The key for an external account that stands there without the other; undefined where both do, or none. */
export function loneEabKey(
  read: z.output<typeof acmeSection>,
): { lone: (typeof EAB_KEYS)[number]; missing: (typeof EAB_KEYS)[number] } | undefined {
  const [kid, hmacKey] = EAB_KEYS
  if ((read[kid] === undefined) === (read[hmacKey] === undefined)) return undefined
  return read[kid] === undefined ? { lone: hmacKey, missing: kid } : { lone: kid, missing: hmacKey }
}

/** What is wrong with the file that `ca_file` names, in words that follow the key. */
export function caFileFault({ caFile }: AcmeConfig): string | undefined {
  if (caFile === undefined) return undefined
  const file = readTextFile(caFile)
  if ('fault' in file) return `${quote(caFile)} ${file.fault}`
  if (file.text.includes('-----BEGIN CERTIFICATE-----')) return undefined
  return `${quote(caFile)} has no certificate in it (a PEM file with -----BEGIN CERTIFICATE----- is expected)`
}

function readHttpsUrl(found: string): Read<string> {
  const url = URL.parse(found)
  if (url === null || url.protocol !== 'https:' || url.hostname === '') {
    return { problem: `${quote(found)} is not a https URL (such as https://acme-v02.api.letsencrypt.org/directory)` }
  }
  if (url.username !== '' || url.hash !== '')
    return { problem: `${quote(found)} has a user or a # in it: leave it out` }
  return { value: url.href }
}

/** Base64url, or base64 as some servers show it. What is wrong is told without the text, which is a secret. */
function readHmacKey(found: string): Read<string> {
  if (/^[\w+/-]{16,}={0,2}$/.test(found)) return { value: found }
  return { problem: 'is not a key in base64url, such as the ACME server gives it: letters, digits, - and _' }
}

/** No more than what goes into a `mailto:` URL as it is (RFC 8555 §7.3: one address, without header fields). */
function readEmail(found: string): Read<string> {
  if (/^[\w.+-]+@[a-z\d-]+(?:\.[a-z\d-]+)+$/i.test(found) && found.length <= 254) return { value: found }
  return { problem: `${quote(found)} is not an e-mail address (such as admin@example.com)` }
}
