/**
 * Writes files that were not there before: whole or not at all, and never in the place of another.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'

/**
 * Writes a new file, and the folders on the way to it. The text is written under another name first; only a link, which
 * the kernel refuses where there is something already, gives it its own.
 *
 * @throws EEXIST where there is anything by that name
 */
export function writeNewFile(path: string, text: string): void {
  makeFolders(dirname(path))
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

/**
 * Makes a folder, and those above it. As `mkdirSync` with `recursive`, which never ends (Node 24) below a folder that is
 * there and where the kernel says ENOENT all the same: /proc.
 *
 * @throws what the system says
 */
export function makeFolders(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return
  const above = dirname(path)
  if (!existsSync(above)) makeFolders(above)
  mkdirSync(path)
}
