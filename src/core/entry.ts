/**
 * Finds the file that a child process or a worker thread starts with.
 *
 * `tsc` rewrites `./x.ts` in imports but not in `new URL('./x.ts', import.meta.url)`, so a path written out there works
 * in `src/` and fails in `dist/`. Everything that starts a file goes through here.
 */
import { extname } from 'node:path'

/**
 * The URL of the file `name` beside the module that asks, with that module's own extension (`.ts` in `src/`, `.js` in
 * `dist/`).
 *
 * @param meta the caller's `import.meta`
 * @param name path relative to the caller, without extension, such as `../worker/thread`
 */
export function entryUrl(meta: { url: string; filename: string }, name: string): URL {
  return new URL(name + extname(meta.filename), meta.url)
}
