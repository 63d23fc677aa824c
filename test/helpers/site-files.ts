/**
 * Sites written for one test, in a folder of their own that goes with it.
 */
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeFolder } from './folder.ts'

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
