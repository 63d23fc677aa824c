/** What a fault is: data from which a site that goes wrong is made, and what its own visitors may see of it. Types only. */

/** What became of a request: a status, `cut` after the answer had begun, `reset` before, `none` within the patience. */
export type Answer = number | 'cut' | 'reset' | 'none'

export interface Fault {
  /** One word, for the command line, the site's name and its host (`<name>.test`). */
  name: string
  /** In words, for tables. */
  what: string
  /** Text of the site's `app.mjs`, an ES module that exports a Node handler. */
  code: string
  /** More files beside it. */
  files?: Record<string, string | Uint8Array>
  /** What its visitors ask for: one visitor a path, again and again. */
  visits: readonly string[]
  /** Bytes of a body that each visit sends by POST. */
  bodyBytes?: number
  /** What the visitors may see; anything else is a fault of the server. */
  mayAnswer: readonly Answer[]
  /** At least one of these has to be among what they saw. */
  mustAnswer?: readonly Answer[]
  /** So many requests at once instead of one visitor a path. */
  crowd?: number
  /** Sent to one worker process from outside, when the visitors have begun. */
  signal?: 'SIGKILL' | 'SIGSTOP'
  /** The worker processes may have so many descriptors each while it lasts, so that a leak gets somewhere. */
  descriptors?: number
  /** What a line of the log that bears the site's name has to say, in its message, its fields or its stack. */
  log?: RegExp
  /** How long it takes at the least until there is something to see, in ms. */
  lastsMs?: number
}

/** What visitors of a site that does harm may see: a page that says so, or their connection's end in the middle. */
export const TROUBLE: readonly Answer[] = [500, 502, 503, 504, 'cut']
