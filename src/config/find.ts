/**
 * Where vhostel.ini is.
 */
import { statSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import { deniedText, isDenied } from '../core/denied.ts'
import { ConfigNotFound } from '../core/errors.ts'
import { isFolder } from './own-folders.ts'
import { errorCode } from './text-file.ts'

const FILE_NAME = 'vhostel.ini'
const CWD_GONE = 'the current folder, which was removed: cd to one that is there'
const SYSTEM_FILE = '/etc/vhostel/vhostel.ini'

/**
 * The configuration to use: the one named by `--config`, else the one in `$VHOSTEL_HOME`, else /etc/vhostel/vhostel.ini,
 * else ./vhostel.ini. One that was named and is not there is an error, and so is an empty name (`--config "$UNSET"`):
 * another one in its place would surprise.
 *
 * @param option value of `--config`: the file, or its folder
 * @param env for `$VHOSTEL_HOME`, a folder
 * @param cwd where relative paths start; undefined where that folder was removed
 * @returns absolute path of vhostel.ini
 * @throws VHOSTEL_CONFIG_NOT_FOUND with the places looked at
 */
export function findConfig(
  option: string | undefined,
  env: NodeJS.ProcessEnv,
  cwd: string | undefined,
  systemFile = SYSTEM_FILE,
): string {
  const home = env.VHOSTEL_HOME
  const named = namedPlaces(option, home, cwd)
  const places = named ?? [systemFile, ...(cwd === undefined ? [] : [join(cwd, FILE_NAME)])]
  const found = places.find(exists)
  if (found !== undefined) return found
  const unseen = named === undefined && cwd === undefined ? [CWD_GONE] : []
  throw new ConfigNotFound([...places.map(lookedAt), ...unseen].join(', '))
}

/** A place where nothing was found, and why there may be something all the same. */
function lookedAt(place: string): string {
  try {
    statSync(place, { throwIfNoEntry: false })
    return place
  } catch (error) {
    return isDenied(errorCode(error)) ? `${place} (${deniedText(place)})` : place
  }
}

function namedPlaces(
  option: string | undefined,
  home: string | undefined,
  cwd: string | undefined,
): string[] | undefined {
  if (option === '') throw new ConfigNotFound('nothing, because --config is empty')
  if (option !== undefined) {
    const path = absolute(option, cwd)
    return [isFolder(path) ? join(path, FILE_NAME) : path]
  }
  return home === undefined || home === '' ? undefined : [join(absolute(home, cwd), FILE_NAME)]
}

/** @throws VHOSTEL_CONFIG_NOT_FOUND for a relative path where there is no folder that it could start at */
function absolute(path: string, cwd: string | undefined): string {
  if (cwd === undefined && !isAbsolute(path)) throw new ConfigNotFound(`${path} in ${CWD_GONE}`)
  return resolve(cwd ?? '/', path)
}

/** Whether there is anything by that name: what is wrong with it is for loadServer to say. */
function exists(path: string): boolean {
  return stat(path) !== undefined
}

function stat(path: string) {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined // below a folder that may not be read: for us it is not there
  }
}
