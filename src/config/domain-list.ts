/**
 * The domains of one site: many texts on several lines to patterns, each with its line, or what is wrong with each.
 */
import type { DomainPattern } from './domains.ts'
import { parseDomain } from './domains.ts'
import type { IniValue } from './ini.ts'

/** Most domains of one site. */
export const MAX_DOMAINS = 10_000

export interface SiteDomains {
  patterns: DomainPattern[]
  /** The line of each pattern. */
  lines: number[]
  problems: { line: number; message: string }[]
}

/**
 * Reads all values of `domains`. A comma, a blank and a line end each separate two domains, so that several can never
 * become one name.
 */
export function readDomains(values: readonly IniValue[]): SiteDomains {
  const domains: SiteDomains = { patterns: [], lines: [], problems: [] }
  const seen = new Map<string, string>()
  for (const { text, line } of values) {
    for (const written of splitDomains(text)) {
      if (domains.patterns.length >= MAX_DOMAINS) {
        domains.problems.push({
          line,
          message: `more than ${MAX_DOMAINS} domains; use a pattern such as *.example.com`,
        })
        return domains
      }
      readDomain(written, line, domains, seen)
    }
  }
  return domains
}

function readDomain(written: string, line: number, domains: SiteDomains, seen: Map<string, string>): void {
  const result = parseDomain(written)
  if ('problem' in result) {
    domains.problems.push({ line, message: result.problem })
    return
  }
  for (const pattern of result.patterns) {
    const key = domainKey(pattern)
    const before = seen.get(key)
    if (before === undefined) {
      seen.set(key, pattern.source)
      domains.patterns.push(pattern)
      domains.lines.push(line)
    } else {
      const also = before === pattern.source ? 'twice' : `although '${before}' says the same`
      domains.problems.push({ line, message: `'${pattern.source}' is named ${also}: take one of the two away` })
    }
  }
}

/**
 * Two patterns with one key stand for the same hosts, so only one site can have it. A suffix begins with a dot, a prefix
 * ends with one, a regex begins with `~`, and a host does none of these.
 */
export function domainKey(pattern: DomainPattern): string {
  switch (pattern.kind) {
    case 'exact':
      return pattern.host
    case 'suffix':
      return pattern.suffix
    case 'prefix':
      return pattern.prefix
    case 'regex':
      return `~${pattern.regex.source}`
  }
}

/**
 * Splits one line at blanks, and at commas that are not within the brackets of a regular expression, such as `{1,3}`.
 */
export function splitDomains(text: string): string[] {
  const parts: string[] = []
  for (const word of text.split(/\s+/)) {
    if (word.includes('~')) parts.push(...splitAtOuterCommas(word))
    else parts.push(...word.split(','))
  }
  return parts.filter((part) => part !== '')
}

function splitAtOuterCommas(word: string): string[] {
  const parts: string[] = []
  let start = 0
  let depth = 0
  for (let i = 0; i < word.length; i++) {
    const char = word[i] ?? ''
    if (char === '\\') i++
    else if ('([{'.includes(char)) depth++
    else if (')]}'.includes(char)) depth--
    else if (char === ',' && depth === 0) {
      parts.push(word.slice(start, i))
      start = i + 1
    }
  }
  return [...parts, word.slice(start)]
}
