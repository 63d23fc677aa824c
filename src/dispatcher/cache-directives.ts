/**
 * Reads the header fields that decide over storing: http-cache-semantics takes them apart at commas and equals signs, and
 * takes what is malformed for good; what it is given is made of what is read here. Pure, but for the century of a year of two
 * digits, which is told by the clock.
 */

/** Directives by name in lower case; an empty text for one without a value. */
export type Directives = ReadonlyMap<string, string>

/** RFC 9111 §1.2.2: what is larger counts as this. */
const MAX_SECONDS = 2 ** 31

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

/** The age that an Age field tells, in seconds; undefined where it tells none: of a list the first counts (RFC 9111 §5.1). */
export function readAge(text: string | undefined): number | undefined {
  return readSeconds(text?.split(',', 1)[0]?.trim())
}

/** Caches read dates without regard to their case (RFC 9111 §4.2). */
const HTTP_DATE =
  /^(?:[a-z]{3}, \d\d [a-z]{3} \d{4} \d\d:\d\d:\d\d gmt|[a-z]{6,9}, \d\d-[a-z]{3}-\d\d \d\d:\d\d:\d\d gmt|[a-z]{3} [a-z]{3} [ \d]\d \d\d:\d\d:\d\d \d{4})$/i
const SHORT_YEAR = /-(?=\d\d )/
const FIFTY_YEARS_MS = 50 * 365.25 * 24 * 60 * 60 * 1000

/** Unix time in ms of an HTTP date (RFC 9110 §5.6.7); undefined for anything else. */
export function readHttpDate(text: string | undefined): number | undefined {
  if (text === undefined || !HTTP_DATE.test(text)) return undefined
  const time = SHORT_YEAR.test(text) ? timeOfShortYear(text) : Date.parse(withZone(text))
  return Number.isNaN(time) ? undefined : time
}

function withZone(text: string): string {
  return /gmt$/i.test(text) ? text : `${text} GMT`
}

/** A year that would be more than 50 years ahead is the last one before that ends with these digits. */
function timeOfShortYear(text: string): number {
  const now = new Date()
  const century = Math.trunc(now.getUTCFullYear() / 100)
  const time = Date.parse(text.replace(SHORT_YEAR, `-${century}`))
  return time > now.getTime() + FIFTY_YEARS_MS ? Date.parse(text.replace(SHORT_YEAR, `-${century - 1}`)) : time
}
