/**
 * Error pages of one's own: [errors] of a site's file, and of vhostel.ini for what belongs to no site.
 *
 * The pages are read with the INI file, and a change of them is a change of the settings. Limit: `MAX_PAGE_BYTES` for each. Invariant:
 * a page that is missing takes nothing away; what there would be without its line is sent.
 */
import { extname, resolve } from 'node:path'
import { z } from 'zod'
import { quote } from './problems.ts'
import { anySection } from './settings.ts'
import { readTextFile } from './text-file.ts'

const MAX_PAGE_BYTES = 64 * 1024

const FORM =
  '`404 = errors/404.html`, `5xx = errors/5xx.html`. The files are `.html`, `.txt`, `.json` or `.xml`, 64 KB at ' +
  'most. A line whose file is missing counts for nothing. A relative path starts at '

/** [errors] of a site. */
export const errorsSection = anySection(
  `Your own pages for errors that vhostel answers itself, by status: ${FORM}\`root\`.`,
  z.string(),
  'single',
)

/** [errors] of vhostel.ini. */
export const serverErrorsSection = anySection(
  'Your own pages for requests that belong to no site (421 for an unknown host, 400, 431), and for sites that ' +
    `have none for a status: ${FORM}the folder of vhostel.ini.`,
  z.string(),
  'single',
)

/** A page that is sent in the place of vhostel's own. */
export interface OwnPage {
  /** The Content-Type. */
  type: string
  body: string
}

/** By `404`, or `4xx` for all of them that have none by themselves. */
export type ErrorPages = Readonly<Record<string, OwnPage>>

/** Who hears of what is found. */
export interface PagesFound {
  addProblem(status: string, message: string): void
  /** Of a page that is not there. */
  addWarning?(status: string, message: string): void
  /** Paths whose change can change the pages. */
  dependencies: string[]
}

const STATUS = /^[45](?:\d\d|xx)$/
const TYPES = new Map([
  ['.html', 'text/html; charset=utf-8'],
  ['.htm', 'text/html; charset=utf-8'],
  ['.txt', 'text/plain; charset=utf-8'],
  ['.json', 'application/json'],
  ['.xml', 'application/xml'],
])

/**
 * Reads the pages that a section names.
 *
 * @param folder where relative paths start
 * @returns undefined where it names none
 */
export function readErrorPages(
  written: Readonly<Record<string, string>>,
  folder: string,
  found: PagesFound,
): ErrorPages | undefined {
  const pages: Record<string, OwnPage> = {}
  for (const [status, path] of Object.entries(written)) {
    const type = TYPES.get(extname(path).toLowerCase())
    if (!STATUS.test(status)) {
      found.addProblem(status, 'is not a status of an error: write one such as 404, or 4xx or 5xx for all of them')
    } else if (type === undefined) {
      found.addProblem(status, `${quote(path)} is not a page: its name has to end in ${[...TYPES.keys()].join(', ')}`)
    } else {
      const body = readPage(status, resolve(folder, path), found)
      if (body !== undefined) pages[status] = { type, body }
    }
  }
  return Object.keys(written).length === 0 ? undefined : pages
}

/** @returns undefined for a page that is not there: a page that is missing must not take the site away */
function readPage(
  status: string,
  file: string,
  { addProblem, addWarning, dependencies }: PagesFound,
): string | undefined {
  dependencies.push(file)
  const found = readTextFile(file)
  if ('fault' in found) {
    addWarning?.(status, `${file} ${found.fault}: the line counts for nothing`)
    return undefined
  }
  const bytes = Buffer.byteLength(found.text)
  if (bytes <= MAX_PAGE_BYTES) return found.text
  addProblem(status, `${file} has ${bytes} bytes; a page may have ${MAX_PAGE_BYTES}`)
  return undefined
}

/** The page for a status, or for all of its kind. */
export function pageOf(pages: ErrorPages | undefined, status: number): OwnPage | undefined {
  return pages?.[status] ?? pages?.[`${Math.floor(status / 100)}xx`]
}
