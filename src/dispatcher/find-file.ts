/**
 * Which file, folder or other path answers for a path: what `try`, `index`, `clean_urls` and `listing` say. Looks at names
 * only; whether a file lies in the root is checked where it is opened (open-inside.ts).
 */
import type { Stats } from 'node:fs'
import { stat } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { errorCode } from '../config/text-file.ts'
import { isInside } from './open-inside.ts'
import type { StaticFolder } from './static-folder.ts'

const statPath = promisify(stat)

/** What answers. `to`: put this in the place of the last part of the path that was asked for. */
export type Found =
  | { kind: 'file'; file: string }
  | { kind: 'listing'; folder: string }
  /** The client is to ask for the path with `add` at its end, once `cut` characters are taken off. */
  | { kind: 'redirect'; cut: number; add: string }
  | { kind: 'missing' }

const MISSING: Found = { kind: 'missing' }
const HTML = '.html'

/**
 * @param path decoded
 * @throws what the system says, but for what means that there is nothing of that name
 */
export async function findFile(folder: StaticFolder, path: string): Promise<Found> {
  for (const one of folder.tries) {
    const isOwn = one.startsWith('$uri')
    const suffix = one.slice('$uri'.length)
    const isInFolder = isOwn && path.endsWith('/')
    if (isInFolder && suffix !== '' && suffix !== '/') continue
    const name = isInFolder ? path : isOwn ? path + suffix : one
    const found = name.endsWith('/')
      ? await findIndex(folder, name, isOwn && !isInFolder)
      : await findPlain(folder, name, one === '$uri')
    if (found !== undefined) return found
  }
  return MISSING
}

async function findPlain(folder: StaticFolder, name: string, isAsked: boolean): Promise<Found | undefined> {
  const file = join(folder.root, name)
  if ((await look(file))?.isFile() !== true) return undefined
  if (folder.cleanUrls && isAsked && name.endsWith(HTML)) return cleaned(folder, name, file)
  return { kind: 'file', file }
}

/** `/about.html` is at `/about`, unless that is something else. */
async function cleaned(folder: StaticFolder, name: string, file: string): Promise<Found> {
  const last = basename(name)
  const cut = last === folder.index[0] ? last.length : HTML.length
  const isOther = cut !== last.length && (await look(file.slice(0, -cut)))?.isFile() === true
  if (isOther || !(await isInside(folder.root, file))) return { kind: 'file', file }
  return { kind: 'redirect', cut, add: '' }
}

/** @param redirects whether the client left out the slash at the end, without which the links of a page lead astray */
async function findIndex(folder: StaticFolder, name: string, redirects: boolean): Promise<Found | undefined> {
  const path = join(folder.root, name)
  const file = await firstFile(path, folder.index)
  if (file === undefined && !(folder.listing && (await look(path))?.isDirectory() === true)) return undefined
  if (redirects) return (await isInside(folder.root, path)) ? { kind: 'redirect', cut: 0, add: '/' } : undefined
  return file === undefined ? { kind: 'listing', folder: path } : { kind: 'file', file }
}

async function firstFile(folder: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    const file = join(folder, name)
    if ((await look(file))?.isFile() === true) return file
  }
  return undefined
}

/** Errors that mean that there is nothing of that name. */
const ABSENT = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG']

/** @returns undefined where there is nothing */
export async function look(path: string): Promise<Stats | undefined> {
  try {
    return await statPath(path)
  } catch (error) {
    if (ABSENT.includes(errorCode(error))) return undefined
    throw error
  }
}
