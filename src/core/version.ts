/**
 * The version of the program: the one in its package, in a checkout and in an installation alike. And the one whose files are there
 * now, which is another where a package was installed over the one that runs.
 */
import { readFileSync } from 'node:fs'

const PACKAGE = new URL('../../package.json', import.meta.url)

/** Such as `0.1.0`. */
export const VERSION = readVersion()

/** The version that is installed now; undefined while there is none, as in the middle of an installation. */
export function installedVersion(): string | undefined {
  try {
    return readVersion()
  } catch {
    return undefined
  }
}

function readVersion(): string {
  return (JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string }).version
}
