/**
 * What the certificates' manager and the thread that talks to the ACME server say to each other. Types only.
 *
 * The thread is one of its own because the ACME client with all its libraries takes a third of a second to load and some
 * 30 MB: the thread that serves must not stop for that, and gets the memory back when nothing is left to ask for.
 */
import type { ExternalAccount } from '../config/server-acme.ts'
import type { KeyPair } from '../core/key-pair.ts'
import type { ChallengeType } from './schedule.ts'
import type { Account } from './state-folder.ts'

/** One certificate to be asked for. */
export interface Order {
  /** Host names in ASCII, 1 to 100. */
  names: readonly string[]
  challenge: ChallengeType
  account: Account
}

/** The ACME server, and who asks it. */
export interface AuthoritySettings {
  /** URL of its directory (RFC 8555 §7.1.1). */
  directory: string
  /** PEM of the only roots that its own HTTPS may be signed by; undefined: the public ones. */
  ca: string | undefined
  /** Where it may write to about certificates that run out. */
  email: string | undefined
  externalAccount: ExternalAccount | undefined
}

/** What became of an order. */
export type Outcome =
  | { kind: 'issued'; pair: KeyPair }
  /** The server refused this order, for `reasons`: its own words, one for each name. */
  | { kind: 'refused'; reasons: string[]; isRateLimit: boolean; retryAfterMs: number }
  /** The server cannot be asked for anything: it is gone, broken, or does not want the account. */
  | { kind: 'unavailable'; reasons: string[]; retryAfterMs: number }

/** What has to be answered on our side so that the server believes that a name is ours. */
export type Challenge =
  /** RFC 8555 §8.3: a plain request for `/.well-known/acme-challenge/<token>`. */
  | { type: 'http-01'; name: string; token: string; keyAuthorization: string }
  /** RFC 8737: a handshake for the name with the protocol `acme-tls/1`. */
  | { type: 'tls-alpn-01'; name: string; pair: KeyPair }

export type ToThread =
  | { type: 'order'; id: number; order: Order }
  /** The challenges of the order are in place. */
  | { type: 'prepared'; id: number; fault: string | undefined }

export type FromThread =
  /** The account is registered, or found, there. */
  | { type: 'account'; url: string }
  /** All challenges of one order, to be put in place. They are taken away with its outcome. */
  | { type: 'challenges'; id: number; challenges: Challenge[] }
  | { type: 'outcome'; id: number; outcome: Outcome }
