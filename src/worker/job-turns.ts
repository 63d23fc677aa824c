/**
 * So many jobs at once, and those who have more than that wait, the owners in turn. Starts no timer and knows no clock. What waits
 * is bounded by who makes it. Invariant: a job waits only while as many as may be are under way.
 */

export class JobTurns<Owner> {
  #free: number
  /** Who is next in turn comes first. */
  readonly #waiting = new Map<Owner, Set<() => unknown>>()

  /** @param atOnce how many may be under way */
  constructor(atOnce: number) {
    this.#free = atOnce
  }

  /** Begins a job, now or when it is its turn; that it is over has to be told by `end`, once. @param job does not throw */
  begin(owner: Owner, job: () => unknown): void {
    if (this.#free > 0) {
      this.#free--
      job()
      return
    }
    const jobs = this.#waiting.get(owner) ?? new Set()
    this.#waiting.set(owner, jobs.add(job))
  }

  /** A job that had begun is over. */
  end(): void {
    for (const [owner, jobs] of this.#waiting) {
      // Behind all others.
      this.#waiting.delete(owner)
      if (jobs.size > 1) this.#waiting.set(owner, jobs)
      for (const job of jobs) {
        jobs.delete(job)
        job()
        return
      }
    }
    this.#free++
  }
}
