/**
 * Which files a site's code asked for and did not find. Where that made its load fail, they are watched like those that it read:
 * that one of them appears may be the cure, as after `git checkout`, or where the file that imports is saved before the imported.
 *
 * Limit: relative paths, and what Node names itself. Packages are told by install-marks.ts.
 */
import { extname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What `require` adds to a path that has no ending, or is that of a folder. */
const REQUIRE_TRIES = ['', '.js', '.json', '.node', '/index.js', '/package.json']

/**
 * Where files would have been found.
 *
 * @param error what Node threw when it resolved `specifier`
 * @param folder of the file that asks
 * @returns absolute paths; none where the error is another one, or it is a package that is missing
 */
export function missingFiles(error: unknown, specifier: string, folder: string): string[] {
  const { code, url } = error as { code?: string; url?: string }
  if (code === 'ERR_MODULE_NOT_FOUND') return url?.startsWith('file:') === true ? [fileURLToPath(url)] : []
  if (code !== 'MODULE_NOT_FOUND' || !/^(?:\.{0,2}\/|\.{1,2}$)/.test(specifier)) return []
  const path = resolve(folder, specifier)
  return extname(path) === '' ? REQUIRE_TRIES.map((ending) => path + ending) : [path, `${path}.js`]
}
