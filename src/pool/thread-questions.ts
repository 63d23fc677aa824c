/**
 * What a supervisor is asked of one of its threads, and answers from outside the thread: its stack, and how long it had no
 * processor.
 *
 * Limits: a supervisor that does not answer within `ANSWER_MS` has not answered. Invariant: every question is settled once.
 */
import type { ThreadLook } from '../core/worker-orders.ts'
import type { PoolThread } from './pool-thread.ts'
import type { ThreadReport } from './workforce.ts'

/** What a supervisor answers to a question. */
export type Answer = Extract<ThreadReport, { type: 'look' | 'delay' }>

/** How long a supervisor may take to answer a question, in ms: it waits most of a second for a thread in native code. */
const ANSWER_MS = 1_500

export class ThreadQuestions {
  #last = 0
  /** Who waits for an answer, by the number of the question. */
  readonly #open = new Map<number, (answer: Answer | undefined) => void>()

  /** What runs in a thread now. @returns undefined when it cannot be told */
  async look(thread: PoolThread): Promise<ThreadLook | undefined> {
    const answer = await this.#ask('look', thread)
    return answer?.type === 'look' ? answer.look : undefined
  }

  /** How long a thread had no processor since it began, in ms. @returns undefined when its supervisor does not answer */
  async delayMs(thread: PoolThread): Promise<number | undefined> {
    const answer = await this.#ask('delay', thread)
    return answer?.type === 'delay' ? answer.delayedMs : undefined
  }

  /** A supervisor has answered. */
  answered(answer: Answer): void {
    this.#open.get(answer.question)?.(answer)
  }

  /** Nobody will answer any more. */
  close(): void {
    for (const settle of this.#open.values()) settle(undefined)
  }

  #ask(type: Answer['type'], thread: PoolThread): Promise<Answer | undefined> {
    const question = ++this.#last
    return new Promise((resolve) => {
      const settle = (answer: Answer | undefined): void => {
        clearTimeout(timer)
        this.#open.delete(question)
        resolve(answer)
      }
      const timer = setTimeout(settle, ANSWER_MS, undefined)
      this.#open.set(question, settle)
      thread.process.order({ type, thread: thread.id, question })
    })
  }
}
