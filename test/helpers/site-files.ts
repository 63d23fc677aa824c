/**
 * Sites written for one test, in a folder of their own that goes with it.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

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
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'vhostel-site-')))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  if (packages) symlinkSync(PACKAGES, join(folder, 'node_modules'))
  return folder
}
