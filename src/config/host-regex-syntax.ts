/**
 * Reads a regular expression that `RegExp` has already accepted (flags `iu`) as a tree, as far as the estimate of its
 * effort (host-regex.ts) needs one: what repeats, what branches, and which characters of a host each part can take.
 *
 * Invariant: characters are a bit set over `HOST_ALPHABET`; whatever a host cannot contain is left out.
 */

/** All that a normalised host is made of (domains.ts). */
const HOST_ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789-_.[]:'

/** The end of the host, as if it were one more character. */
export const END_OF_HOST = 1n << BigInt(HOST_ALPHABET.length)

/** Every character, and the end: what has to be assumed where nothing is known. */
export const ANYTHING = (END_OF_HOST << 1n) - 1n

export type RegexNode =
  | { kind: 'char'; chars: bigint }
  | { kind: 'start' }
  | { kind: 'end' }
  | { kind: 'boundary' }
  | { kind: 'backreference' }
  | { kind: 'group'; alternatives: RegexNode[][] }
  | { kind: 'look'; behind: boolean; alternatives: RegexNode[][] }
  | { kind: 'repeat'; body: RegexNode; min: number; max: number }

/** Every token of the `u` grammar, longest first. A class cannot hold another one under `u` (it could under `v`). */
const TOKEN = new RegExp(
  [
    /\\(?:k<[^>]*>|[1-9]\d*|p\{[^}]*\}|u\{[^}]*\}|u[\da-f]{4}|x[\da-f]{2}|c[a-z]|.)/,
    /\[(?:\\.|[^\]\\])*\]/,
    /\((?:\?(?:<?[=!]|:|<[^>]*>))?/,
    /[*+?]\??/,
    /\{\d+(?:,\d*)?\}\??/,
    /./,
  ]
    .map((token) => token.source)
    .join('|'),
  'gisu',
)

/**
 * Reads a pattern.
 *
 * @param pattern accepted by `new RegExp(pattern, 'iu')`; anything else gives a tree without meaning
 * @returns the alternatives, or undefined where the pattern changes its own flags (`(?i:…)`)
 */
export function readRegex(pattern: string): RegexNode[][] | undefined {
  const tokens = pattern.match(TOKEN) ?? []
  if (tokens.some((token, i) => token === '(' && tokens[i + 1]?.startsWith('?'))) return undefined
  return readAlternatives({ tokens, next: 0 })
}

interface Cursor {
  readonly tokens: string[]
  next: number
}

/** Reads up to the `)` that closes the group, or to the end, and steps over it. */
function readAlternatives(cursor: Cursor): RegexNode[][] {
  let current: RegexNode[] = []
  const alternatives = [current]
  while (cursor.next < cursor.tokens.length) {
    const token = cursor.tokens[cursor.next++] ?? ''
    if (token === ')') break
    if (token === '|') {
      current = []
      alternatives.push(current)
    } else current.push(readRepeat(cursor, readNode(cursor, token)))
  }
  return alternatives
}

function readNode(cursor: Cursor, token: string): RegexNode {
  if (token === '^') return { kind: 'start' }
  if (token === '$') return { kind: 'end' }
  if (/^\\b$/i.test(token)) return { kind: 'boundary' }
  if (/^\\(?:k<|[1-9])/.test(token)) return { kind: 'backreference' }
  if (/^\(\?<?[=!]/.test(token)) {
    return { kind: 'look', behind: token.includes('<'), alternatives: readAlternatives(cursor) }
  }
  if (token.startsWith('(')) return { kind: 'group', alternatives: readAlternatives(cursor) }
  return { kind: 'char', chars: charsOf(token) }
}

/** Wraps the node in the quantifier that follows it, if one does. Lazy ones try the same ways in another order. */
function readRepeat(cursor: Cursor, body: RegexNode): RegexNode {
  const quantifier = /^(?:([*+?])|\{(\d+)(,?)(\d*)\})\??$/.exec(cursor.tokens[cursor.next] ?? '')
  if (quantifier === null) return body
  cursor.next++
  const [, sign, least, comma, most] = quantifier
  if (sign !== undefined) {
    return { kind: 'repeat', body, min: sign === '+' ? 1 : 0, max: sign === '?' ? 1 : Number.POSITIVE_INFINITY }
  }
  const open = most ? Number(most) : Number.POSITIVE_INFINITY
  return { kind: 'repeat', body, min: Number(least), max: comma ? open : Number(least) }
}

/** Asks the engine itself which characters an atom takes: it knows classes, escapes, properties and case folding. */
function charsOf(atom: string): bigint {
  const regex = new RegExp(`^${atom}$`, 'iu')
  let chars = 0n
  for (let i = 0; i < HOST_ALPHABET.length; i++) {
    if (regex.test(HOST_ALPHABET.charAt(i))) chars |= 1n << BigInt(i)
  }
  return chars
}
