/**
 * An INI document checked against a schema: values of the right types, or every problem of the file at once, each with
 * its line. Nothing in it knows any single key.
 */
import type { z } from 'zod'
import { foreignWord } from './foreign-words.ts'
import type { IniDocument, IniKey, IniSection, ListMode } from './ini.ts'
import type { Problem } from './problems.ts'
import { fileProblem } from './problems.ts'
import type { FileSchema, SectionMeta } from './settings.ts'
import { describeSchema } from './settings.ts'
import { nearest } from './suggest.ts'

/** Values as texts, as zod takes them: of one line, of the lines of a list, or anything in a section for any key. */
export type RawSection = Record<string, unknown>

export interface Checked<T> {
  /** With the default in the place of each value that is not right, so that further checks can go on. */
  value: T
  problems: Problem[]
  /** Whether `section.key` was set to something that is not right. */
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
  const problems: Problem[] = document.problems.map((problem) => ({ ...problem, file, code: undefined }))
  const raw: Record<string, RawSection> = {}
  for (const [name, meta] of checker.sections) {
    raw[name] = { ...defaults[name], ...rawSection(document.sections.get(name), meta, readAnyKey) }
  }
  for (const [name, section] of document.sections) problems.push(...unknownNames(checker, file, name, section))
  const bad = refusedKeys(document)
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

/** A section or keys that the schema does not know. */
function unknownNames<S extends FileSchema>(
  checker: Checker<S>,
  file: string,
  name: string,
  section: IniSection,
): Problem[] {
  const meta = checker.sections.get(name)
  if (meta === undefined) {
    const message = `the section is not known${unknownSectionHint(checker, name)}`
    return [{ ...fileProblem(file, message, section.line), section: name }]
  }
  const problems: Problem[] = []
  for (const [key, { line }] of section.keys) {
    const isPath = key.startsWith('/')
    if (isPath ? meta.pathKeys !== undefined : meta.anyKey !== undefined || meta.keys.has(key)) continue
    const message = `the key is not known${unknownKeyHint(checker, meta, key)}`
    problems.push({ file, line, section: name, key, message, code: undefined })
  }
  return problems
}

function unknownSectionHint<S extends FileSchema>(checker: Checker<S>, name: string): string {
  const { others, families, sections } = checker
  const [word = name, ...rest] = name.split(' ')
  const isThere = (other: OtherFile): boolean =>
    rest.length === 0 ? name in other.schema.shape : other.families?.includes(word) === true
  const home = others.find(isThere)
  if (home?.file !== undefined) return ` here; it belongs in ${home.file}`
  const foreign = foreignHint(checker, undefined, name)
  if (foreign !== undefined) return foreign
  const meant = nearest(word, sections.keys())
  const keyOf = meant === undefined ? sectionOf(sections, name) : undefined
  if (keyOf !== undefined) return `; ${name} is a key of [${keyOf}]`
  const isFamily = meant !== undefined && families.includes(meant)
  return meaning(isFamily ? [meant, ...rest].join(' ') : meant, '[', ']')
}

function unknownKeyHint<S extends FileSchema>(checker: Checker<S>, meta: SectionMeta, key: string): string {
  const home = sectionOf(checker.sections, key)
  if (home !== undefined) return ` here; it belongs in [${home}]`
  for (const { file, schema } of checker.others) {
    const there = sectionOf(describeSchema(schema), key)
    if (there !== undefined) return ` here; it belongs in [${there}]${file === undefined ? '' : ` of ${file}`}`
  }
  const hint = foreignHint(checker, meta, key) ?? sectionHint(checker, key)
  if (hint !== undefined) return hint
  const meant = nearest(key, meta.keys.keys())
  if (meant !== undefined) return meaning(meant, '', '')
  const slash = meta.pathKeys === undefined ? '' : `; a path begins with a slash: /${key}`
  return meaningElsewhere(checker, key) || slash
}

/**
 * What a word of another server is here.
 *
 * @param meta the section that it was found in: keys of the same are told without it
 */
function foreignHint<S extends FileSchema>(
  checker: Checker<S>,
  meta: SectionMeta | undefined,
  word: string,
): string | undefined {
  const isNear = (section: string, key: string): boolean =>
    meta?.name === section || (meta?.name === 'defaults' && meta.keys.has(key))
  const text = foreignWord(word)?.replace(/\[(\w+)\] (\w+)/g, (told: string, section: string, key: string) =>
    isNear(section, key) ? key : told,
  )
  if (text === undefined) return undefined
  const [, section, key] = /\[(\w+)\](?: (\w+))?/.exec(text) ?? []
  const isThere = (schema: FileSchema): boolean => {
    const known = describeSchema(schema).get(section ?? '')
    return known !== undefined && (key === undefined || known.keys.has(key))
  }
  const elsewhere =
    section === undefined || isThere(checker.schema) ? undefined : checker.others.find(({ schema }) => isThere(schema))
  return `; in vhostel: ${text}${elsewhere?.file === undefined ? '' : ` (in ${elsewhere.file})`}`
}

/** The name of a section in the place of a key. */
function sectionHint<S extends FileSchema>({ sections, others }: Checker<S>, key: string): string | undefined {
  if (sections.has(key)) return `; [${key}] is a section`
  const home = others.find(({ schema }) => key in schema.shape)
  return home?.file === undefined ? undefined : `; [${key}] is a section of ${home.file}`
}

/** The section in which a key is at home; not [defaults], which has those of sites. */
function sectionOf(sections: ReadonlyMap<string, SectionMeta>, key: string): string | undefined {
  for (const { name, keys, pathKeys } of sections.values()) {
    if (name !== 'defaults' && (key.startsWith('/') ? pathKeys !== undefined : keys.has(key))) return name
  }
  return undefined
}

/** A key of another section, misspelt. */
function meaningElsewhere<S extends FileSchema>({ sections }: Checker<S>, key: string): string {
  const homes = new Map(
    [...sections.values()].flatMap(({ name, keys }) => [...keys.keys()].map((each) => [each, name])),
  )
  const meant = nearest(key, homes.keys())
  return meaning(meant, '', meant === undefined ? '' : ` in [${homes.get(meant)}]`)
}

function meaning(word: string | undefined, before: string, after: string): string {
  return word === undefined ? '' : `; did you mean ${before}${word}${after}?`
}
