/**
 * The headers that a site's settings add to each of its answers, put in the place of others, or take away.
 */
import type { OwnHeader } from '../config/site-doors.ts'
import type { AnswerFilter } from './front-response.ts'

/** Makes the filter for these headers; it keeps nothing of an answer, so one serves all. */
export function ownHeaders(headers: readonly OwnHeader[]): AnswerFilter {
  const names = new Set(headers.map(([name]) => name.toLowerCase()))
  const added = headers.flatMap(([name, value]) => (value === undefined ? [] : [name, value]))
  return {
    onHead(head) {
      const { headers: sent } = head
      const isKept = (at: number): boolean => !names.has((sent[at - (at % 2)] as string).toLowerCase())
      head.headers = [...sent.filter((_, at) => isKept(at)), ...added]
      return undefined
    },
  }
}
