/**
 * Writes files that were not there before: whole or not at all, and never in the place of another.
 */
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/**
 * Writes a new file, and the folders on the way to it. The text is written under another name first; only a link, which
 * the kernel refuses where there is something already, gives it its own.
 *
 * @throws EEXIST where there is anything by that name
 */
export function writeNewFile(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  // Begins with a dot: a server that runs on this folder passes it over.
  const draft = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`)
  try {
    const file = openSync(draft, 'wx', 0o644)
    try {
      writeFileSync(file, text)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    linkSync(draft, path)
  } finally {
    rmSync(draft, { force: true })
  }
}
