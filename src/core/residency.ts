/**
 * Where a site lives and what is held against it, as the admin socket tells it. Types only: pool and admin both need it.
 */
export interface ResidencyStatus {
  /** `default`, the name of a pool, or `site:NAME` for a process of its own. */
  group: string
  /** Unix time in ms; undefined where it is not quarantined. */
  quarantinedSince: number | undefined
  /** When it is let out if nothing happens, Unix time in ms. */
  releasedAt: number | undefined
  /** The last ones, oldest first; `at` is Unix time in ms. */
  offences: { kind: 'blocked' | 'crashed' | 'memory' | 'patched' | 'suspected'; text: string; at: number }[]
}
