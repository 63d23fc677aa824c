/**
 * The head of a module's answer, with what it says about the length of its body.
 *
 * Invariant: one head of the protocol (known-heads.ts) is taken apart once, however often it comes.
 */
import type { ResponseHead } from '../protocol/frames.ts'
import { framingOf } from './answer-framing.ts'
import { RepeatedHead } from './repeated-head.ts'

export class FramedHead extends RepeatedHead {
  /** Bytes of body that were announced; undefined when none were. */
  readonly length: number | undefined
  readonly isEventStream: boolean

  /** @throws AnswerInvalid for a head that two readers could take for two lengths */
  constructor(head: ResponseHead) {
    const { headers, length, isEventStream } = framingOf(head)
    super(head.status, head.reason, headers)
    this.length = length
    this.isEventStream = isEventStream
  }
}

/** @throws AnswerInvalid as the constructor, each time */
export function framedHead(head: ResponseHead): FramedHead {
  const { memo } = head
  if (memo instanceof FramedHead) return memo
  const framed = new FramedHead(head)
  head.memo = framed
  return framed
}
