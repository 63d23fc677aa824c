/**
 * The types that a value in an INI file can have, each a zod codec from text to value and back: texts, whole numbers,
 * yes/no, choices, lists. Durations and sizes are in measures.ts.
 *
 * Our own, because the usual ones return plausible nonsense: `z.coerce.number()` makes 0 of an empty text,
 * `z.coerce.boolean()` makes true of "false", `bytes("1g")` is 1 and `ms("5")` is 5 ms.
 *
 * Each type carries `meta().type`, its name in words for messages and for docs/configuration.md.
 */
import { z } from 'zod'
import { quote } from './problems.ts'
import { nearest } from './suggest.ts'

/** What a text means, or why it means nothing, in words that follow the place. */
export type Read<T> = { value: T } | { problem: string }

/**
 * A type of one value.
 *
 * @param read from the text as written, blanks around it taken off
 * @param write the shortest text that is read as this value
 */
export function textType<T>(type: string, read: (text: string) => Read<T>, write: (value: T) => string) {
  const codec = z.codec(z.string(), z.custom<T>(), {
    decode: (text, context) => {
      const result = read(text.trim())
      if ('value' in result) return result.value
      context.issues.push({ code: 'custom', message: result.problem, input: text })
      return z.NEVER
    },
    encode: write,
  })
  return codec.meta({ type })
}

/**
 * A type of several values: the texts of all lines that set the key, each with values separated by commas or blanks.
 *
 * @param read one of the values
 */
export function listType<T>(type: string, read: (text: string) => Read<T>, write: (value: T) => string) {
  const codec = z.codec(z.array(z.string()), z.custom<T[]>(), {
    decode: (lines, context) => {
      const values: T[] = []
      for (const [index, line] of lines.entries()) {
        for (const text of line.split(/[\s,]+/)) {
          if (text === '') continue
          const result = read(text)
          if ('value' in result) values.push(result.value)
          else context.issues.push({ code: 'custom', message: result.problem, input: line, path: [index] })
        }
      }
      return values
    },
    encode: (values) => [values.map(write).join(', ')],
  })
  return codec.meta({ type, list: true })
}

/** Any text but an empty one. @param type what it is, such as `path` */
export function text(type: string) {
  return textType<string>(
    type,
    (found) => (found === '' ? { problem: `is empty: write a ${type}, or take the line away` } : { value: found }),
    String,
  )
}

/** A path. What only a shell would fill in is refused: it would become the name of a folder. */
export const path = textType<string>(
  'path',
  (found) => {
    const fault = pathFault(found)
    return fault === undefined ? { value: found } : { problem: fault }
  },
  String,
)

/** Why a text is no path; undefined where it can be one. */
export function pathFault(found: string): string | undefined {
  if (found === '') return 'is empty: write a path, or take the line away'
  if (/^~[\w.-]*(?:\/|$)/.test(found)) return `${quote(found)}: only a shell knows ~: write the whole path`
  const [variable] = /\$(?:\{\w+\}|[A-Za-z_]\w*)/.exec(found) ?? []
  return variable === undefined
    ? undefined
    : `${quote(found)}: variables are filled in in [env] alone: write what ${variable} stands for`
}

/** A whole number, in digits only. */
export function integer(min: number, max: number) {
  return textType<number>(`whole number, ${min} to ${max}`, (found) => readInteger(found, min, max), String)
}

/** A number that may grow and shrink between two bounds. */
export interface Range {
  min: number
  max: number
}

/** `auto`, a whole number, or two of them as `1..4`. */
export function autoOrRange(min: number, max: number) {
  return textType<Range | 'auto'>(
    `\`auto\`, or a whole number, ${min} to ${max}, or two of them (\`1..4\`)`,
    (found) => (found === 'auto' ? { value: found } : readRange(found, min, max)),
    (value) => (value === 'auto' ? value : formatRange(value)),
  )
}

function readRange(found: string, min: number, max: number): Read<Range> {
  const bounds = /^(\d{1,9})(?:\s*\.\.\s*(\d{1,9}))?$/.exec(found)
  if (bounds === null) {
    return { problem: `${quote(found)} is not auto, a range such as 1..4, or a whole number from ${min} to ${max}` }
  }
  const [low, high] = [Number(bounds[1]), Number(bounds[2] ?? bounds[1])]
  const wrong = [low, high].find((value) => value < min || value > max)
  if (wrong !== undefined) return { problem: `${quote(found)}: ${wrong} is out of range: ${min} to ${max}` }
  if (low > high) return { problem: `${quote(found)} begins above its end: write ${high}..${low}` }
  return { value: { min: low, max: high } }
}

/** As it would be written in an INI file. */
function formatRange({ min, max }: Range): string {
  return min === max ? String(min) : `${min}..${max}`
}

function readInteger(found: string, min: number, max: number): Read<number> {
  if (!/^\d{1,15}$/.test(found)) return { problem: `${quote(found)} is not a whole number from ${min} to ${max}` }
  const value = Number(found)
  if (value < min || value > max) return { problem: `${value} is out of range: ${min} to ${max}` }
  return { value }
}

const FLAGS = new Map([
  ['yes', true],
  ['true', true],
  ['on', true],
  ['no', false],
  ['false', false],
  ['off', false],
])

/** Yes or no, in any of six words. */
export const flag = textType<boolean>(
  'yes or no',
  (found) => {
    const value = FLAGS.get(found.toLowerCase())
    return value === undefined
      ? { problem: `${quote(found)} is neither yes nor no (yes, true or on; no, false or off)` }
      : { value }
  },
  (value) => (value ? 'yes' : 'no'),
)

/** One of a few words. */
export function choice<const T extends string>(words: readonly T[]) {
  return textType<T>(
    words.map((word) => `\`${word}\``).join(', '),
    (found) => {
      const value = words.find((word) => word === found)
      if (value !== undefined) return { value }
      const meant = nearest(found, words)
      const hint = meant === undefined ? '' : `; did you mean ${meant}?`
      return { problem: `${quote(found)} is not one of ${words.join(', ')}${hint}` }
    },
    String,
  )
}
