/**
 * So many jobs at once, and those who have more than that wait, the owners in turn. Starts no timer and knows no clock. What waits
 * is bounded by who makes it. Of one owner, what has begun goes before what has not: else all would end at the end. Invariant: a job waits only while as many as may be are under way.
 */

export class JobTurns<Owner> {
  #free: number
  /** Who is next in turn comes first. */
  readonly #waiting = new Map<Owner, (() => unknown)[]>()

  /** @param atOnce how many may be under way */
  constructor(atOnce: number) {
    this.#free = atOnce
  }

  /**
   * Begins a job, now or when it is its turn; that it is over has to be told by `end`, once.
   *
   * @param job does not throw
   * @param goesOn whether it goes on with what an earlier one has begun, and is to be before those that do not
   */
  begin(owner: Owner, job: () => unknown, goesOn = false): void {
    if (this.#free > 0) {
      this.#free--
      job()
      return
    }
    const jobs = this.#waiting.get(owner)
    if (jobs === undefined) this.#waiting.set(owner, [job])
    else if (goesOn) jobs.unshift(job)
    else jobs.push(job)
  }

  /** A job that had begun is over. */
  end(): void {
    const next = this.#waiting.entries().next().value
    if (next === undefined) {
      this.#free++
      return
    }
    const [owner, jobs] = next
    const job = jobs.shift() as () => unknown
    // Behind all others.
    this.#waiting.delete(owner)
    if (jobs.length > 0) this.#waiting.set(owner, jobs)
    job()
  }
}
