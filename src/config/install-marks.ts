/**
 * When the packages of a site's code have been installed anew: package managers write a file of their own into
 * `node_modules` once everything is there. The packages themselves are thousands of files, gone for seconds meanwhile.
 *
 * Limit: Bun and Deno write no such file.
 */
import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { realPath } from './links.ts'

const PACKAGES = 'node_modules'
/** Of npm, pnpm, Yarn 1 and Yarn from 2 on. */
const MARKS = ['.package-lock.json', '.modules.yaml', '.yarn-integrity', '.yarn-state.yml']

/**
 * The marks of the packages that a module may import: of its folder, and of each above it, that has a package.json. Neither they
 * nor their folders need be there.
 *
 * @param module absolute
 */
export function installMarks(module: string): string[] {
  const folder = dirname(module)
  const listed = foldersFrom(realPath(folder) ?? folder).filter((one) => existsSync(join(one, 'package.json')))
  return listed.flatMap((one) => MARKS.map((mark) => join(one, PACKAGES, mark)))
}

/** Whether packages are just not there: the path is that of a mark which is gone, or of a folder of packages without any. */
export function isUninstalled(path: string): boolean {
  if (basename(path) === PACKAGES) return !MARKS.some((mark) => existsSync(join(path, mark)))
  return MARKS.includes(basename(path)) && !existsSync(path)
}

/** The nearest first. */
function foldersFrom(folder: string): string[] {
  const above = dirname(folder)
  return above === folder ? [folder] : [folder, ...foldersFrom(above)]
}
