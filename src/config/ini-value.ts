/**
 * The value of one `key = value` line: read by `ini`, or refused where `ini` would cut it, or leave something in it
 * against all expectation.
 */
import { parse } from 'ini'
import { quote } from './problems.ts'

/**
 * The value of one line.
 *
 * @param written what stands behind the `=`, blanks around it taken off
 * @returns the value, or what is wrong with it and the cure
 */
export function readIniValue(written: string): { text: string; quoted: boolean } | { problem: string } {
  const mark = written[0]
  const quoted = mark === '"' || mark === "'"
  const problem = quoted ? quotedFault(written, mark) : plainFault(written)
  if (problem !== undefined) return { problem }
  if (mark === "'") return checkNul(written.slice(1, -1), true)
  // A key of our own: `ini` makes something else of `a.b = null`, or of `a[] = 1`.
  const value: unknown = parse(`value=${written}`).value
  if (value === undefined) return { problem: 'the line has a line separator (U+2028 or U+2029) in it' }
  if (quoted && value === written) return { problem: jsonFault(written) }
  return checkNul(String(value), quoted)
}

function checkNul(text: string, quoted: boolean): { text: string; quoted: boolean } | { problem: string } {
  return text.includes('\0') ? { problem: 'the value has a NUL character in it' } : { text, quoted }
}

function quotedFault(written: string, mark: string): string | undefined {
  if (written.length < 2 || !written.endsWith(mark)) {
    const cure = 'quote the whole value, and put a comment on a line of its own'
    return `${quote(written)} begins with a quote but does not end with it: ${cure}`
  }
  if (mark === "'" && written.slice(1, -1).includes("'")) {
    return `${quote(written)} has a single quote inside single quotes: put the whole value in double quotes`
  }
  return undefined
}

function jsonFault(written: string): string {
  const cure = 'inside double quotes write \\\\ for a backslash and \\" for a quote, or put the value in single quotes'
  return `${quote(written)} is not a text in double quotes: ${cure}`
}

/** What `ini` would cut off an unquoted value, or leave in it against all expectation. */
function plainFault(written: string): string | undefined {
  if (/^(?:[“”„].*[“”]|[‘’‚].*[‘’])$/.test(written)) {
    const cure = `write ${JSON.stringify(written.slice(1, -1))}, or ${JSON.stringify(written)} where they belong to it`
    return `${quote(written)} is in the quotes of a word processor: ${cure}`
  }
  let escaped = false
  for (let i = 0; i < written.length; i++) {
    const char = written[i] ?? ''
    if (escaped) escaped = false
    else if (char === '\\') escaped = true
    else if (char === '#' || char === ';') return commentFault(written, i)
  }
  return escaped ? 'a backslash at the end does not join lines: take it away, or write the value in quotes' : undefined
}

function commentFault(written: string, at: number): string | undefined {
  const char = written[at] ?? ''
  const cure = `put the value in quotes, or write \\${char}`
  if (at === 0) return `the value is empty, because "${char}" begins a comment: ${cure}`
  if (/\s/.test(written[at - 1] ?? '')) return undefined
  if (char === ';' && at === written.length - 1) return `${quote(written)} ends with a ";": take it away`
  return `${quote(written)} would end before the "${char}", which begins a comment: ${cure}`
}
