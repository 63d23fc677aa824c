/**
 * How a site stands with its certificate from an ACME server, as the admin socket tells it. Types only: acme and admin both
 * need it.
 */

/**
 * `waiting`: none yet, and none is asked for at the moment. `asking`: an order is under way. `valid`: there is one for all
 * names. `incomplete`: there is one, but not for all names. `expired`: there is one whose time is over.
 */
export type CertificateState = 'waiting' | 'asking' | 'valid' | 'incomplete' | 'expired'

export interface CertificateStatus {
  state: CertificateState
  /** The names that it should have, and those that the one in use has. */
  names: string[]
  covered: string[]
  /** When the one in use ends, Unix time in ms; undefined where there is none. */
  notAfter: number | undefined
  /** When an order is placed next, Unix time in ms: a first one, another try, or the renewal. */
  nextTryAt: number
  /** Orders that failed since the last that did not. */
  failures: number
  /** Why the last one failed, in the words of the ACME server, one for each name; empty where it did not. */
  reasons: string[]
}
