/**
 * Who wants to know how the requests at one upstream fare: told by those who carry them, as it happens.
 *
 * Invariant: each `asked` is followed by one `settled`.
 */
export interface Attendance {
  /** A request is on its way there. */
  asked(): void
  /** It waits no more: its answer has begun, or never will. */
  settled(): void
  /** The upstream did something: it answered, went on with an answer, or took more of a body. */
  heard(): void
}

/** Told for one request, whose attempts come one after the other. */
export class Attended {
  #attendance: Attendance | undefined

  /** An attempt begins. Told again while it waits: nothing changes. */
  ask(attendance: Attendance | undefined): void {
    if (this.#attendance !== undefined) return
    this.#attendance = attendance
    attendance?.asked()
  }

  /** The attempt's answer has begun, or never will. */
  settle(): void {
    this.#attendance?.settled()
    this.#attendance = undefined
  }
}
