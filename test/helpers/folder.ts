/** A folder of one test, which goes with it, and what files have at the moment. */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/**
 * Makes a fresh folder with these files in it.
 *
 * @param files text by relative path
 * @returns its path, without links, and short enough for a unix socket in it
 */
export function makeFolder(t: { after(end: () => unknown): void }, files: Record<string, string> = {}): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'vh-')))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return folder
}

/**
 * Reads a file that may be renamed at any moment, as logs are: to ask first whether it exists, and to read it then, fails
 * when it goes in between.
 *
 * @returns its text, or `''` while there is no such file
 */
export function textIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
