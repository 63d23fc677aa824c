/**
 * The beginning of a path, as keys and values of the INI files name it. Pure.
 */

import { quote } from './problems.ts'

/** So that a browser sends it as it is written here. A `*` stands for anything in other servers, and is refused. */
const PREFIX = /^\/(?:[\w.~@!$&'()+,:-]+\/)*(?:[\w.~@!$&'()+,:-]+\/?)?$/

/** Whether it can be what paths begin with: no `.` or `..` among its parts, nothing that has to be escaped. */
export function isPathPrefix(text: string): boolean {
  return PREFIX.test(text) && !/\/\.\.?(?:\/|$)/.test(text)
}

/** What is wrong with a text that is none. @param example of one */
export function prefixFault(text: string, example: string): string {
  const bare = text.replace(/\/?\*+$/, '')
  const cure =
    bare !== text && bare !== '' && isPathPrefix(bare)
      ? `: write ${bare}, which is for all that is below it too`
      : ` (such as ${example})`
  return `${quote(text)} is not the beginning of a path as browsers send it${cure}`
}
