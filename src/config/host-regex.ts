/**
 * Compiles the regular expressions of `domains = ~…`, and refuses those that a client could make slow by the Host that it
 * sends: they run in the dispatcher, where one slow match delays every site, and JavaScript cannot stop a match.
 *
 * The estimate is an upper bound on the steps of a backtracking matcher on a host of 253 characters, taken from the shape
 * of the pattern alone: how many ways each part can match from one place, multiplied along a sequence. A repeat has only
 * one way to go on where what follows it cannot begin with what it repeats (`[^.]+\.`), so labels cost nothing.
 *
 * Invariant: a pattern that is accepted takes at most about `MAX_STEPS` steps; some that would be quick are refused.
 */
import type { RegexNode } from './host-regex-syntax.ts'
import { ANYTHING, END_OF_HOST, readRegex } from './host-regex-syntax.ts'

/** Longest pattern in characters. Bounds the time and the depth of reading it. */
const MAX_PATTERN_LENGTH = 1000
/** Longest host that is ever matched, in characters. */
const HOST_LENGTH = 253
/** Most steps of one match, at some nanoseconds each. Two free `.+` in a row, each followed by a few letters, stay below. */
const MAX_STEPS = 1_000_000

/**
 * Compiles the pattern behind the `~`: JavaScript's syntax with the flags `i` and `u`, unanchored unless it says `^` and
 * `$`, as in nginx.
 *
 * @returns the expression (without state: no `g`, no `y`), or what is wrong with it and the cure
 */
export function compileHostRegex(pattern: string): { regex: RegExp } | { problem: string } {
  const fault = textFault(pattern)
  if (fault !== undefined) return { problem: fault }
  try {
    const regex = new RegExp(pattern, 'iu')
    const slow = effortFault(pattern)
    return slow === undefined ? { regex } : { problem: slow }
  } catch (error) {
    return { problem: perlFault(pattern) ?? syntaxFault(error instanceof Error ? error.message : String(error)) }
  }
}

/** What Perl's expressions have, and with them nginx', and JavaScript's have not: by what it looks like, and what to write instead. */
const OF_PERL: readonly [looks: RegExp, cure: string][] = [
  [/\(\?P</, 'write (?<name>…) for (?P<name>…)'],
  [/\(\?[a-z]+\)/, "flags cannot be changed within it: case never counts, so leave out '(?i)'"],
  [/^\*/, "case never counts, so write ~ and not ~*; any text is '.*'"],
  [/\[:\w+:\]/, 'classes such as [:alpha:] are not known: write [a-z]'],
  [/[*+?}]\+|\(\?>/, 'nothing in it is possessive: write + for ++, and (?:…) for (?>…)'],
  [/\\[AZzQEhHGKR]/, 'write ^ for \\A and $ for \\z; \\h, \\Q and the like are not known'],
  [/\[[^\]]*\\[wds]-[^\]]/, "put a '-' in brackets at their end: [\\w.-]"],
  [/\\[-_]/, "leave out the '\\' before '-' and '_'"],
]

function perlFault(pattern: string): string | undefined {
  return OF_PERL.find(([looks]) => looks.test(pattern))?.[1]
}

function textFault(pattern: string): string | undefined {
  if (pattern === '') return 'it is empty and would match every host'
  if (pattern.length > MAX_PATTERN_LENGTH) return `it is longer than ${MAX_PATTERN_LENGTH} characters`
  if (/\s/.test(pattern)) return 'a host has no blanks; several domains are separated by commas or by line ends'
  if (/\p{Cc}/u.test(pattern)) return 'a host has no control characters'
  if (/[^\0-\x7f]/.test(pattern)) return 'hosts are compared in their ASCII form: write the xn--… form of the name'
  return undefined
}

/** Turns "Invalid regular expression: /…/iu: Nothing to repeat" into words with a cure. */
function syntaxFault(message: string): string {
  const reason = message.replace(/^Invalid regular expression: .*\/iu: /s, '')
  if (reason === 'Nothing to repeat') return "nothing stands before a '*', '+' or '?'; any text is '.*'"
  if (reason.includes('quantifier')) return `${reason} (a brace or bracket itself is written \\{ or \\])`
  if (reason.includes('escape'))
    return `${reason} (a '\\' may stand before one of ^$\\.*+?()[]{}|/ or a letter with a meaning)`
  return reason
}

function effortFault(pattern: string): string | undefined {
  const alternatives = readRegex(pattern)
  if (alternatives === undefined) return "flags cannot be changed within it: case never counts, so leave out '(?i:'"
  if (alternatives.every(isImpossible)) return 'it matches no host: a host has neither scheme nor path'
  const { steps } = effortOfAlternatives(alternatives, END_OF_HOST, true)
  const starts = alternatives.every(isAnchored) ? 1 : HOST_LENGTH + 1
  if (steps * starts <= MAX_STEPS) return undefined
  return (
    'a client could make it slow by a host made for that; write [^.]+ in place of .+ or .*, put ^ in front, ' +
    'and repeat nothing that itself repeats or branches'
  )
}

/** Whether a sequence has a part that no host has. */
function isImpossible(sequence: RegexNode[]): boolean {
  return sequence.some((node) => {
    if (node.kind === 'char') return node.chars === 0n
    if (node.kind === 'group') return node.alternatives.every(isImpossible)
    return node.kind === 'repeat' && node.min > 0 && isImpossible([node.body])
  })
}

/** Whether a sequence can match only at the start of the host. */
function isAnchored(sequence: RegexNode[]): boolean {
  const head = sequence[0]
  return head?.kind === 'start' || (head?.kind === 'group' && head.alternatives.every(isAnchored))
}

// ---- effort ----------------------------------------------------------------------------------------------------

/** From one place in the host: in how many ways a part can match, and how many steps it takes to try them all. */
interface Effort {
  ways: number
  steps: number
}

/**
 * @param after what can follow the part: characters, or the end
 * @param forward false within a lookbehind, which is matched from right to left: there nothing is known of what follows
 */
function effortOf(node: RegexNode, after: bigint, forward: boolean): Effort {
  switch (node.kind) {
    case 'group':
      return effortOfAlternatives(node.alternatives, after, forward)
    case 'look': // once it has matched, no other way through it is tried
      return { ways: 1, steps: effortOfAlternatives(node.alternatives, ANYTHING, forward && !node.behind).steps }
    case 'repeat':
      return effortOfRepeat(node, after, forward)
    case 'backreference':
      return { ways: 1, steps: HOST_LENGTH }
    default:
      return { ways: 1, steps: 1 }
  }
}

function effortOfAlternatives(alternatives: RegexNode[][], after: bigint, forward: boolean): Effort {
  const efforts = alternatives.map((sequence) => effortOfSequence(sequence, after, forward))
  const ways = efforts.map((effort) => effort.ways)
  const disjoint = forward && areDisjoint(alternatives.map((sequence) => firstOf(sequence, after)))
  return {
    ways: disjoint ? Math.max(...ways) : sum(ways),
    steps: sum(efforts.map((effort) => effort.steps)) + alternatives.length,
  }
}

function effortOfSequence(sequence: RegexNode[], after: bigint, forward: boolean): Effort {
  let ways = 1
  let steps = 0
  for (const [i, node] of sequence.entries()) {
    const effort = effortOf(node, forward ? firstOf(sequence.slice(i + 1), after) : ANYTHING, forward)
    steps += ways * effort.steps
    ways *= effort.ways
  }
  return { ways, steps }
}

function effortOfRepeat(node: RegexNode & { kind: 'repeat' }, after: bigint, forward: boolean): Effort {
  const first = firstOf([node.body], 0n)
  const body = effortOf(node.body, forward ? firstOf([node.body], after) | after : ANYTHING, forward)
  const most = Math.max(node.min, Math.min(node.max, HOST_LENGTH))
  let ways = 0
  let rounds = 0
  for (let count = 0; count <= most && rounds <= MAX_STEPS; count++) {
    if (count >= node.min) ways += body.ways ** count
    if (count < most) rounds += body.ways ** count
  }
  // Where the next round and what follows begin differently, one look at the next character tells which it is.
  const toldApart = forward && body.ways === 1 && !canBeEmpty(node.body) && (first & after) === 0n
  return { ways: toldApart ? 1 : ways, steps: rounds * body.steps + 1 }
}

// ---- first characters ------------------------------------------------------------------------------------------

/** What a sequence can begin with, `after` being what follows it. */
function firstOf(sequence: RegexNode[], after: bigint): bigint {
  let first = 0n
  for (const node of sequence) {
    first |= firstOfNode(node)
    if (!canBeEmpty(node)) return first
  }
  return first | after
}

function firstOfNode(node: RegexNode): bigint {
  switch (node.kind) {
    case 'char':
      return node.chars
    case 'end':
      return END_OF_HOST
    case 'group':
      return node.alternatives.reduce((first, sequence) => first | firstOf(sequence, 0n), 0n)
    case 'repeat':
      return firstOfNode(node.body)
    default:
      return ANYTHING
  }
}

/** Whether a part can match without taking a character. Of `$` and the like `firstOfNode` has said all there is. */
function canBeEmpty(node: RegexNode): boolean {
  if (node.kind === 'group') return node.alternatives.some((sequence) => sequence.every(canBeEmpty))
  return node.kind === 'repeat' && (node.min === 0 || canBeEmpty(node.body))
}

function areDisjoint(sets: bigint[]): boolean {
  let seen = 0n
  for (const set of sets) {
    if ((seen & set) !== 0n) return false
    seen |= set
  }
  return true
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
