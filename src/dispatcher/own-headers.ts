/**
 * The headers that a site's settings add to each of its answers, put in the place of others, or take away.
 */
import type { OwnHeader } from '../config/site-doors.ts'
import { varyByCoding } from './compress-head.ts'
import type { AnswerFilter } from './front-response.ts'
import { fieldOf, withoutFields } from './header-fields.ts'

/** Makes the filter for these headers; it keeps nothing of an answer, so one serves all. */
export function ownHeaders(headers: readonly OwnHeader[]): AnswerFilter {
  const names = new Set(headers.map(([name]) => name.toLowerCase()))
  const added = headers.flatMap(([name, value]) => (value === undefined ? [] : [name, value]))
  const setsVary = headers.some(([name, value]) => value !== undefined && name.toLowerCase() === 'vary')
  return {
    changesUpgrades: true,
    onHead(head) {
      // That other clients get it in another coding stays true whatever else it varies by.
      const isCoded = setsVary && /accept-encoding/i.test(fieldOf(head.headers, 'vary') ?? '')
      head.headers = [...withoutFields(head.headers, (name) => names.has(name)), ...added]
      if (isCoded) head.headers = varyByCoding(head.headers)
      return undefined
    },
  }
}
