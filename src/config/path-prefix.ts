/**
 * The beginning of a path, as keys and values of the INI files name it. Pure.
 */

/** So that a browser sends it as it is written here. */
const PREFIX = /^\/(?:[\w.~@!$&'()*+,:-]+\/)*(?:[\w.~@!$&'()*+,:-]+\/?)?$/

/** Whether it can be what paths begin with: no `.` or `..` among its parts, nothing that has to be escaped. */
export function isPathPrefix(text: string): boolean {
  return PREFIX.test(text) && !/\/\.\.?(?:\/|$)/.test(text)
}
