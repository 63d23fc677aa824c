/** What each bench is told, and what it finds. Types only. */

export interface BenchOptions {
  /** Fewer and shorter rounds: to see whether something changed much, not how much. */
  quick: boolean
  /** The vhostel that is measured: path of its `bin/vhostel.js`. */
  command: string
}

/** A ratio that is wanted, and the one that was found. */
export interface Verdict {
  what: string
  ratio: number
  /** Such as `0.74 (≥ 0.7 wanted: yes)`. */
  text: string
}
