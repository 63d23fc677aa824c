/**
 * A command line to words, as sh(1) splits it: blanks separate, single quotes keep everything, double quotes keep all but
 * `\` and `$`, `\` keeps the next character. Pure.
 *
 * Limits: no shell runs, so what only a shell could do (`|`, `&`, `;`, `<`, `>`, `*`, `` ` ``, `$NAME` of its own) is told as a
 * problem where it is not quoted, instead of being handed on as a text. Invariant: `$SOCKET` and `$PORT` are the only
 * things that are filled in, and only one of them.
 */
import { quote } from './problems.ts'
import type { Read } from './units.ts'
import { textType } from './units.ts'

/** What is filled in at the start. */
export type Place = 'SOCKET' | 'PORT'

/** A piece of a word: a text, or what is filled in. */
export type Piece = string | { place: Place }

export interface CommandLine {
  /** As written. */
  text: string
  /** The program, then its arguments. */
  words: Piece[][]
  /** On what it listens. */
  place: Place
}

/** The type of `command`. */
export const commandLine = textType<CommandLine>('command line', readCommandLine, ({ text }) => text)

/** The type of `args`. */
export const argumentList = textType<readonly string[]>('command line', readArguments, (words) => words.join(' '))

/** What a shell would not take as part of a word. */
const SHELL_ONLY = /[|&;<>()`*~#]/
const VARIABLE = /^\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([^}]*)\}|(\$))/

/** The words of a command with what is filled in. */
export function fillCommand({ words }: CommandLine, values: Record<Place, string>): string[] {
  return words.map((pieces) => pieces.map((one) => (typeof one === 'string' ? one : values[one.place])).join(''))
}

function readCommandLine(text: string): Read<CommandLine> {
  const reader = new Reader(text)
  const problem = reader.read()
  if (problem !== undefined) return { problem: `${quote(text)}: ${problem}` }
  const [program] = reader.words
  if (program === undefined || program.join('') === '') return { problem: 'is empty: write the program to run' }
  const [, variable] = /^([A-Za-z_]\w*)=/.exec(String(program[0])) ?? []
  if (variable !== undefined)
    return { problem: `${quote(text)}: no shell runs, so ${variable} is set in [env] and not in front of the program` }
  const unfilled = reader.unfilled
  if (unfilled !== undefined) {
    return {
      problem: `${quote(text)}: ${unfilled} is not filled in where single quotes or a \\ keep it: use double quotes`,
    }
  }
  if (/^\[.*,.*\]$/.test(text))
    return { problem: `${quote(text)}: write the words one after the other, without brackets and commas` }
  const places = new Set(reader.words.flat().flatMap((one) => (typeof one === 'string' ? [] : [one.place])))
  if (places.size > 1) return { problem: `${quote(text)} has $SOCKET and $PORT: a program listens on one of them` }
  return { value: { text, words: reader.words, place: [...places][0] ?? 'PORT' } }
}

function readArguments(text: string): Read<readonly string[]> {
  const reader = new Reader(text)
  const problem = reader.read()
  if (problem !== undefined) return { problem: `${quote(text)}: ${problem}` }
  if (reader.words.flat().some((one) => typeof one !== 'string'))
    return {
      problem: `${quote(text)}: $SOCKET and $PORT are for programs (kind = command): a module may listen on any port`,
    }
  return { value: reader.words.map((pieces) => pieces.join('')) }
}

class Reader {
  readonly words: Piece[][] = []
  readonly #text: string
  #at = 0
  #word: Piece[] | undefined

  constructor(text: string) {
    this.#text = text
  }

  /** `$SOCKET` as a text: nothing else says where it is, as the environment does of `$PORT`. */
  get unfilled(): string | undefined {
    const pieces = this.words.flat()
    if (pieces.some((one) => typeof one !== 'string' && one.place === 'SOCKET')) return undefined
    return pieces
      .map((one) => (typeof one === 'string' ? /\$(?:SOCKET\b|\{SOCKET\})/.exec(one)?.[0] : undefined))
      .find(Boolean)
  }

  /** @returns what is wrong */
  read(): string | undefined {
    while (this.#at < this.#text.length) {
      const problem = this.#plain(this.#text[this.#at] as string)
      if (problem !== undefined) return problem
    }
    this.#endWord()
    return undefined
  }

  #plain(char: string): string | undefined {
    if (/\s/.test(char)) this.#endWord()
    else if (char === "'") return this.#single()
    else if (char === '"') return this.#double()
    else if (char === '\\') return this.#escaped()
    else if (char === '$') return this.#variable()
    else if (this.#isShellOnly(char))
      return `no shell runs, so ${char} has no meaning: put it in quotes, or use sh -c '…'`
    else if (/[“”„‘’‚]/.test(char)) return `${char} is a quote of a word processor: write ' or "`
    else {
      this.#add(char)
      return undefined
    }
    this.#at++
    return undefined
  }

  /** `~` and `#` mean something at the beginning of a word only. */
  #isShellOnly(char: string): boolean {
    return SHELL_ONLY.test(char) && (!/[~#]/.test(char) || this.#word === undefined)
  }

  #single(): string | undefined {
    const end = this.#text.indexOf("'", this.#at + 1)
    if (end === -1) return "a ' is not closed"
    this.#put(this.#text.slice(this.#at + 1, end))
    this.#at = end + 1
    return undefined
  }

  #double(): string | undefined {
    this.#put('')
    this.#at++
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at] as string
      if (char === '"') {
        this.#at++
        return undefined
      }
      if (char === '\\' && /["\\$`]/.test(this.#text[this.#at + 1] ?? '')) this.#at++
      else if (char === '$') {
        const problem = this.#variable()
        if (problem !== undefined) return problem
        continue
      }
      this.#add(this.#text[this.#at] as string)
    }
    return 'a " is not closed'
  }

  #escaped(): string | undefined {
    const next = this.#text[this.#at + 1]
    if (next === undefined) return 'it ends with a \\'
    this.#at++
    this.#add(next)
    return undefined
  }

  #variable(): string | undefined {
    const found = VARIABLE.exec(this.#text.slice(this.#at))
    const name = found?.[1] ?? found?.[2] ?? found?.[3]
    if (found === null || name === undefined) return 'a $ stands for nothing: write $$ for a dollar sign'
    if (name === '$') this.#put('$')
    else if (name === 'SOCKET' || name === 'PORT') this.#put({ place: name })
    else return `$${name} is not known: only $SOCKET and $PORT are filled in; write $$ for a dollar sign`
    this.#at += found[0].length
    return undefined
  }

  #add(char: string): void {
    this.#put(char)
    this.#at++
  }

  #put(piece: Piece): void {
    this.#word ??= []
    const last = this.#word.at(-1)
    if (typeof piece === 'string' && typeof last === 'string') this.#word[this.#word.length - 1] = last + piece
    else this.#word.push(piece)
  }

  #endWord(): void {
    if (this.#word !== undefined) this.words.push(this.#word)
    this.#word = undefined
  }
}
