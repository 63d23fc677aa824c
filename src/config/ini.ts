/**
 * INI text to sections, keys and values with line numbers.
 *
 * The grammar is that of the `ini` package: each `key = value` line is read by it, one at a time, so that every value is
 * known by its line. What `ini` would drop, split or misread without a word is a problem here: a line without `=`, a key
 * or a section twice, `__proto__`, a `#` or `;` that cuts a value, a quote that is not closed, a NUL.
 *
 * Three things differ from `ini`, each because the silent reading surprises people: single quotes keep the text between
 * them as it stands (`ini` reads JSON in them), `true`, `false` and `null` stay texts, and an indented line without a
 * key of its own goes on the list above it (`ini` makes a key of it).
 *
 * Invariant: for a text without such lines and quotes, and without problems, the result is what `ini` gives.
 */
import { readIniValue } from './ini-value.ts'
import { quote } from './problems.ts'

export interface IniValue {
  text: string
  /** Whether it stood in quotes: then it is meant as a text, whatever it looks like. */
  quoted: boolean
  /** Whether these were single quotes: then nothing is filled in. @default false */
  isLiteral?: boolean
  line: number
}

export interface IniKey {
  line: number
  /** More than one only for lists. */
  values: IniValue[]
  /** Written as `key[] = value`. */
  bracketed: boolean
}

export interface IniSection {
  line: number
  keys: Map<string, IniKey>
}

export interface IniProblem {
  line: number
  section: string | undefined
  key: string | undefined
  message: string
  stray?: StrayLine | undefined
}

/** A line that is no `key = value`, and begins with a word as other servers' lines do: `root /var/www;`. */
export interface StrayLine {
  line: string
  word: string
  /** What follows the word, without the `;` at its end. */
  value: string
}

export interface IniDocument {
  sections: Map<string, IniSection>
  problems: IniProblem[]
}

/** How a key may have several values: by any spelling, only as `key[] = value`, or not at all. */
export type ListMode = 'list' | 'brackets' | 'single'

/** One thousand problems are enough to know that a file is no INI file. */
const MAX_PROBLEMS = 1000
/** One word, or two as in `[pool shop]`. */
const SECTION = /^\[\s*([A-Za-z0-9_-]+(?:\s+[A-Za-z0-9_-]+)?)\s*\]\s*$/
/** A word, or the beginning of a path; which of the two a section takes is for who checks it. */
const KEY = /^([A-Za-z0-9_][A-Za-z0-9_.-]*|\/[^\s[\]"]*)(\[\])?$/

/**
 * Reads a whole file. Never throws: what is wrong is in `problems`, in line order, and everything else is still read.
 *
 * @param text without byte order mark; lines end with LF, CRLF or CR
 * @param listMode whether a key of a section may have several values
 */
export function parseIni(text: string, listMode: (section: string, key: string) => ListMode): IniDocument {
  const reader = new IniReader(listMode)
  let line = 0
  for (const raw of text.split(/\r\n|\n|\r/)) {
    line++
    if (/^\s*(?:[;#]|$)/.test(raw)) continue
    if (raw.startsWith('[')) reader.readHeader(raw, line)
    else reader.readLine(raw, line)
    if (reader.document.problems.length >= MAX_PROBLEMS) break
  }
  return reader.document
}

interface NamedKey {
  name: string
  entry: IniKey
}

/** State while lines are read: where we are, and which list an indented line would go on. */
class IniReader {
  readonly document: IniDocument = { sections: new Map(), problems: [] }
  readonly #listMode: (section: string, key: string) => ListMode
  /** `skipped`: below a header that was refused; its keys would only repeat the complaint. */
  #section: { name: string; keys: Map<string, IniKey> } | 'none' | 'skipped' = 'none'
  #openList: NamedKey | undefined
  /** One such line is told, not each. */
  #isHomelessTold = false

  constructor(listMode: (section: string, key: string) => ListMode) {
    this.#listMode = listMode
  }

  readHeader(raw: string, line: number): void {
    this.#openList = undefined
    this.#section = 'skipped'
    const name = SECTION.exec(raw)?.[1]?.replace(/\s+/g, ' ')
    if (name === undefined) {
      const cure = 'write it in brackets, such as [site] or [pool shop], and nothing else on the line'
      return this.#problem(line, undefined, undefined, `${quote(raw.trim())} is not the start of a section: ${cure}`)
    }
    if (name === '__proto__') return this.#problem(line, undefined, undefined, '[__proto__] cannot be a section')
    const known = this.document.sections.get(name)
    if (known !== undefined) {
      // Its keys are read all the same: else each of them would be said to be missing.
      this.#section = { name, keys: known.keys }
      const cure = 'put all its keys in one place'
      return this.#problem(line, name, undefined, `the section already began on line ${known.line}: ${cure}`)
    }
    const keys = new Map<string, IniKey>()
    this.document.sections.set(name, { line, keys })
    this.#section = { name, keys }
  }

  /** A `key = value` line, or one that goes on the list above it. */
  readLine(raw: string, line: number): void {
    if (this.#section === 'skipped') return
    const equals = raw.indexOf('=')
    const name = KEY.exec(raw.slice(0, equals === -1 ? 0 : equals).trim())
    // A path can be a key, and can be on a list: `/index.html =404`.
    const goesOn = this.#openList !== undefined && /^\s+\//.test(raw)
    if (name?.[1] !== undefined && !goesOn) return this.#readKey(name[1], name[2] !== undefined, raw, line)
    if (/^\s/.test(raw) && this.#openList !== undefined) return this.#continueList(this.#openList, raw, line)
    const section = this.#section === 'none' ? undefined : this.#section.name
    this.#openList = undefined
    if (/^\s+\[[^=]*\]\s*$/.test(raw)) {
      this.#section = 'skipped'
      return this.#problem(line, undefined, undefined, `take the blanks in front of ${quote(raw.trim())} away`)
    }
    this.#problem(line, section, undefined, strayFault(raw, equals), readStray(raw.trim()))
  }

  #readKey(name: string, bracketed: boolean, raw: string, line: number): void {
    this.#openList = undefined
    if (this.#section === 'skipped') return
    if (this.#section === 'none') {
      if (this.#isHomelessTold) return
      this.#isHomelessTold = true
      return this.#problem(line, undefined, name, 'stands before any section: put a line such as [site] above it')
    }
    const section = this.#section
    if (name === '__proto__') return this.#problem(line, section.name, name, '__proto__ cannot be a key')
    const mode = this.#listMode(section.name, name)
    const known = section.keys.get(name)
    const misuse = keyMisuse(name, known, mode, bracketed)
    if (misuse !== undefined) return this.#problem(line, section.name, name, misuse)
    const entry = known ?? { line, values: [], bracketed }
    if (known === undefined) section.keys.set(name, entry)
    if (mode === 'list') this.#openList = { name, entry }
    this.#addValue({ name, entry }, section.name, raw.slice(raw.indexOf('=') + 1).trim(), line)
  }

  #continueList(list: NamedKey, raw: string, line: number): void {
    if (typeof this.#section !== 'string') this.#addValue(list, this.#section.name, raw.trim(), line)
  }

  #addValue({ name, entry }: NamedKey, section: string, written: string, line: number): void {
    const value = readIniValue(written)
    if ('problem' in value) return this.#problem(line, section, name, value.problem)
    entry.values.push({ text: value.text, quoted: value.quoted, isLiteral: written.startsWith("'"), line })
  }

  #problem(
    line: number,
    section: string | undefined,
    key: string | undefined,
    message: string,
    stray?: StrayLine,
  ): void {
    this.document.problems.push({ line, section, key, message, stray })
  }
}

/** Why a line that is neither header, key nor comment cannot stand there. */
function strayFault(raw: string, equals: number): string {
  const found = quote(raw.trim())
  const [, word, value] = /^\s*([A-Za-z0-9_][\w.-]*)\s*:\s+(\S.*)$/.exec(raw) ?? []
  if (word !== undefined && value !== undefined)
    return `${found} has no "=": write ${quote(`${word} = ${value.trim()}`)}`
  if (equals === -1) {
    const list = 'a line that goes on a list such as domains begins with a blank'
    return `${found} has no "=": a line is [section], key = value, or a comment after # or ; (${list})`
  }
  const key = quote(raw.slice(0, equals).trim())
  return `${key} cannot be a key: a key is made of letters, digits, "_", "-" and ".", without quotes or blanks`
}

function readStray(line: string): StrayLine | undefined {
  const [, word, value] = /^([A-Za-z][\w-]*):?\s+(\S.*)$/.exec(line) ?? []
  return word === undefined || value === undefined ? undefined : { line, word, value: value.replace(/\s*;$/, '') }
}

/** Why a key cannot be set here, once more or as a list. */
function keyMisuse(name: string, known: IniKey | undefined, mode: ListMode, bracketed: boolean): string | undefined {
  if (mode === 'list') return undefined
  if (bracketed && mode === 'single') return `takes one value: write ${name} = …, without []`
  if (known === undefined || (bracketed && known.bracketed)) return undefined
  if (bracketed || known.bracketed) return `is a list since line ${known.line}: write ${name}[] = … on each line`
  return `is already set on line ${known.line}: keep one of the two`
}
