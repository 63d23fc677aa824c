/**
 * Sites written for one test, in a folder of their own that goes with it.
 */
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeFolder } from './folder.ts'
import type { DrivenThread } from './thread-driver.ts'

const PACKAGES = fileURLToPath(new URL('../../node_modules', import.meta.url))

/**
 * Writes files into a fresh folder.
 *
 * @param files text by relative path
 * @returns the folder; `packages` links the repository's node_modules into it
 */
export function writeSite(
  t: { after(end: () => unknown): void },
  files: Record<string, string>,
  packages = false,
): string {
  const folder = makeFolder(t, files)
  if (packages) symlinkSync(PACKAGES, join(folder, 'node_modules'))
  return folder
}

/**
 * What loads one text after the other into a thread that has none yet, each as a site of its own.
 *
 * @param thread asked for at each load
 * @param file what the text is written to; its ending says what it is
 * @returns a function that resolves with the generation
 */
export function siteLoader(
  thread: () => DrivenThread,
  file: string,
  packages = false,
): (t: { after(end: () => unknown): void }, text: string) => Promise<number> {
  let last = 0
  return async (t, text) => {
    const generation = ++last
    const folder = writeSite(t, { [file]: text }, packages)
    await thread().loadWell({ generation, module: join(folder, file) })
    return generation
  }
}
