/** Folders that last as long as they are needed, at the longest as long as the bench. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folders = new Set<string>()

process.on('exit', () => {
  for (const folder of folders) removeFolder(folder)
})

/** Makes a folder with `vhostel-bench-<what>-` in its name. @returns its path */
export function temporaryFolder(what: string): string {
  const folder = mkdtempSync(join(tmpdir(), `vhostel-bench-${what}-`))
  folders.add(folder)
  return folder
}

/** Removes such a folder with all that is in it, before the bench ends. */
export function removeFolder(folder: string): void {
  folders.delete(folder)
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
}
