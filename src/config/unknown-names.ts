/**
 * What a section, a key or a line that is not known was meant to be: a slip of the finger, what belongs elsewhere, or a
 * word of another server. Nothing in it knows any single key.
 *
 * Invariant: a key that is told as the one that was meant is in `meant` too, so that nobody says that it is missing.
 */
import type { Checker } from './check.ts'
import { foreignWord } from './foreign-words.ts'
import type { IniProblem, IniSection } from './ini.ts'
import type { Problem } from './problems.ts'
import { fileProblem, quote } from './problems.ts'
import type { FileSchema, SectionMeta } from './settings.ts'
import { describeSchema } from './settings.ts'
import { nearest } from './suggest.ts'

/** Words behind a complaint, and the keys that were meant, as `section.key`. */
interface Hint {
  text: string
  meant: readonly string[]
}

const NO_HINT: Hint = { text: '', meant: [] }

/** A section or keys that the schema does not know, and the keys that they stand for. */
export function unknownNames<S extends FileSchema>(
  checker: Checker<S>,
  file: string,
  name: string,
  section: IniSection,
): { problems: Problem[]; meant: string[] } {
  const meta = checker.sections.get(name)
  if (meta === undefined) {
    const { text, section: meant } = unknownSectionHint(checker, name)
    const problem = { ...fileProblem(file, `the section is not known${text}`, section.line), section: name }
    return { problems: [problem], meant: keysMeant(checker, meant, section) }
  }
  const problems: Problem[] = []
  const meant: string[] = []
  for (const [key, { line }] of section.keys) {
    const isPath = key.startsWith('/')
    if (isPath ? meta.pathKeys !== undefined : meta.anyKey !== undefined || meta.keys.has(key)) continue
    const hint = unknownKeyHint(checker, meta, key)
    meant.push(...hint.meant)
    problems.push({ file, line, section: name, key, message: `the key is not known${hint.text}`, code: undefined })
  }
  return { problems, meant }
}

/** What the keys below a misspelt header stand for. @param name of the section that was meant */
function keysMeant<S extends FileSchema>(
  { sections }: Checker<S>,
  name: string | undefined,
  { keys }: IniSection,
): string[] {
  const known = sections.get(name ?? '')?.keys
  return known === undefined ? [] : [...keys.keys()].map((key) => `${name}.${nearest(key, known.keys()) ?? key}`)
}

/** What is wrong with a line that the grammar refused, in the words of the schema where its first word is known to it. */
export function strayLine<S extends FileSchema>(
  checker: Checker<S>,
  { message, section, stray }: IniProblem,
): { message: string; meant: readonly string[] } {
  if (stray === undefined) return { message, meant: [] }
  const { line, word, value } = stray
  const meta = section === undefined ? undefined : checker.sections.get(section)
  const start = `${quote(line)} has no "=" behind ${word}`
  const isBlock = value.endsWith('{')
  if (meta?.keys.has(word) && !isBlock) {
    return { message: `${start}: write ${quote(`${word} = ${value}`)}`, meant: [`${meta.name}.${word}`] }
  }
  const isAny = meta?.anyKey !== undefined
  const hint = isAny ? undefined : (homeHint(checker, word) ?? foreignHint(checker, meta, word))
  return hint === undefined
    ? { message, meant: [] }
    : { message: `${start}, and the key is not known${hint.text}`, meant: hint.meant }
}

/** @returns also the section that was meant, where it is one of the same file */
function unknownSectionHint<S extends FileSchema>(
  checker: Checker<S>,
  name: string,
): { text: string; section?: string | undefined } {
  const { others, families, sections } = checker
  const [word = name, ...rest] = name.split(' ')
  const home = others.find((other) =>
    rest.length === 0 ? hasSection(other.schema, name) : other.families?.includes(word) === true,
  )
  if (home?.file !== undefined) return { text: ` here; it belongs in ${home.file}` }
  const foreign = foreignHint(checker, undefined, name)
  if (foreign !== undefined) return foreign
  const meant = nearest(word, sections.keys())
  const keyOf = meant === undefined ? sectionOf(sections, name) : undefined
  if (keyOf !== undefined) return { text: `; ${name} is a key of [${keyOf}]` }
  const isFamily = meant !== undefined && families.includes(meant)
  return { text: meaning(isFamily ? [meant, ...rest].join(' ') : meant, '[', ']'), section: meant }
}

/** By section: what is to be done about a path that stands there as a key, as in other servers. */
const PATH_HINTS: Readonly<Record<string, string>> = {
  redirect: ': a redirect is for all paths of a site; single ones are up to its module or upstream',
  proxy: '; write paths = /PATH, for the one server that [site] upstream or command names',
}

function unknownKeyHint<S extends FileSchema>(checker: Checker<S>, meta: SectionMeta, key: string): Hint {
  const path = key.startsWith('/') ? PATH_HINTS[meta.name] : undefined
  if (path !== undefined) return { ...NO_HINT, text: path }
  const hint = homeHint(checker, key) ?? foreignHint(checker, meta, key) ?? sectionHint(checker, key)
  if (hint !== undefined) return hint
  const meant = nearest(key, meta.keys.keys())
  if (meant !== undefined) return { text: meaning(meant, '', ''), meant: [`${meta.name}.${meant}`] }
  const slash = meta.pathKeys === undefined ? '' : `; a path begins with a slash: /${key}`
  return meaningElsewhere(checker, key) ?? { ...NO_HINT, text: slash }
}

/** Where a key is at home that is not known where it stands. */
function homeHint<S extends FileSchema>(checker: Checker<S>, key: string): Hint | undefined {
  const home = sectionOf(checker.sections, key)
  if (home !== undefined) return { text: ` here; it belongs in [${home}]`, meant: [`${home}.${key}`] }
  for (const { file, schema } of checker.others) {
    const there = sectionOf(describeSchema(schema), key)
    const whose = file === undefined ? '' : ` of ${file}`
    if (there !== undefined) return { ...NO_HINT, text: ` here; it belongs in [${there}]${whose}` }
  }
  return undefined
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
): Hint | undefined {
  const isNear = (section: string, key: string): boolean =>
    meta?.name === section || (meta?.name === 'defaults' && meta.keys.has(key))
  const written = foreignWord(word)
  if (written === undefined) return undefined
  const text = written.replace(/\[(\w+)\] (\w+)/g, (told: string, section: string, key: string) =>
    isNear(section, key) ? key : told,
  )
  const [, section, key] = /\[(\w+)\](?: (\w+))?/.exec(text) ?? []
  const isThere = (schema: FileSchema): boolean => {
    const known = describeSchema(schema).get(section ?? '')
    return known !== undefined && (key === undefined || known.keys.has(key))
  }
  const elsewhere =
    section === undefined || isThere(checker.schema) ? undefined : checker.others.find(({ schema }) => isThere(schema))
  return {
    text: `; in vhostel: ${text}${elsewhere?.file === undefined ? '' : ` (in ${elsewhere.file})`}`,
    meant: keysOf(written),
  }
}

/** The keys that a text names as those to write; one that begins otherwise says something else of them. */
function keysOf(text: string): string[] {
  return text.startsWith('[') ? [...text.matchAll(/\[(\w+)\] (\w+)/g)].map(([, ...parts]) => parts.join('.')) : []
}

/** The name of a section in the place of a key. */
function sectionHint<S extends FileSchema>({ sections, others }: Checker<S>, key: string): Hint | undefined {
  if (sections.has(key)) return { ...NO_HINT, text: `; [${key}] is a section` }
  const home = others.find(({ schema }) => hasSection(schema, key))
  return home?.file === undefined ? undefined : { ...NO_HINT, text: `; [${key}] is a section of ${home.file}` }
}

/** Not by `in`: every object has a `constructor`, and what people type may be that. */
function hasSection(schema: FileSchema, name: string): boolean {
  return Object.hasOwn(schema.shape, name)
}

/** The section in which a key is at home; not [defaults], which has those of sites. */
function sectionOf(sections: ReadonlyMap<string, SectionMeta>, key: string): string | undefined {
  for (const { name, keys, pathKeys } of sections.values()) {
    if (name !== 'defaults' && (key.startsWith('/') ? pathKeys !== undefined : keys.has(key))) return name
  }
  return undefined
}

/** A key of another section, misspelt. */
function meaningElsewhere<S extends FileSchema>({ sections }: Checker<S>, key: string): Hint | undefined {
  const homes = new Map(
    [...sections.values()].flatMap(({ name, keys }) => [...keys.keys()].map((each) => [each, name])),
  )
  const meant = nearest(key, homes.keys())
  if (meant === undefined) return undefined
  const home = homes.get(meant)
  return { text: meaning(meant, '', ` in [${home}]`), meant: [`${home}.${meant}`] }
}

function meaning(word: string | undefined, before: string, after: string): string {
  return word === undefined ? '' : `; did you mean ${before}${word}${after}?`
}
