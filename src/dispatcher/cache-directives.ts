/**
 * Reads the header fields that decide over storing: http-cache-semantics takes them apart at commas and equals signs, and
 * takes what is malformed for good; what it is given is made of what is read here. Pure.
 */

/** Directives by name in lower case; an empty text for one without a value. */
export type Directives = ReadonlyMap<string, string>

/** RFC 9111 §1.2.2: what is larger counts as this. */
export const MAX_SECONDS = 2 ** 31

const DIRECTIVE = /([^\s",;=]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*)))?\s*(?:,|$)|[^,]*(?:,|$)/y

/** A Cache-Control field (RFC 9111 §5.2). Of a directive that comes twice, the first counts. */
export function readDirectives(text: string): Directives {
  const directives = new Map<string, string>()
  DIRECTIVE.lastIndex = 0
  for (let at = 0; at < text.length; ) {
    DIRECTIVE.lastIndex = at
    const found = DIRECTIVE.exec(text)
    if (found === null || found[0] === '') break
    at = DIRECTIVE.lastIndex
    while (text[at] === ' ' || text[at] === '\t') at++
    const name = found[1]?.toLowerCase()
    if (name !== undefined && !directives.has(name)) directives.set(name, found[2] ?? found[3] ?? '')
  }
  return directives
}

/** Seconds of a directive or of Age; undefined where they are not a whole number. */
export function readSeconds(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,20}$/.test(text)) return undefined
  return Math.min(Number(text), MAX_SECONDS)
}

const HTTP_DATE =
  /^(?:[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT|[A-Z][a-z]{5,8}, \d\d-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d GMT|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4})$/

/** Unix time in ms of an HTTP date (RFC 9110 §5.6.7); undefined for anything else. */
export function readHttpDate(text: string | undefined): number | undefined {
  if (text === undefined || !HTTP_DATE.test(text)) return undefined
  const time = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`)
  return Number.isNaN(time) ? undefined : time
}
