/**
 * What is wrong with a configuration, as data: where, and in words that quote what was found and say what was expected.
 * A person reads the rendered line and goes to the place with an editor.
 */
import { isAbsolute, relative } from 'node:path'

export interface Problem {
  /** Absolute path of the file as the person sees it (in the sites folder, not where the link points). */
  file: string
  /** Counted from 1; undefined where the problem is about the whole file, or about something that is not in it. */
  line: number | undefined
  section: string | undefined
  key: string | undefined
  /** What was found, what was expected, the cure; without the place. */
  message: string
  /** One of the codes in core/errors.ts, where the problem has one of its own. */
  code: string | undefined
}

/** Most problems reported for one file: a binary file would give thousands. */
export const MAX_PROBLEMS_PER_FILE = 50
const MAX_QUOTED_LENGTH = 80

/** A problem of the whole file, or of one of its lines. */
export function fileProblem(file: string, message: string, line?: number): Problem {
  return { file, line, section: undefined, key: undefined, message, code: undefined }
}

/**
 * One line for a person, without control characters, such as
 * `sites-enabled/blog.ini:7: [limits] timeout: "30x" is not a duration (such as 500ms, 30s, 5m)`.
 *
 * @param dir folder of vhostel.ini: files below it are shown relative to it, others by their whole path
 */
export function renderProblem(problem: Problem, dir: string): string {
  const place = problem.line === undefined ? '' : `:${problem.line}`
  const section = problem.section === undefined ? '' : ` [${cut(problem.section)}]`
  const key = problem.key === undefined ? '' : ` ${cut(problem.key)}`
  const subject = section + key === '' ? '' : `${section}${key}:`
  return plain(`${shownPath(problem.file, dir)}${place}:${subject} ${problem.message}`)
}

/** All problems, one a line, in the order given. */
export function renderProblems(problems: readonly Problem[], dir: string): string {
  return problems.map((problem) => renderProblem(problem, dir)).join('\n')
}

/** The path relative to `dir` where it is below it, else as it is. */
export function shownPath(path: string, dir: string): string {
  const short = relative(dir, path)
  return short === '' || short.startsWith('..') || isAbsolute(short) ? path : short
}

/**
 * Sorts problems by line, those of the whole file first, and cuts the list at the limit.
 *
 * @param file the one that it is about: its problems come before those of files that it names
 */
export function inLineOrder(problems: Problem[], file?: string): Problem[] {
  const isOther = (problem: Problem): number => (file === undefined || problem.file === file ? 0 : 1)
  const sorted = problems.toSorted((a, b) => isOther(a) - isOther(b) || (a.line ?? 0) - (b.line ?? 0))
  const last = sorted[MAX_PROBLEMS_PER_FILE - 1]
  if (last === undefined || sorted.length === MAX_PROBLEMS_PER_FILE) return sorted
  const left = sorted.length - MAX_PROBLEMS_PER_FILE + 1
  return [...sorted.slice(0, MAX_PROBLEMS_PER_FILE - 1), fileProblem(last.file, `and ${left} more problems`, last.line)]
}

function cut(text: string): string {
  return text.length > MAX_QUOTED_LENGTH ? `${text.slice(0, MAX_QUOTED_LENGTH - 1)}…` : text
}

/** The text in quotes for a message: cut where it is long, and without control characters, which a terminal would obey. */
export function quote(text: string): string {
  const shown = plain(cut(text))
  return shown.includes('"') ? `'${shown}'` : `"${shown}"`
}

function plain(text: string): string {
  return text.replace(/\p{Cc}/gu, '?')
}
