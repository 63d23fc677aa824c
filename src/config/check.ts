/**
 * An INI document checked against a schema: values of the right types, or every problem of the file at once, each with
 * its line. Nothing in it knows any single key.
 */
import type { z } from 'zod'
import type { IniDocument, IniKey, IniSection, ListMode } from './ini.ts'
import type { Problem } from './problems.ts'
import type { FileSchema, SectionMeta } from './settings.ts'
import { describeSchema } from './settings.ts'
import { strayLine, unknownNames } from './unknown-names.ts'

/** Values as texts, as zod takes them: of one line, of the lines of a list, or anything in a section for any key. */
export type RawSection = Record<string, unknown>

export interface Checked<T> {
  /** With the default in the place of each value that is not right, so that further checks can go on. */
  value: T
  problems: Problem[]
  /** Whether `section.key` was set to something that is not right, or under another name. */
  isBad(section: string, key: string): boolean
}

/** What can be written in another place, for those who write it here. */
export interface OtherFile {
  /** As it is called in messages; undefined for another section of the same file. */
  file: string | undefined
  schema: FileSchema
  /** As in `Checker`. */
  families?: readonly string[]
}

export interface Checker<S extends FileSchema> {
  readonly schema: S
  readonly sections: ReadonlyMap<string, SectionMeta>
  readonly others: readonly OtherFile[]
  /** Sections of which there can be more, each with a name behind the word. */
  readonly families: readonly string[]
  listMode(section: string, key: string): ListMode
}

/**
 * Prepares a schema for `checkDocument`.
 *
 * @param others for messages
 * @param families sections that can have a name, such as [pool shop]; whoever calls takes those out of the document
 */
export function createChecker<S extends FileSchema>(
  schema: S,
  others: readonly OtherFile[],
  families: readonly string[] = [],
): Checker<S> {
  const sections = describeSchema(schema)
  return {
    schema,
    sections,
    others,
    families,
    listMode(section, key) {
      const known = sections.get(section)
      return known?.anyKey ?? (known?.keys.get(key)?.list === true ? 'list' : 'single')
    },
  }
}

/** What a document leaves open. */
export interface CheckOptions {
  /** Values for keys that the document leaves out, by section, as they stand in [defaults]. */
  defaults?: Record<string, RawSection>
  /** Value of a key in a section where any key may be set. @default its first text */
  readAnyKey?(section: string, entry: IniKey): unknown
}

/** Checks a document. @param file for the problems; absolute */
export function checkDocument<S extends FileSchema>(
  checker: Checker<S>,
  document: IniDocument,
  file: string,
  { defaults = {}, readAnyKey = firstText }: CheckOptions = {},
): Checked<z.output<S>> {
  const bad = refusedKeys(document)
  const problems = namesProblems(checker, document, file, bad)
  const raw: Record<string, RawSection> = {}
  for (const [name, meta] of checker.sections) {
    raw[name] = { ...defaults[name], ...rawSection(document.sections.get(name), meta, readAnyKey) }
  }
  let result = checker.schema.safeParse(raw)
  if (!result.success) {
    for (const issue of result.error.issues) {
      const [section, key] = [String(issue.path[0]), String(issue.path[1])]
      problems.push(issueProblem(document, file, issue))
      bad.add(`${section}.${key}`)
      delete raw[section]?.[key]
    }
    result = checker.schema.safeParse(raw)
  }
  if (!result.success) throw result.error // every key can be left out: see section() in settings.ts
  return { value: result.data, problems, isBad: (section, key) => bad.has(`${section}.${key}`) }
}

/** What the grammar refused, and what the schema does not know. A key that was meant, and is not set, is added to `bad`. */
function namesProblems<S extends FileSchema>(
  checker: Checker<S>,
  document: IniDocument,
  file: string,
  bad: Set<string>,
): Problem[] {
  const problems: Problem[] = []
  const note = (meant: readonly string[]): void => {
    for (const name of meant) if (!isSet(document, name)) bad.add(name)
  }
  for (const problem of document.problems) {
    const { message, meant } = strayLine(checker, problem)
    const { line, section, key } = problem
    problems.push({ file, line, section, key, message, code: undefined })
    note(meant)
  }
  for (const [name, section] of document.sections) {
    const unknown = unknownNames(checker, file, name, section)
    problems.push(...unknown.problems)
    note(unknown.meant)
  }
  return problems
}

/** @param name `section.key` */
function isSet(document: IniDocument, name: string): boolean {
  const [section = '', key = ''] = name.split('.')
  return document.sections.get(section)?.keys.has(key) === true
}

/** The keys whose values the grammar refused: they are set, and to nothing. */
function refusedKeys(document: IniDocument): Set<string> {
  const refused = new Set<string>()
  for (const [section, { keys }] of document.sections) {
    for (const [key, { values }] of keys) if (values.length === 0) refused.add(`${section}.${key}`)
  }
  return refused
}

/** The line of a key, or of its section where it is not set; undefined where neither is in the file. */
export function lineOf(document: IniDocument, section: string, key: string): number | undefined {
  const found = document.sections.get(section)
  return found?.keys.get(key)?.line ?? found?.line
}

/** A problem of one key, with its line. */
export function keyProblem(
  document: IniDocument,
  file: string,
  section: string,
  key: string,
  message: string,
): Problem {
  return { file, line: lineOf(document, section, key), section, key, message, code: undefined }
}

function rawSection(
  section: IniSection | undefined,
  meta: SectionMeta,
  readAnyKey: (section: string, entry: IniKey) => unknown,
): RawSection {
  const entries: [string, unknown][] = []
  for (const [key, entry] of section?.keys ?? []) {
    // A key whose value was refused by the grammar has no value; the problem is known already.
    if (entry.values.length === 0) continue
    if (meta.anyKey !== undefined) entries.push([key, readAnyKey(meta.name, entry)])
    else if (meta.keys.get(key)?.list) entries.push([key, entry.values.map((value) => value.text)])
    else if (meta.keys.has(key)) entries.push([key, firstText(meta.name, entry)])
  }
  return Object.fromEntries(entries)
}

function firstText(_section: string, entry: IniKey): string {
  return entry.values[0]?.text ?? ''
}

/** @param issue at section, key, and which of the key's values */
function issueProblem(document: IniDocument, file: string, { path, message }: z.core.$ZodIssue): Problem {
  const [section, key, index] = [String(path[0]), String(path[1]), path[2]]
  const value = document.sections.get(section)?.keys.get(key)?.values[typeof index === 'number' ? index : 0]
  const problem = keyProblem(document, file, section, key, message)
  return value === undefined ? problem : { ...problem, line: value.line }
}
