/**
 * Names of a function's parameters, read from its source text. Pure. Two functions of two parameters can be told apart
 * by nothing else: `(fastify, options)` and `(req, res)`.
 */

/** A site, or a package of it, may have put another in its place (core-js does) before its functions are looked at. */
const { toString: originalSource } = Function.prototype

const OPENING = '([{'
const CLOSING = ')]}'
const QUOTES = '\'"`'

/** The source text of a function, as Node tells it. */
export function sourceOf(target: object): string {
  return Reflect.apply(originalSource, target, []) as string
}

/**
 * The names in order; '' for a parameter that is taken apart (`{ method }`).
 *
 * @returns undefined when the source is not there (native or bound functions) or it is a class
 */
export function parameterNames(target: (...args: never[]) => unknown): string[] | undefined {
  const source = withoutComments(sourceOf(target))
  if (/^class\b/.test(source) || /\[native code\]\s*}\s*$/.test(source)) return undefined
  const single = /^(?:async\s+)?([\w$]+)\s*=>/.exec(source)
  if (single) return [single[1] as string]
  const open = source.indexOf('(')
  return open === -1 ? undefined : splitParameters(source, open + 1).map(nameOf)
}

/** Comments out, so that no bracket or quote in them counts. Strings with `//` in them do not matter for names. */
function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, ' ').replace(/(^|[\s,({])\/\/[^\n]*/g, '$1 ')
}

/** The texts between the commas of the outermost list that begins at `from`. */
function splitParameters(source: string, from: number): string[] {
  const parameters: string[] = []
  let depth = 0
  let start = from
  for (let at = from; at < source.length; at++) {
    const char = source[at] as string
    if (QUOTES.includes(char)) at = endOfQuote(source, at)
    else if (OPENING.includes(char)) depth++
    else if (depth === 0 && (char === ',' || char === ')')) {
      const text = source.slice(start, at).trim()
      if (text !== '') parameters.push(text)
      if (char === ')') return parameters
      start = at + 1
    } else if (CLOSING.includes(char)) depth--
  }
  return parameters
}

/** Where the quote that opens at `from` closes. */
function endOfQuote(source: string, from: number): number {
  for (let at = from + 1; at < source.length; at++) {
    if (source[at] === '\\') at++
    else if (source[at] === source[from]) return at
  }
  return source.length
}

function nameOf(parameter: string): string {
  return /^(?:\.\.\.)?\s*([\p{ID_Start}$_][\p{ID_Continue}$]*)/u.exec(parameter)?.[1] ?? ''
}
