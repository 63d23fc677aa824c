/**
 * Tells what is wrong with a site that could not be loaded: the message, and the file, line and column in the site's own
 * code, from what Node says in its various ways. Each way was tried with Node 24; see test/worker/load-failure.test.ts.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { LoadFailure } from '../protocol/frames.ts'
import { cutText } from './cut-text.ts'
import type { SiteFiles } from './file-trace.ts'
import { isOwnFile } from './file-trace.ts'
import { withoutMarks } from './graph-mark.ts'
import { deniedHint, missingHint, portHint } from './load-hint.ts'
import { scriptPath } from './script-path.ts'
import { showError } from './show-error.ts'

/** In UTF-16 units; a site's error may have a whole bundle in its text, and a report has to fit into a frame. */
const MAX_MESSAGE_LENGTH = 16 * 1024
const MAX_STACK_LENGTH = 64 * 1024
/** How long `node --check` may take to find a syntax error's line, in ms. */
const CHECK_TIMEOUT_MS = 5_000

interface Place {
  file: string
  line?: number | undefined
  column?: number | undefined
}

/** A failure that is no error of the site's code, or has its place with it. */
export class LoadProblem extends Error {
  readonly file: string | undefined

  constructor(message: string, file?: string) {
    super(message)
    this.name = 'LoadProblem'
    this.file = file
  }
}

/**
 * Never rejects.
 *
 * @param error what was thrown, anything at all
 */
export async function describeFailure(error: unknown, files: SiteFiles): Promise<LoadFailure> {
  const { message, stack, ...place } = await describe(error, files).catch(() => describeOther(error, files))
  const shortStack = stack === undefined ? {} : { stack: cutText(stack, MAX_STACK_LENGTH) }
  return { message: cutText(message, MAX_MESSAGE_LENGTH), ...place, ...shortStack }
}

async function describe(error: unknown, files: SiteFiles): Promise<LoadFailure> {
  if (error instanceof LoadProblem) return { message: error.message, file: error.file }
  if (!isError(error)) return describeOther(error, files)
  const message = withoutMarks(firstLines(error.message) || error.name)
  const stack = withoutMarks(error.stack ?? '')
  const missing = placeOfMissing(error, message)
  if (missing) return { ...missing, stack }
  const place = placeOfHeader(stack) ?? placeOfJson(message)
  if (place) return { message, ...place, stack }
  if (error.name === 'SyntaxError' && files.last !== undefined && !hasOwnFrame(stack, files)) {
    return { message, ...(await checkSyntax(files.last)), stack }
  }
  return { message: message + deniedHint(error) + portHint(error), ...placeOfFrame(stack, files), stack }
}

/** What is no error, or throws when it is looked at. */
function describeOther(error: unknown, files: SiteFiles): LoadFailure {
  return { message: `the module threw ${showError(error)}`, file: files.last }
}

/** By its members: errors may come from another realm (`vm`), and may have had anything put in the place of their texts. */
function isError(error: unknown): error is Error {
  if (typeof error !== 'object' || error === null || !('stack' in error) || !('message' in error)) return false
  return typeof error.message === 'string' && (error.stack === undefined || typeof error.stack === 'string')
}

/** Without the list of files that CommonJS appends ("Require stack: …"). */
function firstLines(message: string): string {
  return (message.split('\nRequire stack:')[0] as string).trim()
}

// ---- missing modules -----------------------------------------------------------------------------------------------

function placeOfMissing(error: Error, message: string): (Place & { message: string }) | undefined {
  const { code, requireStack } = error as { code?: string; requireStack?: string[] }
  const file = code === 'MODULE_NOT_FOUND' ? requireStack?.[0] : / imported from (.+)$/.exec(message)?.[1]
  const isMissing = code === 'MODULE_NOT_FOUND' || code === 'ERR_MODULE_NOT_FOUND'
  if (!isMissing || file === undefined) return undefined
  const wanted = /^Cannot find (?:module|package) '([^']+)'/.exec(message)?.[1]
  const path = scriptPath(file)
  if (wanted === undefined) return { message, file: path }
  return { message: message + missingHint(path, wanted), file: path, ...findSpecifier(path, wanted) }
}

/** Where a file names a module: by the same words, or by a relative path that leads there. */
function findSpecifier(file: string, wanted: string): { line: number; column: number } | undefined {
  const lines = readText(file).split('\n')
  for (const [index, text] of lines.entries()) {
    for (const found of text.matchAll(/(['"`])([^'"`]+)\1/g)) {
      const specifier = found[2] as string
      const isIt =
        specifier === wanted || specifier.startsWith(`${wanted}/`) || resolve(dirname(file), specifier) === wanted
      if (isIt) return { line: index + 1, column: found.index + 1 }
    }
  }
  return undefined
}

// ---- places in texts -----------------------------------------------------------------------------------------------

/** `/file.js:2`, the line, and a caret below it: how Node begins the stack of a syntax error it has a place for. */
function placeOfHeader(stack: string): Place | undefined {
  const lines = stack.split('\n')
  const found = /^(file:\/\/\/.+|\/.+):(\d+)$/.exec(lines[0] ?? '')
  if (!found) return undefined
  const column = lines
    .slice(1)
    .find((text) => /^\s*\^/.test(text))
    ?.indexOf('^')
  return {
    file: scriptPath(found[1] as string),
    line: Number(found[2]),
    column: column === undefined ? undefined : column + 1,
  }
}

/** `/file.json: Unexpected token …` */
function placeOfJson(message: string): Place | undefined {
  const file = /^(\/.+\.json): /.exec(message)?.[1]
  return file === undefined ? undefined : { file }
}

const FRAME = /^\s+at (?:.*\()?(file:\/\/\/[^()]+|\/[^()]+):(\d+):(\d+)\)?$/

/** The innermost frame in the site's own code. */
function placeOfFrame(stack: string, files: SiteFiles): Place | { file: string | undefined } {
  for (const text of stack.split('\n')) {
    const found = FRAME.exec(text)
    const file = found ? scriptPath(found[1] as string) : undefined
    if (file !== undefined && isOwnFile(files, file))
      return { file, line: Number(found?.[2]), column: Number(found?.[3]) }
  }
  return { file: files.last }
}

function hasOwnFrame(stack: string, files: SiteFiles): boolean {
  return 'line' in placeOfFrame(stack, files)
}

/** V8 keeps the line of a syntax error in an ES module to itself; `node --check` prints it. */
function checkSyntax(file: string): Promise<Place> {
  return new Promise((done) => {
    execFile(process.execPath, ['--check', file], { timeout: CHECK_TIMEOUT_MS, env: {} }, (_error, _out, text) => {
      const at = text.split('\n').findIndex((line) => line.startsWith(`${file}:`) || line.startsWith('file://'))
      done(placeOfHeader(text.split('\n').slice(at).join('\n')) ?? { file })
    })
  })
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
